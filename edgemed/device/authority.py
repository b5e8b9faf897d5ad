"""Changes of what a store believes: the next trust root, and newer thresholds for the bundle that is active.

Rules: under the lock of the store; everything that may refuse comes before the one rename that changes something, so
that a cut leaves what was there or what was asked for. A root that would leave nothing to run is refused, unless the
caller wants exactly that: it is how a stolen key is stopped. An overlay is kept beside the bundle and its version
remembered, so that one taken away later is missed.

    trust = authority.replace_root(store, Path("root-2.json"))
    bundle = authority.add_overlay(store, Path("chest-xray-2.overlay"))
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgemed import files
from edgemed.bundle import dsse, overlay, roles, trust
from edgemed.bundle.archive import Bundle
from edgemed.bundle.manifest import MODEL
from edgemed.bundle.roles import ROOT_LIMIT_BYTES, Trust
from edgemed.bundle.trusted import ROOT
from edgemed.device import contents, filesystem, lock, switch
from edgemed.device.contents import Contents
from edgemed.device.store import Store
from edgemed.errors import BundleError, DeviceError, SignatureError
from edgemed.runtime import decision

__all__ = ["add_overlay", "replace_root"]


def replace_root(store: Store, path: Path, *, may_stop: bool = False) -> Trust:
    """Put the root in a file in the place of the store's, and return it; the same one again changes nothing.

    A store of plain keys takes a root of version 1 that one of them has signed.

    Args:
        store: opened.
        path: the root.
        may_stop: take a root by which the active bundle is not trusted any more, so that nothing runs until a bundle
            is installed that is.

    Raises:
        BundleError: as `edgemed.bundle.roles.rotated`.
        DeviceError: nothing would run any more, or the store is locked, full or read-only.
    """
    raw = files.read_bounded(path, limit_bytes=ROOT_LIMIT_BYTES, error=BundleError)
    with lock.held(store.path):
        present = store.trust()
        if raw == present.raw:
            return present
        newer = roles.rotated(present, raw, source=str(path))
        if not may_stop:
            _require_running(store, contents.read(store), newer, path)
        filesystem.replace(store.fs, store.path / "trust" / ROOT, raw)
    return newer


def add_overlay(store: Store, path: Path) -> Bundle:
    """Put an overlay in force for the active bundle, and return the bundle as it decides now.

    Raises:
        BundleError: as `edgemed.bundle.overlay.admitted`, or its decision document is none that this edgemed reads.
        DeviceError: no bundle is active, or the store is locked, full or read-only.
    """
    raw = files.read_bounded(path, limit_bytes=dsse.LIMIT_BYTES, error=BundleError)
    with lock.held(store.path):
        found = contents.read(store)
        bundle = switch.require_active(store, found).bundle
        model = bundle.manifest.members[MODEL].sha256
        floor = found.state.decisions.get(model, 0)
        decided = overlay.admitted(bundle, raw, trust=store.trust(), floor=floor, source=str(path))
        rule = decision.parse(decided.members[overlay.DECISION])
        filesystem.replace(store.fs, store.path / "overlays" / f"{files.sha256(raw)[7:23]}.dsse", raw)
        decisions = {**found.state.decisions, model: rule.version}
        store.write_state(msgspec.structs.replace(found.state, decisions=decisions))
    return decided


def _require_running(store: Store, found: Contents, newer: Trust, path: Path) -> None:
    """Refuse a root by which the active bundle, or an overlay of the store, is not trusted."""
    if found.active is None:
        return
    try:
        trust.require_signers(found.active.bundle, newer)
        overlay.applied(found.active.bundle, store.overlays(), trust=newer)
    except SignatureError as err:
        raise DeviceError(
            f"{path}: by this root {found.active} would not be trusted any more, and nothing would run: {err}; install "
            "a bundle first that both roots trust, or stop this one with --may-stop"
        ) from err
