"""A bounded queue of documents on disk: what is in it survives a power cut and a restart.

    QUEUE/lock                                   flock, for the one process that uses it
    QUEUE/00000000000000000007-5f1c....json      a document; number and a name that no other has

Rules: a document is on disk, synced, before `Spool.put` returns, and leaves it only when `Spool.remove` is called: each
is delivered at least once, and its name lets the receiver see the second time. Beyond the bounds the oldest go. Where
the disk refuses, the document waits in memory, and `Spool.put` says so.

    spool = Spool.open(folder, bounds=Bounds(), name="https://alerts.example.org/hook")
    spool.put(b"{}")
    while (entry := spool.oldest()) is not None:
        spool.remove(entry)
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from edgemed import files
from edgemed.errors import ConfigError, EdgemedError
from edgemed.runtime.worker import DeliveryError

__all__ = ["Bounds", "Entry", "Spool"]

_NAME = re.compile(r"(\d{20})-([0-9a-f]{16})\.json")


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How much waits at most: documents, and their bytes together."""

    documents: int = 1000
    size_bytes: int = 8 << 20


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A document that waits; ``raw`` is None for one on disk, which is read when it is its turn."""

    number: int
    token: str
    size_bytes: int
    raw: bytes | None

    @property
    def name(self) -> str:
        """Its name, which no other document has."""
        return f"{self.number:020d}-{self.token}"


class Spool:
    """The queue; for one process, any of its threads."""

    def __init__(self, folder: Path | None, *, bounds: Bounds, lock: int | None, entries: list[Entry]) -> None:
        self._folder, self._bounds, self._lock = folder, bounds, lock
        self._guard = threading.Lock()
        self._entries = deque(entries)
        self._number = entries[-1].number if entries else 0
        self.dropped = 0
        with self._guard:
            self._bound()

    @classmethod
    def in_memory(cls, *, bounds: Bounds) -> Spool:
        """Return a queue that ends with the process."""
        return cls(None, bounds=bounds, lock=None, entries=[])

    @classmethod
    def open(cls, folder: Path, *, bounds: Bounds, name: str) -> Spool:
        """Return the queue of a folder, made if it is not there, with what it holds.

        Raises:
            ConfigError: the folder cannot be written, or another process uses the queue.
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as err:
            raise ConfigError(
                f"sink {name!r}: {folder}: the queue cannot be written: {err.strerror or err}; choose another with "
                "queue=DIR"
            ) from err
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            os.close(lock)
            raise ConfigError(
                f"sink {name!r}: {folder}: another process uses this queue; end it, or choose another with queue=DIR"
            ) from err
        return cls(folder, bounds=bounds, lock=lock, entries=_found(folder))

    def __len__(self) -> int:
        with self._guard:
            return len(self._entries)

    @property
    def survives(self) -> bool:
        """Whether what is left is there again after a restart."""
        with self._guard:
            return self._folder is not None and all(entry.raw is None for entry in self._entries)

    def put(self, raw: bytes) -> None:
        """Add a document; the oldest go where the bounds are exceeded.

        Raises:
            DeliveryError: the disk refuses it; it waits in memory.
        """
        with self._guard:
            self._number += 1
            entry = Entry(number=self._number, token=secrets.token_hex(8), size_bytes=len(raw), raw=raw)
            refusal = None
            if self._folder is not None:
                try:
                    files.write_atomic(self._path(entry), raw, mode=0o600)
                except OSError as err:
                    refusal = err
                else:
                    entry = Entry(number=entry.number, token=entry.token, size_bytes=len(raw), raw=None)
            self._entries.append(entry)
            self._bound()
        if refusal is not None:
            raise DeliveryError(
                f"{self._folder}: the queue cannot be written: {refusal.strerror or refusal}; until it can, a restart "
                "loses what waits"
            ) from refusal

    def oldest(self) -> Entry | None:
        """Return the next document to deliver, with its bytes; None where there is none.

        One that cannot be read any more is dropped.
        """
        with self._guard:
            while self._entries:
                entry = self._entries[0]
                raw = self._read(entry)
                if raw is not None:
                    return Entry(number=entry.number, token=entry.token, size_bytes=entry.size_bytes, raw=raw)
                self._drop()
        return None

    def remove(self, entry: Entry) -> None:
        """Take a document off: it was delivered, or never will be. One that has been pushed out is off already."""
        with self._guard:
            if self._entries and self._entries[0].number == entry.number:
                self._discard(self._entries.popleft())

    def close(self) -> None:
        """Let go of the lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _read(self, entry: Entry) -> bytes | None:
        if entry.raw is not None:
            return entry.raw
        try:
            return files.read_bounded(self._path(entry), limit_bytes=self._bounds.size_bytes)
        except EdgemedError:
            return None

    def _bound(self) -> None:
        size = sum(entry.size_bytes for entry in self._entries)
        while len(self._entries) > self._bounds.documents or (size > self._bounds.size_bytes and self._entries):
            size -= self._entries[0].size_bytes
            self._drop()

    def _drop(self) -> None:
        self._discard(self._entries.popleft())
        self.dropped += 1

    def _discard(self, entry: Entry) -> None:
        # Not synced: one that comes back after a power cut is delivered a second time, under its old name.
        if self._folder is not None:
            with contextlib.suppress(OSError):
                self._path(entry).unlink()

    def _path(self, entry: Entry) -> Path:
        assert self._folder is not None
        return self._folder / f"{entry.name}.json"


def _found(folder: Path) -> list[Entry]:
    """Return the documents of a folder in order, without what a cut has left half-written."""
    entries = []
    for path in sorted(folder.iterdir()):
        if path.suffix == ".tmp":
            path.unlink(missing_ok=True)
        elif named := _NAME.fullmatch(path.name):
            size = path.stat().st_size
            entries.append(Entry(number=int(named[1]), token=named[2], size_bytes=size, raw=None))
    return entries
