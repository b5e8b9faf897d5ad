"""The device store: two slots, one pointer, one state; whatever byte the power is cut at, a bundle opens afterwards.

    STORE/format.json             {"schema":1}; written last: a folder without it is no store
    STORE/target                  one line: id of the target that this device is
    STORE/current                 one line, a or b: the slot that runs; changed by one rename
    STORE/slots/a/bundle.edgemed  the file as it came, whole; so in slots/b
    STORE/slots/b/incoming.edgemed  an install at work, or one that was cut; never run
    STORE/state.json              floors, tentative bundle, unfinished install, history (`edgemed.device.state`)
    STORE/trust/                  root.json, or public keys: who must have signed (`edgemed.bundle.trusted`)
    STORE/identity/               this device's own keys, 0600 in a folder 0700 (`edgemed.device.identity`)
    STORE/overlays/               signed decision documents (`edgemed.bundle.overlay`)
    STORE/inbox/                  uploads on their way
    STORE/records/                what the runtime writes down
    STORE/lock                    empty; flock, for whoever changes something

``ls`` and ``cat`` read all of it: ``cat slots/$(cat current)/bundle.edgemed`` is the active bundle.

Rules: a slot's file is verified in full at every load, so nothing else in the store needs to be believed; a slot's file
is complete and has passed the health check before it gets its name; the pointer changes last, by one rename that is
synced. Where the pointer or its slot is damaged, the previous bundle runs, and a warning says so.

    opened = store.open_store(Path("/var/lib/edgemed"))
    active = switch.start(opened)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import cast

import msgspec

from edgemed import schema
from edgemed.bundle import dsse, encryption, roles, trust
from edgemed.bundle import keys as key_files
from edgemed.bundle.archive import Bundle
from edgemed.bundle.encryption import ENCRYPTED_LIMIT_BYTES
from edgemed.bundle.roles import Trust
from edgemed.bundle.trusted import ROOT
from edgemed.device import filesystem, identity
from edgemed.device import state as states
from edgemed.device.filesystem import DISK, Filesystem
from edgemed.device.state import Slot, State
from edgemed.errors import BundleError, ConfigError, DeviceError, TargetMismatchError

__all__ = [
    "BUNDLE",
    "FOLDERS",
    "FORMAT",
    "INCOMING",
    "SCHEMA",
    "SLOTS",
    "Held",
    "Slot",
    "Store",
    "open_store",
]

SLOTS: tuple[Slot, Slot] = ("a", "b")
BUNDLE = "bundle.edgemed"
INCOMING = "incoming.edgemed"
FORMAT = "format.json"
SCHEMA = 1
FOLDERS = ("slots", "slots/a", "slots/b", "trust", "overlays", "inbox", "records")

_SMALL_LIMIT_BYTES = 4096


class _Format(msgspec.Struct, frozen=True, kw_only=True):
    """The part of ``format.json`` that every schema has."""

    schema: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Held:
    """A slot's bundle, verified."""

    slot: Slot
    bundle: Bundle

    def __str__(self) -> str:
        return f"{self.bundle.manifest.name} {self.bundle.manifest.version}"


def _now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(frozen=True, kw_only=True, eq=False)
class Store:
    """A store that was found and whose layout this edgemed knows; nothing of its contents is believed yet.

    Attributes:
        target: id of the target that this device is.
        fs: how its files are read and changed.
        clock: the device's time, for the history alone.
    """

    path: Path
    target: str
    fs: Filesystem = DISK
    clock: Callable[[], datetime] = field(default=_now)

    def file(self, slot: Slot, name: str = BUNDLE) -> Path:
        """Return where a file of a slot lies."""
        return self.path / "slots" / slot / name

    def current(self) -> Slot | None:
        """Return the slot that the pointer names; None where there is no pointer, or one that names none."""
        try:
            line = self.fs.read(self.path / "current", limit_bytes=_SMALL_LIMIT_BYTES).strip()
        except OSError:
            return None
        return cast("Slot", line.decode()) if line in (b"a", b"b") else None

    def state(self) -> State:
        """Return ``state.json``.

        Raises:
            DeviceError: it is missing, unreadable or damaged.
        """
        path = self.path / "state.json"
        return states.parse(_read(self.fs, path, states.STATE_LIMIT_BYTES), source=str(path))

    def write_state(self, state: State) -> None:
        """Replace ``state.json``; the caller holds the lock.

        Raises:
            DeviceError: the disk refuses; the old one stays.
        """
        filesystem.replace(self.fs, self.path / "state.json", states.encode(state))

    def point(self, slot: Slot) -> None:
        """Make a slot the one that runs; the caller holds the lock.

        Raises:
            DeviceError: the disk refuses; the old one runs on.
        """
        filesystem.replace(self.fs, self.path / "current", f"{slot}\n".encode())

    def trust(self) -> Trust:
        """Return whose signatures count: the root document, or else the public keys.

        Raises:
            SignatureError: there is neither.
            BundleError: the root breaks a rule.
            ConfigError: a ``.pub`` file holds no public key.
            DeviceError: the folder cannot be read.
        """
        folder = self.path / "trust"
        try:
            names = self.fs.names(folder)
        except OSError as err:
            raise DeviceError(f"{folder}: cannot be read: {err.strerror or err}; make the store anew") from err
        if ROOT in names:
            return roles.parse(_read(self.fs, folder / ROOT, roles.ROOT_LIMIT_BYTES), source=str(folder / ROOT))
        found = [folder / name for name in names if name.endswith(".pub") and not name.startswith(".")]
        read = {path: _read(self.fs, path, key_files.KEY_LIMIT_BYTES) for path in found}
        return roles.of_keys([key_files.parse_public(raw, source=str(path)) for path, raw in read.items()])

    def overlays(self) -> Mapping[str, bytes]:
        """Return the decision overlays by name, sorted, nothing in them checked.

        Raises:
            DeviceError: they cannot be read.
        """
        folder = self.path / "overlays"
        try:
            names = self.fs.names(folder)
        except FileNotFoundError:
            return {}
        except OSError as err:
            raise DeviceError(f"{folder}: cannot be read: {err.strerror or err}; check the device's disk") from err
        return {name: _read(self.fs, folder / name, dsse.LIMIT_BYTES) for name in names if name.endswith(".dsse")}

    def verified(self, raw: bytes, *, source: Path) -> Bundle:
        """Return the bundle in a file's bytes, after every check of `edgemed.bundle.trust` and for this target.

        A file that is encrypted to this device is opened in memory first; it lies in the store as it came.

        Raises:
            BundleError: it is not one, was altered, is encrypted to other devices, or too few of the store's keys have
                signed.
            TargetMismatchError: no member of it admits the store's target.
            MissingDependencyError: it is encrypted and the library for that is not installed.
        """
        key = self.path / "identity" / f"{identity.ENCRYPTION}.key"
        clear = encryption.opened(raw, identity=key, source=str(source))
        try:
            bundle = trust.verify(clear, trust=self.trust())
            trust.require_target(bundle, self.target)
        except (BundleError, TargetMismatchError) as err:
            raise type(err)(f"{source}: {err}") from err
        return bundle

    def held(self, slot: Slot) -> Held | None:
        """Return a slot's bundle, verified at this very moment; None for an empty slot.

        Raises:
            EdgemedError: what lies there is not whole, not trusted any more, or of another target.
        """
        path = self.file(slot)
        try:
            raw = self.fs.read(path, limit_bytes=ENCRYPTED_LIMIT_BYTES)
        except FileNotFoundError:
            return None
        except OSError as err:
            raise BundleError(f"{path}: cannot be read: {err.strerror or err}") from err
        return Held(slot=slot, bundle=self.verified(raw, source=path))


def open_store(path: Path, *, fs: Filesystem = DISK, clock: Callable[[], datetime] = _now) -> Store:
    """Return the store in a folder.

    Raises:
        ConfigError: there is no store.
        DeviceError: it is a newer edgemed's, or cannot be read.
    """
    raw = _format(path, fs)
    found = schema.decode_json(raw, _Format, source=str(path / FORMAT), error=DeviceError)
    if found.schema != SCHEMA:
        raise DeviceError(
            f"{path / FORMAT}: schema: expected {SCHEMA}, got {found.schema}; "
            "this store was made by another edgemed: use that one, or a newer one"
        )
    line = _read(fs, path / "target", _SMALL_LIMIT_BYTES)
    return Store(path=path, target=line.decode("utf-8", "replace").strip(), fs=fs, clock=clock)


def _format(path: Path, fs: Filesystem) -> bytes:
    try:
        return fs.read(path / FORMAT, limit_bytes=_SMALL_LIMIT_BYTES)
    except FileNotFoundError as err:
        raise ConfigError(f"{path}: no device store here; make one with 'edgemed device init --store {path}'") from err
    except NotADirectoryError as err:
        raise ConfigError(f"{path}: is a file, expected the folder of a device store; check --store") from err
    except OSError as err:
        raise DeviceError(f"{path / FORMAT}: cannot be read: {err.strerror or err}; check its permissions") from err


def _read(fs: Filesystem, path: Path, limit_bytes: int) -> bytes:
    """Return a small file of the store."""
    try:
        raw = fs.read(path, limit_bytes=limit_bytes)
    except OSError as err:
        raise DeviceError(f"{path}: cannot be read: {err.strerror or err}; check the device's disk") from err
    if len(raw) > limit_bytes:
        raise DeviceError(f"{path}: is larger than the {limit_bytes} bytes accepted here")
    return raw
