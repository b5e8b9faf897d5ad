"""What stands for an image in records: a hash that only this device can make, of what identifies it.

HMAC-SHA256 with a key that is made on the device and stays there: who has the records alone cannot tell whether an
image is among them, and who has the key too can look for one image, but read none. Of a DICOM object the SOP Instance
UID is hashed, which it keeps when it is copied; of any other file its bytes.

    names = Pseudonyms(read_or_make(store / "identity" / "records.key"))
    names.of(Subject(instance="1.2.840..."))

Source: RFC 2104 (HMAC), FIPS 180-4 (SHA-256).
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import threading
from dataclasses import dataclass, field
from pathlib import Path

from edgemed import files
from edgemed.errors import DeviceError
from edgemed.records import ownership

__all__ = ["NOBODY", "Pseudonyms", "Subject", "read_or_make"]

_KEY_BYTES = 32
_LIMIT_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What identifies an image; never written down, and hidden from ``repr``.

    Attributes:
        instance: its SOP Instance UID.
        path: its file, which is read where there is no ``instance``.
    """

    instance: str | None = field(default=None, repr=False)
    path: Path | None = field(default=None, repr=False)


NOBODY = Subject()
"""An image that nothing identifies, such as a frame of a camera."""


class Pseudonyms:
    """Hashes under one key; for any thread."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._guard = threading.Lock()
        self._last: tuple[Path, str | None] | None = None

    def of(self, subject: Subject) -> str | None:
        """Return 64 hex digits; None where nothing identifies the image, or its file cannot be read any more."""
        if subject.instance is not None:
            return self._hashed(b"instance\0" + subject.instance.encode("utf-8", "surrogateescape"))
        return None if subject.path is None else self._of_file(subject.path)

    def _of_file(self, path: Path) -> str | None:
        """Read a file once for all frames of it that come one after the other."""
        with self._guard:
            if self._last is None or self._last[0] != path:
                self._last = (path, self._of_content(path))
            return self._last[1]

    def _of_content(self, path: Path) -> str | None:
        try:
            # Reading a camera or a pipe would take frames from who watches it, or wait for ever.
            return self._hashed(b"content\0" + files.sha256_file(path).encode()) if path.is_file() else None
        except OSError:
            return None

    def _hashed(self, raw: bytes) -> str:
        return hmac.new(self._key, raw, "sha256").hexdigest()


def read_or_make(path: Path) -> bytes:
    """Return the 32 bytes of a device's key, made on first use in a file of mode 0600.

    Raises:
        DeviceError: it cannot be read or made, or is damaged.
    """
    try:
        if not path.exists():
            _make(path)
        raw = files.read_bounded(path, limit_bytes=_LIMIT_BYTES, error=DeviceError)
    except OSError as err:
        raise DeviceError(
            f"{path}: the key for records cannot be made: {err.strerror or err}; run as a user who may write the store"
        ) from err
    with contextlib.suppress(ValueError):
        key = bytes.fromhex(raw.decode("ascii", "replace"))
        if len(key) == _KEY_BYTES:
            return key
    raise DeviceError(
        f"{path}: expected {2 * _KEY_BYTES} hex digits, got something else; put the key back from a copy, or remove "
        "the file: a new key is made, by which images of older records are not found again"
    )


def _make(path: Path) -> None:
    """Make the key whole or not at all; of two processes the first one's stays."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    files.write_atomic(temporary, secrets.token_hex(_KEY_BYTES).encode() + b"\n", mode=0o600)
    try:
        ownership.like_folder(temporary)
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
    files.sync(path.parent)
