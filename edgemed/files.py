"""Digests, bounded reads and atomic writes: the only file idioms the rest of edgemed uses.

Rules: nothing is read before its size is bounded; nothing half-written ever carries the final name.

    files.write_atomic(path, raw)
    raw = files.read_bounded(path, limit_bytes=64 << 20)
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path

from edgemed.errors import EdgemedError

__all__ = ["locked", "read_bounded", "sha256", "sha256_file", "sync", "write_atomic"]

_POLL_S = 0.02


def sha256(raw: bytes | memoryview) -> str:
    """Return the digest as ``sha256:`` and 64 lower-case hex digits."""
    return "sha256:" + hashlib.sha256(raw).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the digest of a file's bytes, as `sha256` writes it, reading one MiB at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return "sha256:" + digest.hexdigest()


def read_bounded(path: Path, *, limit_bytes: int, error: type[EdgemedError] = EdgemedError) -> bytes:
    """Return a file's bytes, refusing a file larger than ``limit_bytes`` before it fills memory.

    Raises:
        EdgemedError: of class ``error``: missing, a folder, unreadable, or larger than the limit.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(limit_bytes + 1)
    except OSError as err:
        raise error(f"{path}: cannot be read: {err.strerror or err}; check the path and its permissions") from err
    if len(raw) > limit_bytes:
        raise error(f"{path}: is larger than the {limit_bytes} bytes accepted here")
    return raw


def write_atomic(path: Path, raw: bytes, *, mode: int = 0o644) -> None:
    """Write bytes to a sibling temporary, sync it, rename it onto ``path``, and sync the folder.

    A reader sees the old file or the new one, never a part; a failure leaves the old one and no temporary.

    Raises:
        OSError: the folder is missing, read-only or full.
    """
    import tempfile  # here: it brings five modules, and a device mostly reads

    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Make a file's bytes, or the renames inside a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def locked(descriptor: int, *, wait_s: float) -> bool:
    """Return whether the lock of an open file (flock) was had within a time; closing the file gives it back."""
    import fcntl  # here: readers take no lock

    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(_POLL_S)
        else:
            return True
