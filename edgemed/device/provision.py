"""A new store: folders, trust, identity, target; and last of all the file that makes the folder a store.

Rules: an init that was cut is ended by the same init; a store that is there keeps its identity, its bundles and its
trust, and another target or another trust is refused, never put in their place.

    made = provision.init(Path("/var/lib/edgemed"), target="jetson-orin-nano", trust=trust)
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from edgemed import schema, shipped, targets
from edgemed.bundle import roles, trusted
from edgemed.bundle.roles import Trust
from edgemed.device import filesystem, identity, lock
from edgemed.device import state as states
from edgemed.device import store as stores
from edgemed.device.filesystem import DISK, Filesystem
from edgemed.device.identity import Identity
from edgemed.device.store import FOLDERS, FORMAT, SCHEMA, Store
from edgemed.errors import ConfigError, DeviceError

__all__ = ["Made", "init"]

_OF_A_STORE = {"current", "format.json", "identity", "lock", "state.json", "target"} | {
    name.split("/")[0] for name in FOLDERS
}
# What `edgemed flash --bootstrap` may have put there before, and what every new file system has.
_OF_OTHERS = {"runtime", "runtimes", "wheelhouse", "lost+found"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Made:
    """A store that is ready, and whether it was ready before."""

    store: Store
    identity: Identity
    trust: Trust
    is_new: bool


def init(path: Path, *, target: str | None = None, trust: Trust | None = None, fs: Filesystem = DISK) -> Made:
    """Make a store, or find the one that is there to be the same.

    Args:
        path: its folder; made with its parents.
        target: id of the target that this device is; None for what a store that is there says, and for a new one the
            generic target of this machine.
        trust: whose signatures shall count; None for that of the store that is there, and for a new one the package's
            demo key.
        fs: how files are changed.

    Raises:
        ConfigError: no target has this id; the folder holds something else; or a store for another target, or with
            another trust, is there.
        DeviceError: the folder cannot be written, or the store there is locked or of another edgemed.
    """
    if target is not None:
        targets.load(target)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if FORMAT in fs.names(path):
            return _found(stores.open_store(path, fs=fs), target, trust)
    _make_folder(path, fs)
    with lock.held(path):
        if FORMAT in fs.names(path):  # another init has ended meanwhile
            return _found(stores.open_store(path, fs=fs), target, trust)
        trust = roles.of_keys([shipped.demo_key()]) if trust is None else trust
        made = _filled(path, target or targets.generic_id(), trust, fs)
        filesystem.replace(fs, path / FORMAT, schema.encode_json({"schema": SCHEMA}) + b"\n")
    return Made(store=stores.open_store(path, fs=fs), identity=made, trust=trust, is_new=True)


def _found(store: Store, target: str | None, trust: Trust | None) -> Made:
    if target is not None and store.target != target:
        raise ConfigError(
            f"{store.path}: is a store for target {store.target}, expected {target}; "
            "choose another folder, or leave --target away"
        )
    own = store.trust()
    if trust is not None and trusted.contents(own) != trusted.contents(trust):
        raise ConfigError(
            f"{store.path}: is a store that trusts other keys; leave --trust away to keep them, "
            "or make a store in another folder"
        )
    return Made(store=store, identity=identity.read(store.fs, store.path / "identity"), trust=own, is_new=False)


def _make_folder(path: Path, fs: Filesystem) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fs.make_folder(path, mode=0o755)
        strange = [name for name in fs.names(path) if name not in _OF_A_STORE | _OF_OTHERS and name[:1] != "."]
    except OSError as err:
        raise DeviceError(f"{path}: cannot be made: {err.strerror or err}; choose another folder with --store") from err
    if strange:
        raise ConfigError(f"{path}: holds {strange[0]}, which is of no store; choose an empty folder with --store")


def _filled(path: Path, target: str, trust: Trust, fs: Filesystem) -> Identity:
    for name in FOLDERS:
        filesystem.make_folder(fs, path / name)
    wanted = trusted.contents(trust)
    for name in fs.names(path / "trust"):
        if name not in wanted:
            filesystem.discard(fs, path / "trust" / name)  # of an init that was cut, which trusted others
    for name, raw in wanted.items():
        filesystem.replace(fs, path / "trust" / name, raw)
    made = identity.make(fs, path / "identity")
    filesystem.replace(fs, path / "state.json", states.encode(states.EMPTY))
    filesystem.replace(fs, path / "target", f"{target}\n".encode())
    return made
