"""The documents in which a device answers programs: what its store holds, and what came of an install.

answers.status(store, contents.read(store))
answers.installed(store, install.install(store, path))
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from edgemed import __version__
from edgemed.device import identity
from edgemed.device.contents import Contents
from edgemed.device.install import Installed
from edgemed.device.store import Held, Store

__all__ = ["installed", "status"]


def status(store: Store, found: Contents) -> dict[str, Any]:
    """Return the document of ``device status``."""
    name = found.active.bundle.manifest.name if found.active else None
    attempt = found.state.attempt
    who = identity.known(store.fs, store.path / "identity")
    return {
        "store": store.path,
        "target": store.target,
        "device": None if who is None else who.device_id,
        "recipient": None if who is None else who.recipient,
        "opens_encrypted": find_spec("pyrage") is not None,
        "runtime": __version__,
        "active": None if found.active is None else {**_known(found.active), "slot": found.active.slot},
        "tentative": None if found.tentative is None else {"starts_left": found.tentative.starts_left},
        "previous": None if found.previous is None else {**_known(found.previous), "slot": found.previous.slot},
        "release_floor": 0 if name is None else found.floor(name),
        "release_floors": found.state.floors,
        "unfinished": attempt,
        "events": found.state.events,
        "free_bytes": _free_bytes(store),
        "warnings": found.warnings,
    }


def installed(store: Store, done: Installed) -> dict[str, Any]:
    """Return the document of ``device install``."""
    who = identity.known(store.fs, store.path / "identity")
    return {
        "result": done.result.value,
        "device": None if who is None else who.device_id,
        "bundle": _bundle(done.active),
        "slot": done.active.slot,
        "previous": _bundle(done.previous),
        "health": done.health,
    }


def _known(held: Held) -> dict[str, Any]:
    manifest = held.bundle.manifest
    return {
        "name": manifest.name,
        "version": manifest.version,
        "digest": held.bundle.digest,
        "release": manifest.release,
    }


def _bundle(held: Held | None) -> dict[str, Any] | None:
    return None if held is None else _known(held)


def _free_bytes(store: Store) -> int:
    try:
        return store.fs.free_bytes(store.path)
    except OSError:
        return 0
