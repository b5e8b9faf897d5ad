"""What ``edgemed flash --inventory`` does and shows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemed.cli import bootstrap, output
from edgemed.errors import DeviceError, GateError

if TYPE_CHECKING:
    from edgemed.device.bootstrap import Kit
    from edgemed.device.fleet import FleetReport, Rollout
    from edgemed.device.inventory import Inventory
    from edgemed.device.journal import Journal, Outcome
    from edgemed.device.plan import Cargo, Plan
    from edgemed.device.transports import Installing
    from edgemed.device.transports.login import SshOptions

__all__ = ["dry_run", "journal_path", "run"]

_UNIT_DIGITS = 16  # of the id of a device's key, as in the names of the answers on a stick


class _Lines:
    """One line on stderr for each device that is done."""

    def done(self, outcome: Outcome, count: int, total: int) -> None:
        """Say what came of a device."""
        why = "".join(f": {said}" for said in (outcome.prepared, outcome.error) if said)
        output.note(f"{count}/{total} {outcome.name} {outcome.result} after {outcome.seconds:.1f} s{why}")


def journal_path(inventory: Path, cargo: Cargo) -> Path:
    """Return where the journal of a roll-out lies: beside the inventory, named after the bundle."""
    return inventory.with_name(f"{inventory.stem}.{cargo.label}.journal")


def run(
    cargo: Cargo,
    path: Path,
    *,
    rollout: Rollout,
    how: Installing,
    options: SshOptions,
    kit: Kit | None,
    resume: bool,
    json: bool,
) -> None:
    """Flash the devices of an inventory, provisioned first where there is a kit, and show what came of each.

    Raises:
        ConfigError: there is a kit and a device of the inventory is a folder.
        GateError: the roll-out stopped before its end.
        DeviceError: it went through, and devices failed.
    """
    import asyncio

    from edgemed.device import fleet, inventory, journal
    from edgemed.device.transports import opening

    listed = inventory.read(path)
    if kit is not None:
        bootstrap.require_wires(listed)
    place = journal_path(path, cargo)
    book = (journal.resume if resume else journal.begin)(place, cargo.fingerprint)
    began = time.monotonic()
    report = asyncio.run(
        fleet.roll_out(
            cargo,
            listed,
            opener=lambda entry: opening.opened(entry.address(), device=entry.device, options=options),
            rollout=rollout,
            how=how,
            journal=book,
            watcher=_Lines(),
            prepare=None if kit is None else bootstrap.preparer(kit),
        )
    )
    _show(report, listed, book, seconds=time.monotonic() - began, json=json)
    _require_success(report, book)


def dry_run(cargo: Cargo, path: Path, *, how: Installing, options: SshOptions, parallel: int, json: bool) -> None:
    """Ask every device of an inventory and show what would be done, or why not; nothing is written.

    Raises:
        DeviceError: a device refuses, or cannot be reached.
    """
    import asyncio

    from edgemed.device import fleet, inventory
    from edgemed.device.transports import opening

    listed = inventory.read(path)
    drawn = asyncio.run(
        fleet.draw_all(
            cargo,
            listed,
            opener=lambda entry: opening.opened(entry.address(), device=entry.device, options=options),
            how=how,
            parallel=parallel,
        )
    )
    if json:
        output.print_json({"devices": [_planned(name, found) for name, found in drawn]})
    else:
        rows = [(name, *_row(found)) for name, found in drawn]
        output.table(("name", "device", "replaces", "send", "then"), rows)
    refused = sum(1 for _, found in drawn if isinstance(found, Exception))
    if refused:
        raise DeviceError(f"{refused} of {len(drawn)} devices cannot be flashed as they are")


def _planned(name: str, found: Plan | Exception) -> dict[str, Any]:
    if isinstance(found, Exception):
        return {"name": name, "plan": None, "error": str(found)}
    return {"name": name, "plan": found, "error": None}


def _row(found: Plan | Exception) -> tuple[str, str, str, str]:
    if isinstance(found, Exception):
        return ("-", "-", "-", str(found))
    return (found.device, found.replaces or "-", f"{found.send_bytes} bytes", found.action.value)


def _show(report: FleetReport, listed: Inventory, book: Journal, *, seconds: float, json: bool) -> None:
    figures = {
        "devices": len(listed.devices),
        "succeeded": len(report.outcomes) - len(report.failed),
        "failed": len(report.failed),
        "untouched": len(report.untouched),
        "seconds": round(seconds, 3),
    }
    if json:
        output.print_json(
            {
                **figures,
                "stopped": report.stopped,
                "journal": book.path,
                "outcomes": report.outcomes,
                "untouched_names": report.untouched,
            }
        )
        return
    rows = [
        (
            one.name,
            one.device,
            (one.unit or "-")[:_UNIT_DIGITS],
            one.stage,
            one.result,
            f"{one.seconds:.1f} s",
            one.error or "",
        )
        for one in report.outcomes
    ]
    rows += [(name, "", "", "", "untouched", "", "") for name in report.untouched]
    output.table(("name", "device", "unit", "stage", "result", "time", "error"), rows)
    output.fields([(name, str(value)) for name, value in figures.items()])


def _require_success(report: FleetReport, book: Journal) -> None:
    again = "the same command with --resume goes on from here"
    if report.stopped is not None:
        raise GateError(f"roll-out stopped: {report.stopped}; {len(report.untouched)} devices are untouched; {again}")
    if report.failed:
        names = ", ".join(one.name for one in report.failed[:10])
        more = ", ..." if len(report.failed) > 10 else ""
        raise DeviceError(
            f"{len(report.failed)} of {len(report.outcomes)} devices failed: {names}{more}; see {book.path}; {again}"
        )
