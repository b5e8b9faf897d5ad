"""Measuring on devices over SSH: one whose document comes back, or all of an inventory in one table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemed.cli import output
from edgemed.errors import ConfigError, DeviceError

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from edgemed.benchmark.remote import Outcome
    from edgemed.benchmark.scenario import Plan
    from edgemed.benchmark.subject import Opening
    from edgemed.cli.timings import Outputs
    from edgemed.device.inventory import Entry
    from edgemed.device.transports.login import SshOptions
    from edgemed.device.transports.ssh import Session

__all__ = ["Ssh", "run"]

_COLUMNS = ("name", "device", "bundle", "n", "p50 ms", "p90 ms", "p99 ms", "max ms", "verdict")


@dataclass(frozen=True, kw_only=True)
class Ssh:
    """How devices are reached."""

    known_hosts: Path | None
    identity: Path | None

    def options(self) -> SshOptions:
        """Return what the transport takes."""
        from edgemed.device.transports.login import SshOptions

        return SshOptions(known_hosts=self.known_hosts, identity=self.identity, ask=None)


def run(
    opening: Opening,
    plan: Plan,
    images: Path | None,
    *,
    to: str | None,
    inventory: Path | None,
    ssh: Ssh,
    outputs: Outputs,
) -> int:
    """Measure on one device or on all of an inventory, show it, and return the exit code.

    Raises:
        ConfigError: options that do not go together, or an address that is none.
        DeviceError: a device cannot be reached, or gives no document.
    """
    if to is not None and inventory is not None:
        raise ConfigError("--inventory: expected without --to, which the inventory has for each device")
    if opening.store is not None:
        raise ConfigError("--store: is of no use with --to and --inventory, whose addresses have it; leave it away")
    if inventory is not None:
        return _all(opening, plan, images, path=inventory, ssh=ssh, outputs=outputs)
    return _one(opening, plan, images, to=to or "", ssh=ssh, outputs=outputs)


def _one(opening: Opening, plan: Plan, images: Path | None, *, to: str, ssh: Ssh, outputs: Outputs) -> int:
    import asyncio

    from edgemed import targets
    from edgemed.benchmark import remote
    from edgemed.device.transports import address
    from edgemed.device.transports.ssh import connected

    if opening.target is None:
        raise ConfigError("--to: expected with --device ID, of the device there")
    targets.require(opening.target)
    place = address.parse(to, opening.target)
    if not isinstance(place, address.SshAddress):
        raise ConfigError(f"--to: expected ssh://..., got {to!r}: a folder measures nothing")

    async def work() -> Any:
        async with connected(place, ssh.options()) as session:
            output.note(f"{session.place}: measuring {plan.scenario.value}")
            return await remote.measured(session, opening, plan, images=images)

    return outputs.deliver(asyncio.run(work()))


def _all(opening: Opening, plan: Plan, images: Path | None, *, path: Path, ssh: Ssh, outputs: Outputs) -> int:
    import asyncio

    from edgemed.benchmark import remote
    from edgemed.device import inventory

    if opening.target or outputs.compare or outputs.plot or outputs.report or outputs.save:
        raise ConfigError("--inventory: expected without --device, --save, --compare, --plot and --report; give --json")
    listed = inventory.read(path)
    outcomes = asyncio.run(
        remote.measured_all(listed.devices, lambda entry: _opened(entry, ssh), opening, plan, images=images, done=_told)
    )
    if outputs.json:
        output.print_json({"devices": outcomes})
    else:
        output.table(_COLUMNS, [_row(one) for one in outcomes])
    return _code(outcomes)


def _opened(entry: Entry, ssh: Ssh) -> AbstractAsyncContextManager[Session]:
    from edgemed.device.transports.address import SshAddress
    from edgemed.device.transports.ssh import connected

    place = entry.address()
    if not isinstance(place, SshAddress):
        raise ConfigError(f"{entry.name}: to: expected ssh://..., got {entry.to!r}: a folder measures nothing")
    return connected(place, ssh.options())


def _told(outcome: Outcome) -> None:
    output.note(f"{outcome.name}: {outcome.error or 'measured'}")


def _row(outcome: Outcome) -> tuple[str, ...]:
    from edgemed.benchmark.report.rows import shown
    from edgemed.cli import timings

    result = outcome.result
    if result is None:
        return (outcome.name, outcome.device, *["-"] * 6, outcome.error or "")
    total = result.stages["total"]
    said = {0: "kept" if result.budget else "no budget", 3: "BROKEN", 9: "not judged"}
    figures = map(shown, (total.p50, total.p90, total.p99, total.max))
    verdict = said.get(timings.exit_code(result), "interrupted")
    bundle = f"{result.bundle.name} {result.bundle.version}"
    return (outcome.name, outcome.device, bundle, str(total.n), *figures, verdict)


def _code(outcomes: list[Outcome]) -> int:
    """Return the gravest: a device that gave nothing, then a broken budget, then one that is not judged."""
    from edgemed.cli import timings

    if any(one.result is None for one in outcomes):
        return DeviceError.exit_code
    codes = {timings.exit_code(one.result) for one in outcomes if one.result is not None}
    return next((code for code in (3, 9) if code in codes), 0)
