"""The audit log on disk: segments of lines, appended and synced, with a signed head beside them.

    AUDIT/
      00000000000000000001.jsonl      named after its first entry
      00000000000000004097.jsonl
      head.dsse                       where the log stood when it was last sealed

Order of a seal: the lines are written and synced, then the head is replaced in one rename. A cut between the two leaves
lines behind the head, which is told and is no error; a cut inside a line leaves a torn one, which the next opening
takes off, for no head can have stated it. When there are too many segments, the oldest go, once the head says so.

    with AuditLog.open(folder, key) as log:
        log.append("alert-raised", {"frame": 12}, now=datetime.now(timezone.utc))
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType

import msgspec

from edgemed import files
from edgemed.bundle.keys import PrivateKey, PublicKey
from edgemed.errors import DeviceError, DigestError
from edgemed.records import audit
from edgemed.records.audit import Entry, Fact, Head, Verified

__all__ = ["AuditLog", "Bounds", "lines", "verify"]

_HEAD = "head.dsse"
_SUFFIX = ".jsonl"
_READ_LIMIT_BYTES = 1 << 30


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


def lines(folder: Path, *, first: int = 1) -> Iterator[bytes]:
    """Yield the whole lines of a log in order, from the segment that begins with entry ``first``.

    A torn last line is left out: a power cut leaves one, and no head can have stated it.

    Raises:
        DigestError: a segment is torn that is not the last.
        DeviceError: a segment cannot be read.
    """
    # Older segments are those that a power cut kept from being removed.
    segments = [path for path in _segments(folder) if _number(path) >= first]
    for segment in segments:
        raw = files.read_bounded(segment, limit_bytes=_READ_LIMIT_BYTES, error=DeviceError)
        whole, _, torn = raw.rpartition(b"\n")
        if torn and segment != segments[-1]:
            raise DigestError(f"{segment.name}: its last line is torn, and other segments follow; lines were cut off")
        yield from whole.split(b"\n") if whole else ()


def verify(folder: Path, *, keys: Sequence[PublicKey], known: Sequence[Head] = ()) -> Verified:
    """Return where the log in a folder begins and ends, once every line is in its place.

    Args:
        folder: of the log.
        keys: public keys of the device that wrote it.
        known: heads that were exported earlier; the log must still hold what they state.

    Raises:
        SignatureError: the head is not signed by one of the keys.
        DigestError: as `audit.verify`, or there is no head.
        DeviceError: a file cannot be read.
    """
    head = _head(folder, keys)
    return audit.verify(lines(folder, first=head.first), head, source=folder.name, known=known)


def _head(folder: Path, keys: Sequence[PublicKey]) -> Head:
    path = folder / _HEAD
    if not path.exists():
        raise DigestError(f"{folder}: expected {_HEAD}, found none; it was removed, or this is no audit log")
    raw = files.read_bounded(path, limit_bytes=audit.HEAD_LIMIT_BYTES, error=DeviceError)
    return audit.open_head(raw, keys=keys, source=f"{folder.name}/{_HEAD}")


def _segments(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"*{_SUFFIX}") if path.stem.isdecimal())


def _number(segment: Path) -> int:
    """Return the number of a segment's first entry."""
    return int(segment.stem)


class AuditLog:
    """A log that is open for writing; for one thread of one process at a time."""

    def __init__(self, folder: Path, key: PrivateKey, *, bounds: Bounds, head: Head | None) -> None:
        self._folder, self._key, self._bounds = folder, key, bounds
        self._head = head
        self._seq = 0 if head is None else head.seq
        self._digest = audit.GENESIS if head is None else head.digest
        self._waiting: list[bytes] = []

    @classmethod
    def open(cls, folder: Path, key: PrivateKey, *, bounds: Bounds | None = None) -> AuditLog:
        """Return the log of a folder, made if it is not there; a line that a power cut tore is taken off.

        Raises:
            SignatureError: the head is another key's.
            DigestError: the log that is there was tampered with; nothing is written to it.
            DeviceError: the folder cannot be read or written.
        """
        with _disk(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            head = None
            if (folder / _HEAD).exists():
                stated = _head(folder, [key.public])
                found = audit.verify(lines(folder, first=stated.first), stated, source=folder.name)
                head = msgspec.structs.replace(stated, seq=found.last, digest=found.digest)
            elif any(lines(folder)):
                raise DigestError(f"{folder}: expected {_HEAD}, found lines without one; it was removed")
            _take_off_torn(folder)
        return cls(folder, key, bounds=bounds or Bounds(), head=head)

    def __enter__(self) -> AuditLog:
        """Return the log itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Seal what was appended."""
        self.seal()

    def append(self, kind: str, facts: Mapping[str, Fact], *, now: datetime) -> Entry:
        """Add an entry, which `seal` writes; return it.

        Raises:
            ValueError: its line would be longer than `audit.LINE_LIMIT_BYTES`, or is none that `verify` takes.
        """
        stamp = now.astimezone(timezone.utc).isoformat(timespec="milliseconds")
        entry = Entry(seq=self._seq + 1, time=stamp, kind=kind, facts=dict(facts), previous=self._digest)
        line = audit.encode(entry)
        if len(line) > audit.LINE_LIMIT_BYTES:
            raise ValueError(f"facts: expected a line of at most {audit.LINE_LIMIT_BYTES} bytes, got {len(line)}")
        try:
            audit.parse(line, source="entry")  # what is refused later would read as tampering
        except DigestError as err:
            raise ValueError(str(err)) from err
        self._waiting.append(line)
        self._seq, self._digest = entry.seq, audit.digest(line)
        return entry

    def seal(self) -> None:
        """Write what was appended and sign for it; when this returns, it survives a power cut.

        Raises:
            DeviceError: the disk refuses; the next seal tries again.
        """
        if not self._waiting:
            return
        with _disk(self._folder):
            if self._head is None:
                # The first head stands before the first line: lines without a head are a log that lost it.
                self._sign(Head(seq=0, digest=audit.GENESIS, first=1, before=audit.GENESIS))
            self._write()
            self._sign(self._next_head())
            # Signed for: from here on a second try must not cut these lines off to write them again.
            self._waiting.clear()
            self._remove_old()

    def _sign(self, head: Head) -> None:
        files.write_atomic(self._folder / _HEAD, audit.sign_head(head, self._key), mode=0o600)
        self._head = head

    def _write(self) -> None:
        """Append the waiting lines to the newest segment, or begin one; what an earlier try left goes first."""
        path, size = self._place(self._seq - len(self._waiting) + 1)
        with path.open("ab") as stream:
            stream.truncate(size)
            stream.write(b"".join(line + b"\n" for line in self._waiting))
            stream.flush()
            os.fsync(stream.fileno())
        files.sync(self._folder)

    def _place(self, first: int) -> tuple[Path, int]:
        """Return the segment that entry ``first`` belongs to, and where in it."""
        older = [path for path in _segments(self._folder) if _number(path) < first]
        if older:
            kept = older[-1].read_bytes().split(b"\n")[: first - _number(older[-1])]
            size = sum(len(line) + 1 for line in kept)
            if size < self._bounds.segment_bytes:
                return older[-1], size
        return self._folder / f"{first:020d}{_SUFFIX}", 0

    def _next_head(self) -> Head:
        """Return the head over every line, from the oldest segment that stays."""
        assert self._head is not None
        oldest = _segments(self._folder)[-self._bounds.segments :][0]
        first, before = self._head.first, self._head.before
        if _number(oldest) > first:
            with oldest.open("rb") as stream:
                entry = audit.parse(stream.readline().rstrip(b"\n"), source=oldest.name)
            first, before = entry.seq, entry.previous
        return Head(seq=self._seq, digest=self._digest, first=first, before=before)

    def _remove_old(self) -> None:
        assert self._head is not None
        for path in _segments(self._folder):
            if _number(path) < self._head.first:
                path.unlink()


def _take_off_torn(folder: Path) -> None:
    """Cut the newest segment after its last whole line; one that holds none goes, for it is named after its first."""
    for segment in _segments(folder)[-1:]:
        raw = segment.read_bytes()
        whole = raw.rfind(b"\n") + 1
        if not whole:
            segment.unlink()
            files.sync(folder)
        elif whole < len(raw):
            os.truncate(segment, whole)
            files.sync(segment)


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """Translate what a disk may refuse."""
    try:
        yield
    except OSError as err:
        raise DeviceError(
            f"{folder}: the audit log cannot be written: {err.strerror or err}; check permissions and free space"
        ) from err
