"""The audit log on disk: segments of lines, appended and synced, with a signed head beside them.

    AUDIT/
      00000000000000000001.jsonl      named after its first entry
      00000000000000004097.jsonl
      head.dsse                       where the log stood when it was last sealed
      lock                            empty; flock, for whoever writes

Order of a seal: the lines are written and synced, then the head is replaced in one rename. A cut between the two leaves
lines behind the head, which is told and is no error; a cut inside a line leaves a torn one, which the next opening
takes off, for no head can have stated it. When there are too many segments, the oldest go, once the head says so.

    with AuditLog.open(folder, key) as log:
        log.append("alert-raised", {"frame": 12}, now=datetime.now(timezone.utc))
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType

import msgspec

from edgemed import files
from edgemed.bundle.keys import PrivateKey
from edgemed.errors import DeviceError, DigestError
from edgemed.records import audit, ownership, reading
from edgemed.records.audit import Entry, Fact, Head

__all__ = ["AuditLog", "Bounds"]

_LOCK = "lock"
_WAIT_S = 5.0  # a seal takes milliseconds


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How much is kept.

    Attributes:
        segment_bytes: a segment is closed once it holds this much.
        segments: of these the newest are kept, at least 2.
    """

    segment_bytes: int = 1 << 20
    segments: int = 16

    def __post_init__(self) -> None:
        if self.segments < 2 or self.segment_bytes < 1:
            raise ValueError(f"expected 2 segments of 1 byte at least, got {self.segments} of {self.segment_bytes}")


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What shows that another process has written: the head's bytes, and the newest segment with its size.

    Attributes:
        tried: this process has begun to write since, and may have left lines that no head states.
    """

    head: bytes | None
    segment: str | None
    size_bytes: int
    tried: bool = False


def _seen(folder: Path) -> _Seen:
    path = folder / reading.HEAD
    newest = reading.segments(folder)[-1:]
    return _Seen(
        head=path.read_bytes() if path.exists() else None,
        segment=newest[0].name if newest else None,
        size_bytes=newest[0].stat().st_size if newest else 0,
    )


def _start(folder: Path, stated: Head) -> Head:
    """Return the head of the log as if it began with the segment that holds the last entry which was signed.

    The signature states that entry's digest, and so everything before it in its segment.
    """
    holding = [path for path in reading.segments(folder) if stated.first < reading.number(path) <= stated.seq]
    if not holding:
        return stated
    with holding[-1].open("rb") as stream:
        line = stream.readline(audit.LINE_LIMIT_BYTES + 1).rstrip(b"\n")
    first = audit.parse(line, source=f"{folder.name}: entry {reading.number(holding[-1])}")
    return msgspec.structs.replace(stated, first=reading.number(holding[-1]), before=first.previous)


class AuditLog:
    """A log that is open for writing; for one thread, while other processes may write to it too."""

    def __init__(self, folder: Path, key: PrivateKey, *, bounds: Bounds) -> None:
        self._folder, self._key, self._bounds = folder, key, bounds
        self._waiting: list[Entry] = []
        self._head: Head | None = None
        self._seen: _Seen | None = None

    @classmethod
    def open(cls, folder: Path, key: PrivateKey, *, bounds: Bounds | None = None) -> AuditLog:
        """Return the log of a folder, made if it is not there; a line that a power cut tore is taken off.

        The lines from the newest segment that the head states are checked; `verify` checks them all.

        Raises:
            SignatureError: the head is another key's.
            DigestError: the end of the log was tampered with; nothing is written to it.
            DeviceError: the folder cannot be read or written, or another process does not let go of the log.
        """
        opened = cls(folder, key, bounds=bounds or Bounds())
        with _disk(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            ownership.like_folder(folder)
        with _held(folder):
            opened._read()
        return opened

    def __enter__(self) -> AuditLog:
        """Return the log itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Seal what was appended."""
        self.seal()

    @property
    def waiting(self) -> int:
        """How many entries `seal` has still to write."""
        return len(self._waiting)

    def append(self, kind: str, facts: Mapping[str, Fact], *, now: datetime) -> None:
        """Add an entry, which `seal` numbers and writes.

        Raises:
            ValueError: its line would be longer than `audit.LINE_LIMIT_BYTES`, or is none that `verify` takes.
        """
        stamp = now.astimezone(timezone.utc).isoformat(timespec="milliseconds")
        entry = Entry(seq=audit.LAST, time=stamp, kind=kind, facts=dict(facts), previous=audit.GENESIS)
        line = audit.encode(entry)
        if len(line) > audit.LINE_LIMIT_BYTES:
            raise ValueError(f"facts: expected a line of at most {audit.LINE_LIMIT_BYTES} bytes, got {len(line)}")
        try:
            audit.parse(line, source="entry")  # what is refused later would read as tampering
        except DigestError as err:
            raise ValueError(str(err)) from err
        self._waiting.append(entry)

    def seal(self) -> None:
        """Write what was appended and sign for it; when this returns, it survives a power cut.

        Raises:
            DeviceError: the disk refuses, or another process does not let go of the log; the next seal tries again.
            SignatureError, DigestError: as `open`, of what another process has left.
        """
        if not self._waiting:
            return
        with _held(self._folder):
            if not self._is_as_seen():
                self._read()
            if self._head is None:
                # The first head stands before the first line: lines without a head are a log that lost it.
                self._sign(Head(seq=0, digest=audit.GENESIS, first=1, before=audit.GENESIS))
            seq, digest = self._write()
            self._sign(self._next_head(seq, digest))
            # Signed for: from here on a second try must not cut these lines off to write them again.
            self._waiting.clear()
            self._remove_old()
            self._seen = _seen(self._folder)

    def _read(self) -> None:
        """Take the log from the disk: where it stands, without the line that a power cut tore."""
        folder = self._folder
        self._head = None
        if (folder / reading.HEAD).exists():
            source = f"{folder.name}/{reading.HEAD}"
            stated = audit.open_head(reading.raw_head(folder), keys=[self._key.public], source=source)
            start = _start(folder, stated)
            found = audit.verify(reading.lines(folder, first=start.first), start, source=folder.name)
            self._head = msgspec.structs.replace(stated, seq=found.last, digest=found.digest)
        elif any(reading.lines(folder)):
            raise DigestError(f"{folder}: expected {reading.HEAD}, found lines without one; it was removed")
        _take_off_torn(folder)
        self._seen = _seen(folder)

    def _is_as_seen(self) -> bool:
        """Tell whether no other process has written since; what this one's failed seal has left does not count."""
        assert self._seen is not None
        seen = _seen(self._folder)
        return seen == self._seen or (self._seen.tried and seen.head == self._seen.head)

    def _sign(self, head: Head) -> None:
        path = self._folder / reading.HEAD
        files.write_atomic(path, audit.sign_head(head, self._key), mode=0o600)
        ownership.like_folder(path)
        self._head = head
        self._seen = dataclasses.replace(_seen(self._folder), tried=True)

    def _write(self) -> tuple[int, str]:
        """Append the waiting entries to the newest segment, or begin one; return the last one's number and digest.

        What an earlier try has left goes first.
        """
        assert self._head is not None
        assert self._seen is not None
        self._seen = dataclasses.replace(self._seen, tried=True)
        seq, digest, raw = self._head.seq, self._head.digest, b""
        for entry in self._waiting:
            line = audit.encode(msgspec.structs.replace(entry, seq=seq + 1, previous=digest))
            seq, digest, raw = seq + 1, audit.digest(line), raw + line + b"\n"
        path, size = self._place(self._head.seq + 1)
        with path.open("ab") as stream:
            stream.truncate(size)
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        ownership.like_folder(path)
        files.sync(self._folder)
        return seq, digest

    def _place(self, first: int) -> tuple[Path, int]:
        """Return the segment that entry ``first`` belongs to, and where in it."""
        older = [path for path in reading.segments(self._folder) if reading.number(path) < first]
        if older:
            kept = older[-1].read_bytes().split(b"\n")[: first - reading.number(older[-1])]
            size = sum(len(line) + 1 for line in kept)
            if size < self._bounds.segment_bytes:
                return older[-1], size
        return self._folder / reading.segment_name(first), 0

    def _next_head(self, seq: int, digest: str) -> Head:
        """Return the head over every line, from the oldest segment that stays."""
        assert self._head is not None
        oldest = reading.segments(self._folder)[-self._bounds.segments :][0]
        first, before = self._head.first, self._head.before
        if reading.number(oldest) > first:
            with oldest.open("rb") as stream:
                entry = audit.parse(stream.readline().rstrip(b"\n"), source=oldest.name)
            first, before = entry.seq, entry.previous
        return Head(seq=seq, digest=digest, first=first, before=before)

    def _remove_old(self) -> None:
        assert self._head is not None
        for path in reading.segments(self._folder):
            if reading.number(path) < self._head.first:
                path.unlink()


def _take_off_torn(folder: Path) -> None:
    """Cut the newest segment after its last whole line; one that holds none goes, for it is named after its first."""
    for segment in reading.segments(folder)[-1:]:
        raw = segment.read_bytes()
        whole = raw.rfind(b"\n") + 1
        if not whole:
            segment.unlink()
            files.sync(folder)
        elif whole < len(raw):
            os.truncate(segment, whole)
            files.sync(segment)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Keep other processes from writing for the length of a block, and translate what the disk may refuse."""
    with _disk(folder):
        path = folder / _LOCK
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            ownership.like_folder(path)
            if not files.locked(descriptor, wait_s=_WAIT_S):
                raise DeviceError(
                    f"{folder}: another process has been writing the audit log for {_WAIT_S:g} s; end it, or try again"
                )
            yield
        finally:
            os.close(descriptor)  # and with it the lock


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """Translate what a disk may refuse."""
    try:
        yield
    except OSError as err:
        raise DeviceError(
            f"{folder}: the audit log cannot be written: {err.strerror or err}; check permissions and free space"
        ) from err
