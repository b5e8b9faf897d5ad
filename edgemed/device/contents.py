"""What a store holds at this moment: which bundle is active, which one there is to go back to, and what is amiss.

Rules: read only; the answer never depends on a clock. The pointer says which slot is active. The other slot's bundle is
the previous one, unless an install left it there unfinished or it was rejected: such a one is never gone back to. Where
the active slot is damaged the previous bundle takes its place; where the pointer is, the newest bundle that was
committed does. Each time a warning says so.

    found = contents.read(opened)
    print(found.active, found.previous, found.warnings)
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edgemed.device import state as states
from edgemed.device.state import State, Tentative
from edgemed.device.store import SLOTS, Held, Slot, Store
from edgemed.errors import ConfigError, DeviceError, EdgemedError

__all__ = ["Contents", "read", "read_active"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Contents:
    """What was found.

    Attributes:
        active: None in an empty store, or where nothing verifies.
        previous: what there is to go back to.
        tentative: of the active bundle; None once it is committed.
        warnings: what is amiss, a sentence each.
    """

    state: State
    active: Held | None
    previous: Held | None
    tentative: Tentative | None
    warnings: tuple[str, ...] = ()

    def floor(self, name: str) -> int:
        """Return the lowest release of a bundle's name that may be installed; 0 for any.

        The bundles in the slots count as well: a cut, or a state that was lost, lowers no floor.
        """
        committed = [self.active if self.tentative is None else None, self.previous]
        releases = [one.bundle.manifest.release for one in committed if one and one.bundle.manifest.name == name]
        return max([self.state.floors.get(name, 0), *releases])

    def inactive(self) -> Slot:
        """Return the slot that an install may overwrite."""
        return "b" if self.active is not None and self.active.slot == "a" else "a"


@dataclass(kw_only=True)
class _Reader:
    """Reads each slot at most once, and keeps what is amiss."""

    store: Store
    state: State
    warnings: list[str]
    faults: dict[Slot, EdgemedError] = field(default_factory=dict)
    seen: dict[Slot, Held | None] = field(default_factory=dict)

    def held(self, slot: Slot) -> Held | None:
        """Return a slot's bundle; None where it is empty, or its fault is kept."""
        if slot not in self.seen:
            self.seen[slot] = None
            try:
                self.seen[slot] = self.store.held(slot)
            except EdgemedError as err:
                self.faults[slot] = err
        return self.seen[slot]

    def fit(self, slot: Slot) -> Held | None:
        """Return a slot's bundle if it may be gone back to."""
        held, attempt = self.held(slot), self.state.attempt
        barred = {*self.state.rejected, attempt.digest if attempt else None}
        return None if held is None or held.bundle.digest in barred else held

    def active(self) -> Held | None:
        """Return the bundle that the pointer names, or the one in its place."""
        slot = self.store.current()
        if slot is None:
            return self._without_pointer()
        if (held := self.held(slot)) is not None:
            return held
        fault = self.faults.get(slot, f"{self.store.file(slot)}: is missing")
        stand_in = self.fit(_other(slot))
        runs = f"the previous bundle {stand_in} runs in its place" if stand_in else "no other bundle is fit to run"
        self.warnings.append(f"{fault}; {runs}; install a bundle again")
        return stand_in

    def _without_pointer(self) -> Held | None:
        """Return the newest committed bundle; none where the first install was cut, which is no damage."""
        on_trial = self.state.tentative.digest if self.state.tentative else None
        fit = [one for slot in SLOTS if (one := self.fit(slot)) and one.bundle.digest != on_trial]
        found = max(fit, key=lambda one: one.bundle.manifest.release, default=None)
        if found is not None:
            self.warnings.append(
                f"{self.store.path / 'current'}: expected a or b, got neither; the newest bundle that was committed, "
                f"{found}, runs; make it so with 'edgemed device commit'"
            )
        elif self.faults:
            self.warnings.extend(f"{fault}; install a bundle again" for fault in self.faults.values())
        return found


def read(store: Store) -> Contents:
    """Return what the store holds; both slots are verified."""
    reader = _reader(store)
    active = reader.active()
    other = None if active is None else reader.fit(_other(active.slot))
    if active is not None and active.slot == store.current() and (fault := reader.faults.get(_other(active.slot))):
        reader.warnings.append(f"{fault}; there is nothing to go back to until another bundle is installed")
    return _contents(reader, active, other)


def read_active(store: Store) -> Contents:
    """Return the same without a look at the slot that does not run, unless the other is damaged; for a quick start.

    Raises:
        ConfigError: the store is empty.
        EdgemedError: what should run does not verify, and there is nothing in its place.
    """
    reader = _reader(store)
    active = reader.active()
    if active is None:
        _refuse(reader)
    return _contents(reader, active, None)


def _refuse(reader: _Reader) -> None:
    store = reader.store
    if fault := next(iter(reader.faults.values()), None):
        raise type(fault)(f"{fault}; no other bundle is fit to run: install a bundle again") from fault
    raise ConfigError(
        f"{store.path}: no bundle is installed; install one with 'edgemed device install FILE --store {store.path}'"
    )


def _reader(store: Store) -> _Reader:
    try:
        return _Reader(store=store, state=store.state(), warnings=[])
    except DeviceError as err:
        said = f"{err}; what the slots hold counts, the history is lost, and a tentative bundle counts as committed"
        return _Reader(store=store, state=states.EMPTY, warnings=[said])


def _contents(reader: _Reader, active: Held | None, previous: Held | None) -> Contents:
    state = reader.state
    in_force = active is not None and state.tentative is not None and state.tentative.digest == active.bundle.digest
    return Contents(
        state=state,
        active=active,
        previous=previous,
        tentative=state.tentative if in_force else None,
        warnings=tuple(reader.warnings),
    )


def _other(slot: Slot) -> Slot:
    return "b" if slot == "a" else "a"
