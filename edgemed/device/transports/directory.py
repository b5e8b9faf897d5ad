"""A folder instead of a wire: a stick or card that devices import from.

The install folder holds a bundle and ``edgemed-install.json``, which names it and is written last: a folder without it,
or whose bundle has other bytes, installs nothing. ``edgemed device import DIR`` picks it up.

    session = directory.Session(Path("/media/stick"), device="jetson-orin-nano")
    ready = directory.read(Path("/media/stick"))
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgemed import files, schema
from edgemed.bundle.encryption import ENCRYPTED_LIMIT_BYTES
from edgemed.bundle.manifest import Digest, Name, Version
from edgemed.device.transports import Advance, DeviceState, Installed, Installing, Upload
from edgemed.errors import BundleError, ConfigError, DeviceError, DigestError

__all__ = ["DOCUMENT", "InstallDocument", "Session", "read"]

DOCUMENT = "edgemed-install.json"
_DOCUMENT_LIMIT_BYTES = 64 << 10
_PIECE_BYTES = 256 << 10
_STORE_MARK = "format.json"  # every device store has it, no install folder does


class InstallDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``edgemed-install.json``: which bundle of a folder a device installs.

    Attributes:
        device: id of the target that it was prepared for.
        name: of the bundle; None for an encrypted file, as its version and digest.
        file: its name in the same folder.
        sha256: of the file's bytes.
        digest: of the bundle.
        tentative: starts until the device goes back by itself; None commits at once.
    """

    schema: Literal[1] = 1
    device: Name
    name: Name | None = None
    version: Version | None = None
    file: Annotated[str, Meta(pattern=r"^[a-z0-9][A-Za-z0-9._-]{0,120}\.edgemed(\.age)?\Z")]
    size_bytes: Annotated[int, Meta(ge=1, le=ENCRYPTED_LIMIT_BYTES)]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    digest: Digest | None = None
    tentative: Annotated[int, Meta(ge=1, le=1000)] | None = None
    strict_latency: bool = False


def read(folder: Path) -> tuple[InstallDocument, Path]:
    """Return what an install folder holds and the bundle's path, its bytes compared with the document.

    Raises:
        ConfigError: no install folder, or its document is wrong.
        DigestError: the bundle there has other bytes, because a copy was cut short or a stick has failed.
    """
    path = folder / DOCUMENT
    if not path.exists():
        raise ConfigError(f"{folder}: has no {DOCUMENT}; make it with 'edgemed flash BUNDLE --device ID --to {folder}'")
    raw = files.read_bounded(path, limit_bytes=_DOCUMENT_LIMIT_BYTES, error=ConfigError)
    document = schema.decode_json(raw, InstallDocument, source=str(path))
    bundle = folder / document.file
    found = files.read_bounded(bundle, limit_bytes=ENCRYPTED_LIMIT_BYTES, error=BundleError)
    if hashlib.sha256(found).hexdigest() != document.sha256:
        raise DigestError(f"{bundle}: its bytes are not those that {DOCUMENT} names; write the folder again")
    return document, bundle


class Session:
    """An install folder; implements `edgemed.device.transports.Transport`."""

    def __init__(self, folder: Path, *, device: str) -> None:
        self._folder = folder
        self._device = device

    @property
    def place(self) -> str:
        """The folder."""
        return str(self._folder)

    async def wake(self) -> None:
        """Do nothing: a folder is always ready."""

    async def probe(self, upload: Upload) -> DeviceState:
        """Return what can be known of a folder: how much room it has.

        Raises:
            DeviceError: no folder there, or a device store.
        """
        try:
            is_folder, is_store = self._folder.is_dir(), (self._folder / _STORE_MARK).exists()
        except OSError as err:
            raise DeviceError(f"{self.place}: cannot be looked at: {err.strerror or err}; may this user?") from err
        if not is_folder:
            raise DeviceError(f"{self.place}: is no folder, expected one on a mounted stick or card; is it mounted?")
        if is_store:
            raise DeviceError(
                f"{self.place}: is a device store, expected a folder to write an install folder into; "
                f"on the device itself run 'edgemed device install FILE --store {self.place}'"
            )
        return DeviceState(
            place=self.place,
            target=None,
            runtime=None,
            active=None,
            release_floors={},
            free_bytes=shutil.disk_usage(self._folder).free,
        )

    async def put(self, upload: Upload, *, offset: int, advance: Advance) -> None:
        """Write the bundle, under its name once every byte is on the stick.

        Raises:
            DeviceError: the stick is full, read-only, or was pulled out.
        """
        del offset  # a local write starts anew: a part of a file proves nothing about the rest
        self._write(self._folder / upload.name, upload.raw, advance)

    async def install(self, upload: Upload, how: Installing) -> Installed:
        """Write the document that makes the folder an install folder.

        Raises:
            DeviceError: the stick is full, read-only, or was pulled out.
        """
        known = upload.digest is not None
        name, _, version = upload.name.removesuffix(".edgemed").rpartition("-")
        document = InstallDocument(
            device=self._device,
            name=name if known else None,
            version=version if known else None,
            file=upload.name,
            size_bytes=upload.size_bytes,
            sha256=upload.sha256,
            digest=upload.digest,
            tentative=how.tentative,
            strict_latency=how.strict_latency,
        )
        self._write(self._folder / DOCUMENT, msgspec.json.format(schema.encode_json(document)) + b"\n")
        return Installed(result="prepared", digest=upload.digest, document=schema.to_builtins(document))

    def _write(self, path: Path, raw: bytes, advance: Advance = lambda _: None) -> None:
        """Write, sync, rename; no mode is set, for the FAT of a stick refuses that."""
        temporary = path.with_name(f".{path.name}.part")
        try:
            try:
                with temporary.open("wb") as stream:
                    for start in range(0, len(raw), _PIECE_BYTES):
                        advance(stream.write(raw[start : start + _PIECE_BYTES]))
                    stream.flush()
                    os.fsync(stream.fileno())
                temporary.replace(path)
                files.sync(path.parent)
            finally:
                with contextlib.suppress(OSError):
                    temporary.unlink()
        except OSError as err:
            raise DeviceError(
                f"{path}: cannot be written: {err.strerror or err}; is the stick writable, and is there room on it?"
            ) from err
