"""A bundle file into the inactive slot, and the pointer to it: everything that may refuse comes before what changes.

`install` goes through these steps, under the lock of the store:

1. Bounds: the size is bounded before the file is read (`edgemed.bundle.trust`, steps 0 and 2).
2. The store's trust has signed it; archive, digests and minimum runtime hold (`trust`, steps 1 to 9).
3. A member of it admits the store's target.
4. Nothing is on trial: a tentative bundle is committed or rolled back first.
5. The bundle that is active already changes nothing.
6. Its release is not below the floor of its name, and it opens together with the overlays that the store holds.
7. There is room for it.
8. ``state.json`` notes the attempt. Up to here nothing was written.
9. The file is copied beside the inactive slot's bundle, as ``incoming.edgemed``, and synced.
10. The health check reads this very copy, in a process of its own. A failure removes the copy: the bundle that was
    active is active, and the previous one is still there to go back to.
11. A tentative install notes the trial in ``state.json``; it is in force once the pointer points to its bundle.
12. The copy gets the name of the slot's bundle, in one rename, synced.
13. The pointer changes, in one rename, synced.
14. ``state.json`` notes the end: history, floor.

A cut before 13 leaves the old bundle active, one after it the new one; neither needs a repair. The next change of the
store writes into the history what was cut.

    done = install.install(store, Path("chest-xray-1.1.0.edgemed"))
"""

from __future__ import annotations

import contextlib
import enum
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgemed import files, targets
from edgemed.bundle import trust
from edgemed.bundle.archive import Bundle
from edgemed.bundle.encryption import ENCRYPTED_LIMIT_BYTES
from edgemed.device import contents, filesystem, health, lock, switch
from edgemed.device import state as states
from edgemed.device.contents import Contents
from edgemed.device.health import Check, Health, TargetCheck
from edgemed.device.state import Attempt, Event, State, Tentative
from edgemed.device.store import INCOMING, Held, Slot, Store
from edgemed.errors import BundleError, ConfigError, DeviceError, EdgemedError, InstallError, TargetMismatchError

__all__ = ["MARGIN_BYTES", "Installed", "Result", "install", "own_check"]

MARGIN_BYTES = 1 << 20  # for state, pointer, folders and the journal of the file system


class Result(str, enum.Enum):
    """How an install ended."""

    INSTALLED = "installed"
    TENTATIVE = "tentative"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, kw_only=True, eq=False)
class Installed:
    """What came of an install.

    Attributes:
        active: the bundle of the file.
        previous: what was active before, or what there is to go back to where nothing changed; None for the first.
        health: None where nothing changed.
        warnings: of the store, before; those of the bundle are in ``health``.
    """

    result: Result
    active: Held
    previous: Held | None
    health: Health | None
    warnings: tuple[str, ...]


def install(
    store: Store,
    path: Path,
    *,
    tentative: int | None = None,
    strict_latency: bool = False,
    check: Check | None = None,
) -> Installed:
    """Make the bundle in a file the active one, after the numbered steps of this module.

    Args:
        store: opened.
        path: the file.
        tentative: starts after which the previous bundle is active again unless it is committed; None commits at once.
        strict_latency: refuse a bundle that exceeds the target's latency budget on this unit.
        check: the health check; None for the one in a process of its own.

    Raises:
        BundleError: the file is no bundle, altered, not signed as the store asks, too new for this edgemed (1, 2), or
            below the floor (6).
        TargetMismatchError: it is for another target (3), or the store is another machine's.
        DeviceError: the store is locked, read-only, too small (7), or has a bundle on trial (4).
        ConfigError: a trial in an empty store, for there is nothing to go back to.
        InstallError: the health check failed; nothing has changed (10).
    """
    check = own_check(store) if check is None else check
    with lock.held(store.path):
        raw, bundle = _admitted(store, path)  # 1, 2, 3
        found = contents.read(store)
        if found.tentative is not None:  # 4
            raise DeviceError(
                f"{store.path}: {found.active} is tentative; keep it with 'edgemed device commit' or leave it with "
                "'edgemed device rollback' first"
            )
        if found.active is not None and found.active.bundle.digest == bundle.digest:  # 5
            return _outcome(found, Result.UNCHANGED, found.active, previous=found.previous)
        _require_something_to_go_back_to(store, found, tentative)
        trust.require_release(bundle, found.floor(bundle.manifest.name))  # 6
        switch.with_overlays(store, found, bundle)
        _require_room(store, len(raw))  # 7
        held = Held(slot=found.inactive(), bundle=bundle)
        state = _begun(store, found, bundle)  # 8
        with _cleared_up(store, held.slot):
            filesystem.add(store.fs, store.file(held.slot, INCOMING), raw)  # 9
            report = _healthy(store, state, found, held, check, strict_latency=strict_latency)  # 10
            if tentative is not None:  # 11
                trial = Tentative(digest=bundle.digest, starts_left=tentative)
                state = msgspec.structs.replace(state, tentative=trial)
                store.write_state(state)
            filesystem.move(store.fs, store.file(held.slot, INCOMING), store.file(held.slot))  # 12
        store.point(held.slot)  # 13
        store.write_state(_ended(store, state, held))  # 14
        result = Result.INSTALLED if tentative is None else Result.TENTATIVE
        return _outcome(found, result, held, previous=found.active, report=report)


def own_check(store: Store, told: TargetCheck = health.check) -> Check:
    """Return the check on this machine, told what the store's target is.

    Raises:
        ConfigError: no target has the id in the store.
        TargetMismatchError: the store is another machine's.
    """
    here = targets.architecture()
    target = targets.load(store.target)
    if here not in target.arch:
        raise TargetMismatchError(
            f"{store.path}: is the store of a {target.id} ({' or '.join(target.arch)}), this machine is {here}; "
            "install on the device itself, or write an install folder with 'edgemed flash BUNDLE --to DIR'"
        )
    return functools.partial(told, target=target)


def _admitted(store: Store, path: Path) -> tuple[bytes, Bundle]:
    """Steps 1 to 3."""
    with contextlib.suppress(OSError):  # what may not be looked at, the read names
        if path.is_dir():
            raise BundleError(f"{path}: is a folder, expected an .edgemed file; name the file in it")
    raw = files.read_bounded(path, limit_bytes=ENCRYPTED_LIMIT_BYTES, error=BundleError)
    return raw, store.verified(raw, source=path)


def _require_something_to_go_back_to(store: Store, found: Contents, tentative: int | None) -> None:
    if tentative is not None and found.active is None:
        raise ConfigError(f"{store.path}: holds no bundle to go back to; install the first one without --tentative")


def _require_room(store: Store, size_bytes: int) -> None:
    """Step 7."""
    try:
        free = store.fs.free_bytes(store.path)
    except OSError as err:
        raise DeviceError(f"{store.path}: cannot be looked at: {err.strerror or err}; check the disk") from err
    if free < size_bytes + MARGIN_BYTES:
        raise DeviceError(
            f"{store.path}: {free} bytes are free, expected at least {size_bytes + MARGIN_BYTES} "
            f"({size_bytes} for the bundle); make room and try again"
        )


def _begun(store: Store, found: Contents, bundle: Bundle) -> State:
    """Step 8: the state with the attempt, written."""
    before, manifest = found.state.attempt, bundle.manifest
    count = before.count + 1 if before is not None and before.digest == bundle.digest else 1
    attempt = Attempt(
        digest=bundle.digest, name=manifest.name, version=manifest.version, release=manifest.release, count=count
    )
    state = switch.settled(store, found)
    if found.active is not None:
        state = states.fit(state, found.active.bundle.digest)
    state = states.fit(state, bundle.digest)  # the attempt bars it until it has ended
    state = msgspec.structs.replace(state, attempt=attempt, tentative=None)
    store.write_state(state)
    return state


@contextlib.contextmanager
def _cleared_up(store: Store, slot: Slot) -> Iterator[None]:
    """Remove the copy where it does not get its name; Ctrl-C included."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(DeviceError):
            filesystem.discard(store.fs, store.file(slot, INCOMING))
        raise


def _healthy(store: Store, state: State, found: Contents, held: Held, check: Check, *, strict_latency: bool) -> Health:
    """Step 10: the report of a bundle that may run; a failure is written into the history and raised."""
    try:
        report = check(store, store.file(held.slot, INCOMING))
        if strict_latency and report.slow:
            raise InstallError(f"too slow on this unit: {'; '.join(report.slow)}")
    except EdgemedError as err:
        state = states.recorded(state, Event.FAILED, held.bundle, at=store.clock(), reason=str(err))
        state = states.rejecting(state, held.bundle.digest)
        store.write_state(msgspec.structs.replace(state, attempt=None))
        stays = f"{found.active} stays active" if found.active else "no bundle is active"
        raise InstallError(f"{held}: {err}; rolled back, {stays}") from err
    return report


def _ended(store: Store, state: State, held: Held) -> State:
    """Step 14."""
    event = Event.INSTALLED if state.tentative is None else Event.TENTATIVE
    state = states.recorded(state, event, held.bundle, slot=held.slot, at=store.clock())
    if state.tentative is None:
        state = states.with_floor(state, held.bundle.manifest.name, held.bundle.manifest.release)
    return msgspec.structs.replace(state, attempt=None)


def _outcome(
    found: Contents, result: Result, active: Held, *, previous: Held | None, report: Health | None = None
) -> Installed:
    return Installed(result=result, active=active, previous=previous, health=report, warnings=found.warnings)
