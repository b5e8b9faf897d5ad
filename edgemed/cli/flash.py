"""``edgemed flash``: a bundle onto a device, or onto a fleet of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edgemed.cli import bootstrap as bootstraps
from edgemed.cli import output, progress
from edgemed.errors import ConfigError

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from edgemed.device.bootstrap import Kit
    from edgemed.device.flash import FlashReport
    from edgemed.device.plan import Plan
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
    bootstrap: bool = typer.Option(
        False, "--bootstrap", help="First put edgemed and a store there, from --wheelhouse, without a network."
    ),
    wheelhouse: list[Path] = typer.Option(
        [], metavar="DIR", help="Made by 'edgemed bundle wheelhouse'; may be repeated for devices of several kinds."
    ),
    trusted: list[Path] = typer.Option(
        [], "--trust", metavar="KEY", help="With --bootstrap: public key the new store trusts; default: the demo key."
    ),
    service: str | None = typer.Option(
        None,
        metavar="SOURCE",
        help="With --bootstrap: a systemd unit that watches this there: a folder, /dev/videoN or an address.",
    ),
    inventory: Path | None = typer.Option(
        None, metavar="FILE", help="YAML list of devices to flash instead of one; canaries are the first of it."
    ),
    parallel: int | None = typer.Option(
        None, min=1, max=256, help="With --inventory: devices at work at a time. Default: 8."
    ),
    canary: int | None = typer.Option(
        None, min=0, help="With --inventory: devices that must succeed before the others begin. Default: 1."
    ),
    max_failures: float | None = typer.Option(
        None,
        min=0.0,
        max=1.0,
        metavar="SHARE",
        help="With --inventory: stop once more than this share has failed. Default: 0.1.",
    ),
    resume: bool = typer.Option(False, "--resume", help="With --inventory: go on after a stop, by its journal."),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Bring a bundle onto a device, which tries it, and keeps what it ran before if that does not answer right.

    An upload that was cut off goes on where it ended when the same command is run again.
    """
    import logging

    from edgemed.device.transports import Installing
    from edgemed.device.transports.login import SshOptions

    # asyncio warns of each write to a line that has gone; the one error that follows says so in words.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    how = Installing(tentative=tentative, strict_latency=strict_latency)
    ask = _ask if inventory is None and sys.stdin.isatty() else None
    options = SshOptions(known_hosts=known_hosts, identity=identity, ask=ask)
    provision = {"--wheelhouse": wheelhouse, "--trust": trusted, "--service": service}
    careful = {"--parallel": parallel, "--canary": canary, "--max-failures": max_failures, "--resume": resume or None}
    _require_sense(bootstrap=bootstrap, dry_run=dry_run, needs=provision)
    if inventory is not None:
        _require_absent("--inventory", {"--device": device, "--to": to})
        kit = bootstraps.kit(wheelhouse, trusted, service) if bootstrap else None
        _fleet(bundle, inventory, careful, how, options, kit=kit, dry_run=dry_run, json=json)
        return
    if named := [name for name, value in careful.items() if value is not None]:
        raise ConfigError(f"{' and '.join(named)}: expected with --inventory only")
    if device is None or to is None:
        raise ConfigError("flash: expected --device ID and --to ADDRESS, or --inventory FILE")
    if bootstrap:
        address = bootstraps.wire(to, device)
        bootstraps.one(address, device, bootstraps.kit(wheelhouse, trusted, service), options)
    _one(bundle, device, to, how, options, dry_run=dry_run, json=json)


def _one(bundle: str, device: str, to: str, how: Installing, options: SshOptions, *, dry_run: bool, json: bool) -> None:
    """Flash one device and show what came of it."""
    import asyncio

    from edgemed import targets
    from edgemed.device.transports import address, opening

    targets.require(device)
    path = _located(bundle)
    way = opening.opened(address.parse(to, device), device=device, options=options)
    if dry_run:
        _print_plan(asyncio.run(_drawn(path, way, device, how)), json=json)
        return
    with progress.transfer() as bars:
        report = asyncio.run(_flashed(path, way, device, how, bars))
    _print_report(report, json=json)


def _fleet(
    bundle: str,
    inventory: Path,
    given: dict[str, Any],
    how: Installing,
    options: SshOptions,
    *,
    kit: Kit | None,
    dry_run: bool,
    json: bool,
) -> None:
    """Flash the devices of an inventory and show what came of each."""
    from edgemed.cli import fleet
    from edgemed.device import flash as flashing
    from edgemed.device.fleet import Rollout

    cargo = flashing.cargo(_located(bundle))
    named = {"parallel": given["--parallel"], "canary": given["--canary"], "max_failures": given["--max-failures"]}
    rollout = Rollout(**{name: value for name, value in named.items() if value is not None})
    if dry_run:
        fleet.dry_run(cargo, inventory, how=how, options=options, parallel=rollout.parallel, json=json)
        return
    fleet.run(
        cargo, inventory, rollout=rollout, how=how, options=options, kit=kit, resume=bool(given["--resume"]), json=json
    )


def _require_absent(other: str, given: Mapping[str, object]) -> None:
    """Refuse options that another one makes meaningless, so that none is passed over unseen."""
    if named := [name for name, value in given.items() if value]:
        raise ConfigError(f"{other}: expected without {' and '.join(named)}, which the inventory has for each device")


def _require_sense(*, bootstrap: bool, dry_run: bool, needs: Mapping[str, object]) -> None:
    """Refuse options of provisioning that do not go together."""
    if bootstrap and dry_run:
        raise ConfigError("--bootstrap: expected without --dry-run; it writes to the device")
    if bootstrap and not needs["--wheelhouse"]:
        raise ConfigError("--bootstrap: expected with --wheelhouse DIR; make it with 'edgemed bundle wheelhouse'")
    if not bootstrap and (named := [name for name, value in needs.items() if value]):
        raise ConfigError(f"{' and '.join(named)}: expected with --bootstrap only")


async def _drawn(path: Path, way: AbstractAsyncContextManager[Transport], device: str, how: Installing) -> Plan:
    from edgemed.device import flash as flashing

    cargo = flashing.cargo(path)
    async with way as transport:
        return await flashing.draw(cargo, transport, device=device, how=how)


async def _flashed(
    path: Path,
    way: AbstractAsyncContextManager[Transport],
    device: str,
    how: Installing,
    bars: progress.Bars | progress.Notes,
) -> FlashReport:
    async with way as transport:
        await transport.wake()
        # The bundle is looked at while the device gets ready; of a wrong one nothing has been written there.
        from edgemed.device import flash as flashing

        cargo = flashing.cargo(path)
        return await flashing.flash(cargo, transport, device=device, how=how, progress=bars)


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
    digest = report.plan.digest if installed is None else installed.digest
    output.fields([*lines, ("digest", digest or "the device alone can tell"), ("result", report.result)])
