"""The sink ``file:PATH``: JSON Lines, appended; synced, and bounded by turning it over.

Options: ``sync=each`` (the default: what was written survives a power cut once no more is waiting) or ``sync=never``
(the kernel decides; a frame file on an SD card); ``max_mib`` (default 64): a file that would exceed it becomes
``PATH.1``, ``PATH.1`` becomes ``PATH.2``, of which ``keep`` (default 1) stay.

A line that the disk takes in part is taken back. One that a power cut tore before is ended, so that it spoils no other.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from edgemed import files
from edgemed.errors import ConfigError
from edgemed.runtime.sinks.delivery import Channel, Surroundings
from edgemed.runtime.sinks.options import Options
from edgemed.runtime.worker import DeliveryError, Worker

__all__ = ["File", "FileSettings", "read"]

_MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class FileSettings:
    """Where to write, and how.

    Attributes:
        synced: whether lines are synced.
        limit_bytes: the file is turned over before it exceeds this.
        keep: how many older files stay.
    """

    path: Path
    synced: bool = True
    limit_bytes: int = 64 * _MIB
    keep: int = 1

    def open(self, name: str, surroundings: Surroundings) -> Channel:
        """Return the sink.

        Raises:
            ConfigError: the file cannot be written.
        """
        return Worker(File(self, name=name), name=name, tell=surroundings.tell, waiting=surroundings.waiting)


def read(rest: str, options: Options) -> FileSettings:
    """Return the settings of the text behind the colon.

    Raises:
        ConfigError: there is no path, or an option is wrong.
    """
    if not rest:
        raise ConfigError(f"sink {options.sink!r}: expected file:PATH, got no path")
    return FileSettings(
        path=Path(rest),
        synced=options.choice("sync", ("each", "never")) == "each",
        limit_bytes=int(options.number("max_mib", 64, low=0.001, high=1 << 20) * _MIB),
        keep=options.integer("keep", 1, low=0, high=99),
    )


class File:
    """Appends lines to a file."""

    def __init__(self, settings: FileSettings, *, name: str) -> None:
        """Open it.

        Raises:
            ConfigError: it cannot be written.
        """
        self._settings = settings
        try:
            self._descriptor = _opened(settings.path)
            self._size = _ended(self._descriptor)
        except OSError as err:
            raise ConfigError(f"sink {name!r}: cannot be written: {err.strerror or err}; choose another path") from err

    def deliver(self, line: bytes) -> None:
        """Append a line.

        Raises:
            DeliveryError: the disk refuses; nothing of the line stays.
        """
        try:
            if self._size and self._size + len(line) + 1 > self._settings.limit_bytes:
                self._turn_over()
            self._write(line + b"\n")
        except OSError as err:
            raise DeliveryError(f"cannot be written: {err.strerror or err}; check the disk") from err

    def settle(self) -> None:
        """Sync what was written.

        Raises:
            DeliveryError: the disk refuses.
        """
        if self._settings.synced:
            try:
                os.fsync(self._descriptor)
            except OSError as err:
                raise DeliveryError(f"cannot be synced: {err.strerror or err}; a power cut loses lines") from err

    def abort(self) -> None:
        """Do nothing: a write that hangs in the kernel ends with the disk."""

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _write(self, raw: bytes) -> None:
        written = 0
        try:
            while written < len(raw):
                written += os.write(self._descriptor, raw[written:])
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(raw)

    def _turn_over(self) -> None:
        """Give the full file the first number, each older one the next, and begin a new one."""
        path, keep = self._settings.path, self._settings.keep
        os.fsync(self._descriptor)
        names = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, keep + 1))]
        for older, newer in zip(reversed(names[1:]), reversed(names[:-1]), strict=True):
            with contextlib.suppress(FileNotFoundError):
                newer.replace(older)
        if not keep:
            path.unlink(missing_ok=True)
        fresh = _opened(path)
        os.close(self._descriptor)
        self._descriptor, self._size = fresh, 0
        files.sync(path.parent)


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)


def _ended(descriptor: int) -> int:
    """Return the file's size, once a torn last line is ended."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        size += os.write(descriptor, b"\n")
    return size
