"""Every effect that the device store has on its disk, as a protocol of small steps, and the real one.

Rules: nothing below `edgemed.device.store` touches the disk but through these steps, so that a test can cut the power
after each of them; a step is durable only once its file, or the folder it changed, is synced; what a disk refuses is a
`DeviceError` that names the file.

    filesystem.replace(DISK, store / "state.json", raw)

Source: rename replaces atomically (POSIX.1-2017, rename); a new name needs an fsync of its folder (Linux, fsync(2)).
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from edgemed import files
from edgemed.errors import DeviceError

__all__ = ["DISK", "Disk", "Filesystem", "add", "discard", "make_folder", "move", "replace"]

_ADVICE = {
    errno.ENOSPC: "make room and try again",
    errno.EDQUOT: "make room and try again",
    errno.EROFS: "mount its file system for writing and try again",
    errno.EACCES: "run as a user who may write the store",
    errno.EPERM: "run as a user who may write the store",
    errno.EIO: "the disk is failing; replace it",
}


class Filesystem(Protocol):
    """The steps. Each raises `OSError` as the operating system does."""

    def read(self, path: Path, *, limit_bytes: int) -> bytes:
        """Return a file's first ``limit_bytes + 1`` bytes, or fewer where it ends."""
        ...

    def names(self, path: Path) -> tuple[str, ...]:
        """Return what lies in a folder, sorted."""
        ...

    def free_bytes(self, path: Path) -> int:
        """Return how many bytes a user may still write to the disk that holds a folder."""
        ...

    def make_folder(self, path: Path, *, mode: int) -> None:
        """Make a folder whose parent exists; one that is there stays as it is."""
        ...

    def write(self, path: Path, raw: bytes, *, mode: int) -> None:
        """Make or empty a file, and write it; nothing is durable yet."""
        ...

    def sync(self, path: Path) -> None:
        """Make a file's bytes durable."""
        ...

    def sync_folder(self, path: Path) -> None:
        """Make the names in a folder durable."""
        ...

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name in one step; a file of that name is replaced."""
        ...

    def remove(self, path: Path) -> None:
        """Take a file's name away."""
        ...


class Disk:
    """The real steps."""

    def read(self, path: Path, *, limit_bytes: int) -> bytes:
        """Return a file's first bytes."""
        with path.open("rb") as stream:
            return stream.read(limit_bytes + 1)

    def names(self, path: Path) -> tuple[str, ...]:
        """Return what lies in a folder."""
        return tuple(sorted(os.listdir(path)))  # noqa: PTH208 - the names alone, as the protocol has them

    def free_bytes(self, path: Path) -> int:
        """Return how many bytes may still be written."""
        return shutil.disk_usage(path).free

    def make_folder(self, path: Path, *, mode: int) -> None:
        """Make a folder."""
        path.mkdir(mode=mode, exist_ok=True)

    def write(self, path: Path, raw: bytes, *, mode: int) -> None:
        """Write a file; a link in its place is not followed."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb") as stream:
            # Before the bytes: a key is never readable by others, whatever the mask or an older file said.
            os.fchmod(stream.fileno(), mode)
            stream.write(raw)

    def sync(self, path: Path) -> None:
        """Sync a file."""
        files.sync(path)

    def sync_folder(self, path: Path) -> None:
        """Sync a folder."""
        files.sync(path)

    def rename(self, old: Path, new: Path) -> None:
        """Rename a file."""
        old.replace(new)

    def remove(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()


DISK = Disk()


def make_folder(fs: Filesystem, path: Path, *, mode: int = 0o755) -> None:
    """Make a folder that outlives a power cut.

    Raises:
        DeviceError: the disk refuses.
    """
    with _translated(path):
        fs.make_folder(path, mode=mode)
        fs.sync_folder(path.parent)


def add(fs: Filesystem, path: Path, raw: bytes, *, mode: int = 0o644) -> None:
    """Write a file and its name so that both outlive a power cut; one that is cut itself leaves any part of it.

    Raises:
        DeviceError: the disk refuses.
    """
    with _translated(path):
        fs.write(path, raw, mode=mode)
        fs.sync(path)
        fs.sync_folder(path.parent)


def replace(fs: Filesystem, path: Path, raw: bytes, *, mode: int = 0o644) -> None:
    """Give a file new bytes in one step: a cut leaves the old ones or the new ones.

    Raises:
        DeviceError: the disk refuses; the old bytes stay.
    """
    # One name for all: its writer holds the lock, and the next one clears up after a cut.
    temporary = path.with_name(f".{path.name}.new")
    with _translated(path):
        try:
            fs.write(temporary, raw, mode=mode)
            fs.sync(temporary)
            fs.rename(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                fs.remove(temporary)
            raise
        fs.sync_folder(path.parent)


def move(fs: Filesystem, old: Path, new: Path) -> None:
    """Rename a synced file within its folder, in one step that outlives a cut once it is done.

    Raises:
        DeviceError: the disk refuses; both names are as they were.
    """
    with _translated(new):
        fs.rename(old, new)
        fs.sync_folder(new.parent)


def discard(fs: Filesystem, path: Path) -> None:
    """Remove a file if it is there.

    Raises:
        DeviceError: the disk refuses.
    """
    with _translated(path):
        with contextlib.suppress(FileNotFoundError):
            fs.remove(path)
        fs.sync_folder(path.parent)


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Word what the disk refuses."""
    try:
        yield
    except OSError as err:
        advice = _ADVICE.get(err.errno or 0, "check the device's disk")
        raise DeviceError(f"{path}: cannot be written: {err.strerror or err}; {advice}") from err
