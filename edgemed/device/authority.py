"""What a device is told by signed documents besides bundles: a newer trust root, and newer thresholds.

Rules: a document is checked whole before a byte is written; versions only rise, and what was in force once is missed
when it is taken away.

    authority.trust(store, Path("root-2.json"))
    authority.overlay(store, Path("thresholds-3.dsse"))
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgemed import files
from edgemed.bundle import overlay as overlays
from edgemed.bundle import roles
from edgemed.bundle.archive import Bundle
from edgemed.bundle.manifest import MODEL
from edgemed.bundle.roles import ROOT_LIMIT_BYTES, Trust
from edgemed.bundle.trusted import ROOT
from edgemed.device import contents, filesystem, lock, switch
from edgemed.device.store import OVERLAY_LIMIT_BYTES, Store
from edgemed.errors import BundleError

__all__ = ["overlay", "trust"]

_DIGITS = 16


def trust(store: Store, path: Path) -> Trust:
    """Put a newer trust root in force, and return it; the same one again changes nothing.

    Raises:
        BundleError: as `edgemed.bundle.roles.rotated`; the old root stays.
        DeviceError: the store is locked, full or read-only.
    """
    raw = files.read_bounded(path, limit_bytes=ROOT_LIMIT_BYTES, error=BundleError)
    with lock.held(store.path):
        old = store.trust()
        if raw == old.raw:
            return old
        newer = roles.rotated(old, raw, source=str(path))
        filesystem.replace(store.fs, store.path / "trust" / ROOT, raw)
    return newer


def overlay(store: Store, path: Path) -> Bundle:
    """Put newer thresholds for the active bundle in force, and return the bundle with them.

    Raises:
        BundleError: the file is no overlay, not signed as the store asks, of another model, or not newer.
        DeviceError: no bundle is active, or the store is locked, full or read-only.
    """
    raw = files.read_bounded(path, limit_bytes=OVERLAY_LIMIT_BYTES, error=BundleError)
    with lock.held(store.path):
        found = contents.read(store)
        bundle = switch.require_active(store, found).bundle
        model = bundle.manifest.members[MODEL].sha256
        floor = found.state.decisions.get(model, 0)
        decided = overlays.admitted(bundle, raw, trust=store.trust(), floor=floor, source=str(path))
        name = files.sha256(raw).removeprefix("sha256:")[:_DIGITS] + ".dsse"
        filesystem.replace(store.fs, store.path / "overlays" / name, raw)
        # After the file: a floor without it would keep the device from opening the bundle.
        decisions = {**found.state.decisions, model: overlays.decision_version(decided)}
        store.write_state(msgspec.structs.replace(found.state, decisions=decisions))
    return decided
