"""Changes of which bundle runs: the start of a screening, commit, and rollback.

Rules: under the lock; the pointer is what changes a bundle, the state follows it. Each function may be cut after any
step: what it left is either what was before, or what it was asked for, and the same call again ends it.

    found = switch.start(opened)           # what screens; a tentative bundle loses one of its starts
    bundle = switch.decided(opened, found)  # with the thresholds that are in force
    switch.commit(opened)
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from edgemed.bundle import overlay
from edgemed.bundle.archive import Bundle
from edgemed.bundle.manifest import MODEL
from edgemed.device import auditing, contents, lock
from edgemed.device import state as states
from edgemed.device.contents import Contents
from edgemed.device.state import Event, State
from edgemed.device.store import Held, Store
from edgemed.errors import DeviceError

__all__ = ["commit", "decided", "require_active", "rollback", "settled", "start", "with_overlays"]

_START_WAIT_S = 5.0  # commit and another start take milliseconds; an install holds no lock while one is on trial


def start(store: Store, *, wait_s: float = _START_WAIT_S) -> Contents:
    """Return what is active for a screening that begins now; a tentative bundle loses a start, or its place.

    Args:
        store: opened.
        wait_s: how long to wait for another process that changes the store, where a start is to be counted.

    Raises:
        ConfigError: the store is empty.
        DeviceError: a tentative bundle's start cannot be counted: the store is read-only, full, or locked.
        EdgemedError: no bundle in the store verifies.
    """
    found = contents.read_active(store)
    if found.tentative is None:
        return found
    with lock.held(store.path, wait_s=wait_s):
        found = contents.read(store)
        if found.active is None or found.tentative is None:
            return contents.read_active(store)  # it was committed or rolled back meanwhile
        if found.tentative.starts_left > 0:
            left = msgspec.structs.replace(found.tentative, starts_left=found.tentative.starts_left - 1)
            state = msgspec.structs.replace(found.state, tentative=left)
            store.write_state(state)
            return replace(found, state=state, tentative=left)
        return _expired(store, found)


def decided(store: Store, found: Contents) -> Bundle:
    """Return the active bundle with the highest decision overlay of the store in force.

    Raises:
        BundleError: an overlay was altered, is not signed as the store asks, or is missing though it was in force once.
        DeviceError: there is no active bundle, or the overlays cannot be read.
    """
    return with_overlays(store, found, require_active(store, found).bundle)


def with_overlays(store: Store, found: Contents, bundle: Bundle) -> Bundle:
    """Return a bundle as it would decide in this store.

    Raises:
        BundleError: as `decided`.
        DeviceError: the overlays cannot be read.
    """
    floor = found.state.decisions.get(bundle.manifest.members[MODEL].sha256, 0)
    return overlay.applied(bundle, store.overlays(), trust=store.trust(), floor=floor)


def commit(store: Store) -> Contents:
    """Keep the active bundle for good, and return what the store holds; a committed one stays as it is.

    Raises:
        DeviceError: the store is empty, locked, full or read-only.
    """
    with lock.held(store.path):
        found = contents.read(store)
        active = require_active(store, found)
        if found.tentative is None and store.current() == active.slot:
            return found
        state = settled(store, found)
        if found.tentative is not None:
            state = states.recorded(state, Event.COMMITTED, active.bundle, slot=active.slot, at=store.clock())
        manifest = active.bundle.manifest
        state = states.with_floor(states.fit(state, active.bundle.digest), manifest.name, manifest.release)
        store.write_state(msgspec.structs.replace(state, tentative=None))
        if store.current() != active.slot:
            store.point(active.slot)
        return _audited(store, contents.read(store))


def rollback(store: Store) -> Contents:
    """Go back to the previous bundle, and return what the store holds; the one that was left is not gone back to.

    Raises:
        DeviceError: there is no previous bundle, or the store is locked, full or read-only.
    """
    with lock.held(store.path):
        found = contents.read(store)
        active = require_active(store, found)
        if found.previous is None:
            raise DeviceError(
                f"{store.path}: there is no bundle to go back to from {active}: the other slot is empty, or holds one "
                "that failed, was rolled back or was never active; install the one you want"
            )
        _back(store, found, active, found.previous, Event.ROLLED_BACK)
        return _audited(store, contents.read(store))


def require_active(store: Store, found: Contents) -> Held:
    """Return the active bundle.

    Raises:
        DeviceError: there is none.
    """
    if found.active is None:
        why = f": {'; '.join(found.warnings)}" if found.warnings else ""
        raise DeviceError(f"{store.path}: no bundle is active{why}; install one with 'edgemed device install'")
    return found.active


def settled(store: Store, found: Contents) -> State:
    """Return the state without the unfinished install of an earlier run, and with the floors that the slots show."""
    state, attempt, active = found.state, found.state.attempt, found.active
    if attempt is not None and active is not None and attempt.digest == active.bundle.digest:
        # Cut after the pointer had changed: it is installed, only nobody wrote so.
        event = Event.TENTATIVE if found.tentative else Event.INSTALLED
        state = states.recorded(state, event, active.bundle, slot=active.slot, at=store.clock())
    elif attempt is not None:
        state = states.recorded(state, Event.INTERRUPTED, attempt, at=store.clock())
        state = states.rejecting(state, attempt.digest)
    for name in {held.bundle.manifest.name for held in (found.active, found.previous) if held}:
        state = states.with_floor(state, name, found.floor(name))
    return msgspec.structs.replace(state, attempt=None)


def _expired(store: Store, found: Contents) -> Contents:
    """Give the place of a bundle whose starts are used up to the previous one, if that verifies."""
    active = require_active(store, found)
    if found.previous is None:
        said = f"{active}: its starts are used up and there is no bundle to go back to; commit it or install another"
        return replace(found, warnings=(*found.warnings, said))
    _back(store, found, active, found.previous, Event.EXPIRED)
    return _audited(store, contents.read_active(store))


def _audited(store: Store, found: Contents) -> Contents:
    """Return the contents, once what was done is in the audit log, or with a warning that it is not."""
    return replace(found, warnings=(*found.warnings, *auditing.catch_up(store)))


def _back(store: Store, found: Contents, active: Held, previous: Held, event: Event) -> None:
    """Point to the previous bundle.

    The state is written twice: first what must not be lost, that this one is rejected; at the end what happened. In
    between a tentative bundle stays tentative, so that a cut commits nothing.
    """
    state = states.rejecting(settled(store, found), active.bundle.digest)
    state = states.fit(state, previous.bundle.digest)
    store.write_state(state)
    store.point(previous.slot)
    state = states.recorded(state, event, active.bundle, slot=active.slot, at=store.clock())
    store.write_state(msgspec.structs.replace(state, tentative=None))
