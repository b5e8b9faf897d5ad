"""``edgemed flash``: a bundle onto a device, or onto a fleet of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgemed.cli import output, progress
from edgemed.errors import ConfigError

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from edgemed.device.flash import FlashReport
    from edgemed.device.plan import Cargo, Plan
    from edgemed.device.transports import Installing, Transport
    from edgemed.device.transports.login import SshOptions

__all__ = ["flash"]


def flash(
    bundle: str = typer.Argument(..., metavar="FILE|NAME", help="Bundle to flash, or the name of a shipped one."),
    *,
    device: str | None = typer.Option(None, metavar="ID", help="What the device is; see 'edgemed devices list'."),
    to: str | None = typer.Option(
        None, metavar="ADDRESS", help="ssh://[USER@]HOST[:PORT][/STORE], or a folder on a stick or card."
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Ask the device, print the plan, write nothing."),
    tentative: int | None = typer.Option(
        None, min=1, max=1000, help="Go back by itself after so many starts, unless 'edgemed device commit' is run."
    ),
    strict_latency: bool = typer.Option(
        False, "--strict-latency", help="Refuse the bundle where a stage takes longer there than its budget."
    ),
    known_hosts: Path | None = typer.Option(None, help="File of host keys; default: yours and the system's."),
    identity: Path | None = typer.Option(None, help="Private SSH key; default: agent and ~/.ssh."),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Bring a bundle onto a device, which checks and tries it, and keeps what it ran before if that does not answer right.

    An upload that was cut off goes on where it ended when the same command is run again.
    """
    import asyncio

    from edgemed import targets
    from edgemed.device import flash as flashing
    from edgemed.device.transports import Installing
    from edgemed.device.transports import address as addresses
    from edgemed.device.transports.login import SshOptions

    if device is None or to is None:
        raise ConfigError("flash: expected --device ID and --to ADDRESS")
    target = targets.load(device)
    cargo = flashing.cargo(_located(bundle))
    address = addresses.parse(to, target)
    how = Installing(tentative=tentative, strict_latency=strict_latency)
    options = SshOptions(known_hosts=known_hosts, identity=identity, ask=_ask if sys.stdin.isatty() else None)
    way = _way(address, device, options)
    if dry_run:
        _print_plan(asyncio.run(_drawn(cargo, way, device, how)), json=json)
        return
    with progress.transfer() as bars:
        report = asyncio.run(_flashed(cargo, way, device, how, bars))
    _print_report(report, json=json)


async def _drawn(cargo: Cargo, way: AbstractAsyncContextManager[Transport], device: str, how: Installing) -> Plan:
    from edgemed.device import flash as flashing

    async with way as transport:
        return await flashing.draw(cargo, transport, device=device, how=how)


async def _flashed(
    cargo: Cargo,
    way: AbstractAsyncContextManager[Transport],
    device: str,
    how: Installing,
    bars: progress.Bars | progress.Notes,
) -> FlashReport:
    from edgemed.device import flash as flashing

    async with way as transport:
        return await flashing.flash(cargo, transport, device=device, how=how, progress=bars)


def _way(address: object, device: str, options: SshOptions) -> AbstractAsyncContextManager[Transport]:
    """Return the transport that an address asks for, still closed."""
    import contextlib

    from edgemed.device.transports.address import DirectoryAddress, SshAddress

    if isinstance(address, DirectoryAddress):
        from edgemed.device.transports import directory

        return contextlib.nullcontext(directory.Session(address.folder, device=device))
    from edgemed.device.transports import ssh

    assert isinstance(address, SshAddress)
    return ssh.connected(address, options)


def _located(bundle: str) -> Path:
    """Return a bundle's file; a name that ships with edgemed wins over a file of that name."""
    from edgemed import shipped

    return shipped.bundle_path(bundle) if bundle in shipped.names() else Path(bundle)


def _ask(question: str) -> str:
    """Let the person at the terminal type a secret; Ctrl-C ends the command, also inside an event loop."""
    import getpass
    import signal

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return getpass.getpass(output.printable(question), stream=sys.stderr)
    finally:
        signal.signal(signal.SIGINT, before)


def _print_plan(plan: Plan, *, json: bool) -> None:
    if json:
        output.print_json({"plan": plan})
    else:
        output.fields(plan.lines())


def _print_report(report: FlashReport, *, json: bool) -> None:
    installed = report.installed
    if json:
        answer = None if installed is None else installed.document
        output.print_json({"result": report.result, "plan": report.plan, "device": answer})
        return
    lines = [("device", f"{report.plan.device} at {report.plan.place}"), ("bundle", report.plan.bundle)]
    output.fields([*lines, ("digest", report.plan.digest), ("result", report.result)])
