"""A bundle onto many devices: canaries first, then the others some at a time, until too many have failed.

Rules:
1. Before anything is connected, the bundle admits every device of the inventory; one that is encrypted is so to as
   many keys as there are devices.
2. The first devices are canaries. A device that cannot be reached says nothing about the release: the next one takes
   its place. Any other failure there, a health check above all, stops the roll-out; so does a device that is lost or
   crashes once it has begun to install.
3. Of the rest, ``parallel`` are at work at a time. Once more than ``max_failures`` of the fleet has failed, no further
   one is begun; those at work are finished.
4. Every device that is done is in the journal before the next is begun, so that ``--resume`` goes on from there: those
   that run the bundle are passed over, those that failed are tried again.

    report = await fleet.roll_out(cargo, inventory, opener=opener, rollout=Rollout(), how=Installing(), journal=book)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from edgemed.device import flash as flashing
from edgemed.device import plan as plans
from edgemed.device.flash import FlashReport
from edgemed.device.inventory import Entry, Inventory
from edgemed.device.journal import Journal, Outcome
from edgemed.device.plan import Cargo, Plan
from edgemed.device.transports import Installing, Transport, UnansweredError
from edgemed.errors import BundleError, DeviceError, EdgemedError, TargetMismatchError

__all__ = ["FleetReport", "Opener", "Preparer", "Rollout", "Watcher", "draw_all", "roll_out"]

Opener = Callable[[Entry], AbstractAsyncContextManager[Transport]]
Preparer = Callable[[Entry, Transport], Awaitable[str]]  # what comes before the bundle; what came of it, in words


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """How carefully.

    Attributes:
        parallel: devices at work at a time, >= 1.
        canary: devices that must run the bundle before the others get it; 0 has none.
        max_failures: share of the fleet, 0 to 1, that may fail before the roll-out stops.
    """

    parallel: int = 8
    canary: int = 1
    max_failures: float = 0.1

    def __post_init__(self) -> None:
        if self.parallel < 1 or self.canary < 0 or not 0.0 <= self.max_failures <= 1.0:
            raise ValueError(f"expected parallel >= 1, canary >= 0 and max_failures in 0..1, got {self}")


@dataclass(frozen=True, kw_only=True)
class FleetReport:
    """What came of a roll-out.

    Attributes:
        outcomes: of every device that was tried, now or before a resumption, in the order of the inventory.
        untouched: names of the devices that were not tried.
        stopped: why the roll-out ended before its end; None when it did not.
    """

    outcomes: tuple[Outcome, ...]
    untouched: tuple[str, ...]
    stopped: str | None

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The devices that do not run the bundle although they were tried."""
        return tuple(one for one in self.outcomes if one.failed)


class Watcher(Protocol):
    """Where a roll-out says that one more device is done."""

    def done(self, outcome: Outcome, count: int, total: int) -> None:
        """``count`` of ``total`` devices are done, ``outcome`` the last of them."""


class _Quiet:
    """Progress of single devices, which a fleet does not show."""

    def start(self, what: str, total: int) -> None:
        pass

    def advance(self, count: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass


async def roll_out(
    cargo: Cargo,
    inventory: Inventory,
    *,
    opener: Opener,
    rollout: Rollout,
    how: Installing,
    journal: Journal,
    watcher: Watcher,
    prepare: Preparer | None = None,
) -> FleetReport:
    """Flash the devices of an inventory, by the rules of this module.

    Args:
        cargo: the bundle.
        inventory: the devices.
        opener: opens the way to one of them.
        rollout: how carefully.
        how: options of the installations.
        journal: keeps what is done.
        watcher: is told each device that is done.
        prepare: done on each device before it gets the bundle; what it raises is a failure of that device.

    Raises:
        TargetMismatchError: the bundle does not admit a device of the inventory; nothing was begun.
        BundleError: it is encrypted to fewer keys than there are devices; nothing was begun.
        ConfigError: the journal cannot be written.
    """
    _require_admitted(cargo, inventory)  # 1
    work = _Work(
        cargo=cargo,
        inventory=inventory,
        opener=opener,
        rollout=rollout,
        how=how,
        journal=journal,
        watcher=watcher,
        prepare=prepare,
    )
    stopped = await work.canaries() or await work.others()
    return FleetReport(
        outcomes=tuple(work.done[entry.name] for entry in inventory.devices if entry.name in work.done),
        untouched=tuple(entry.name for entry in inventory.devices if entry.name not in work.done),
        stopped=stopped,
    )


async def draw_all(
    cargo: Cargo, inventory: Inventory, *, opener: Opener, how: Installing, parallel: int
) -> list[tuple[str, Plan | EdgemedError]]:
    """Return each device's name and what flashing it would do, or why it would not; nothing is written."""
    limit = asyncio.Semaphore(parallel)

    async def one(entry: Entry) -> tuple[str, Plan | EdgemedError]:
        async with limit:
            try:
                async with opener(entry) as transport:
                    return entry.name, await flashing.draw(cargo, transport, device=entry.device, how=how)
            except EdgemedError as err:
                return entry.name, err

    return list(await asyncio.gather(*map(one, inventory.devices)))


def _require_admitted(cargo: Cargo, inventory: Inventory) -> None:
    if cargo.manifest is None and cargo.recipients < len(inventory.devices):
        raise BundleError(
            f"{cargo}: the inventory has {len(inventory.devices)} devices; encrypt it to the key of each "
            "(edgemed bundle encrypt --to PUB, repeated)"
        )
    for entry in inventory.devices:
        try:
            plans.require_admitted(cargo, entry.device)
        except TargetMismatchError as err:
            raise TargetMismatchError(f"{entry.name}: {err}") from err


@dataclass(kw_only=True)
class _Attempt:
    """How far one device came: prepared, flashed, or an error."""

    prepared: str | None = None
    report: FlashReport | None = None
    error: EdgemedError | None = None


@dataclass(kw_only=True)
class _Work:
    """One roll-out under way: what is done, and what waits."""

    cargo: Cargo
    inventory: Inventory
    opener: Opener
    rollout: Rollout
    how: Installing
    journal: Journal
    watcher: Watcher
    prepare: Preparer | None
    done: dict[str, Outcome] = field(init=False)
    waiting: list[Entry] = field(init=False)
    unanswered: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        names = {entry.name for entry in self.inventory.devices}
        self.done = {one.name: one for one in self.journal.before if one.name in names and not one.failed}
        self.waiting = [entry for entry in self.inventory.devices if entry.name not in self.done]

    async def canaries(self) -> str | None:
        """Flash devices until enough of them run the bundle; return why the roll-out stops, or None (2)."""
        passed = sum(1 for one in self.done.values() if not one.failed)
        while self.waiting and passed < self.rollout.canary:
            batch = [self.waiting.pop(0) for _ in range(min(self.rollout.canary - passed, len(self.waiting)))]
            outcomes = await self._together([self._one(entry, "canary") for entry in batch])
            passed += sum(1 for one in outcomes if not one.failed)
            for one in outcomes:
                if one.failed and (one.exit_code != DeviceError.exit_code or one.name in self.unanswered):
                    return f"the canary {one.name} failed: {one.error}"
            if stopped := self._too_many():
                return stopped
        return None

    async def others(self) -> str | None:
        """Flash the rest; return why the roll-out stops, or None (3)."""
        await self._together([self._lane() for _ in range(min(self.rollout.parallel, len(self.waiting)))])
        return self._too_many() if self.waiting else None

    async def _lane(self) -> None:
        while self.waiting and not self._too_many():
            await self._one(self.waiting.pop(0), "fleet")

    def _too_many(self) -> str | None:
        failed, total = sum(1 for one in self.done.values() if one.failed), len(self.inventory.devices)
        limit = self.rollout.max_failures
        # A millionth of slack for shares that binary cannot hold.
        if failed <= limit * total + 1e-6:
            return None
        return f"{failed} of {total} devices have failed, more than the {limit:.0%} that --max-failures allows"

    async def _one(self, entry: Entry, stage: str) -> Outcome:
        """Flash one device and write down what came of it (4)."""
        began = time.monotonic()
        tried = await self._attempt(entry)
        report, error = tried.report, tried.error
        outcome = Outcome(
            name=entry.name,
            device=entry.device,
            to=entry.to,
            stage=stage,
            result="failed" if report is None else report.result,
            error=None if error is None else str(error),
            exit_code=0 if error is None else error.exit_code,
            seconds=round(time.monotonic() - began, 3),
            unit=None if report is None else report.plan.unit,
            prepared=tried.prepared,
        )
        self.journal.add(outcome)
        self.done[entry.name] = outcome
        self.watcher.done(outcome, len(self.done), len(self.inventory.devices))
        return outcome

    async def _attempt(self, entry: Entry) -> _Attempt:
        """Flash one device; what it or the way to it refuses is a result, a bug is not."""
        tried = _Attempt()
        try:
            async with self.opener(entry) as transport:
                if self.prepare is not None:
                    tried.prepared = await self.prepare(entry, transport)
                tried.report = await flashing.flash(
                    self.cargo, transport, device=entry.device, how=self.how, progress=_Quiet()
                )
        except EdgemedError as err:
            if isinstance(err, UnansweredError):
                self.unanswered.add(entry.name)
            tried.error = err
        return tried

    @staticmethod
    async def _together(work: Sequence[object]) -> list[Outcome]:
        """Await all; when one raises, or the user wants out, the others are cancelled and waited for."""
        tasks = [asyncio.ensure_future(one) for one in work]  # type: ignore[call-overload]  # coroutines of two kinds
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
