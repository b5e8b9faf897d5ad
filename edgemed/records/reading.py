"""The audit log of a folder, read: its segments in order, its head, and whether every line is in its place.

    AUDIT/
      00000000000000000001.jsonl      named after its first entry
      00000000000000004097.jsonl
      head.dsse                       where the log stood when it was last sealed

Nothing is written, and no lock is taken: a log on a stick, or of another user, is read as well. One that goes on
meanwhile is read again.

    whole = reading.read(folder, keys=[public])
    print(whole.verified.last)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgemed import files
from edgemed.bundle.keys import PublicKey
from edgemed.errors import DeviceError, DigestError
from edgemed.records import audit
from edgemed.records.audit import Head, Verified

__all__ = ["HEAD", "Whole", "lines", "number", "raw_head", "read", "segment_name", "segments", "torn_bytes", "verify"]

HEAD = "head.dsse"
SUFFIX = ".jsonl"
_READ_LIMIT_BYTES = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A log in which every line is in its place.

    Attributes:
        head: the envelope as it lies there; an exported one shows later whether the log was put back.
        lines: without their ends.
        torn_bytes: of a last line that a power cut left; no part of the log.
    """

    verified: Verified
    head: bytes
    lines: tuple[bytes, ...]
    torn_bytes: int


def lines(folder: Path, *, first: int = 1) -> Iterator[bytes]:
    """Yield the whole lines of a log in order, from the segment that begins with entry ``first``.

    A torn last line is left out: a power cut leaves one, and no head can have stated it.

    Raises:
        DigestError: a segment is torn that is not the last.
        DeviceError: a segment cannot be read.
    """
    # Older segments are those that a power cut kept from being removed.
    found = [path for path in segments(folder) if number(path) >= first]
    for segment in found:
        raw = files.read_bounded(segment, limit_bytes=_READ_LIMIT_BYTES, error=DeviceError)
        whole, _, torn = raw.rpartition(b"\n")
        if torn and segment != found[-1]:
            raise DigestError(f"{segment.name}: its last line is torn, and other segments follow; lines were cut off")
        yield from whole.split(b"\n") if whole else ()


def verify(folder: Path, *, keys: Sequence[PublicKey], known: Sequence[Head] = ()) -> Verified:
    """Return where the log in a folder begins and ends, once every line is in its place; as `read`."""
    return read(folder, keys=keys, known=known).verified


def read(folder: Path, *, keys: Sequence[PublicKey], known: Sequence[Head] = ()) -> Whole:
    """Return the log in a folder, once every line is in its place.

    Args:
        folder: of the log.
        keys: public keys of the device that wrote it.
        known: heads that were exported earlier; the log must still hold what they state.

    Raises:
        SignatureError: the head is not signed by one of the keys.
        DigestError: as `audit.verify`, or there is no head.
        DeviceError: a file cannot be read.
    """
    while True:
        raw = raw_head(folder)
        head = audit.open_head(raw, keys=keys, source=f"{folder.name}/{HEAD}")
        try:
            found = tuple(lines(folder, first=head.first))
            verified = audit.verify(found, head, source=folder.name, known=known)
            return Whole(verified=verified, head=raw, lines=found, torn_bytes=torn_bytes(folder))
        except (DigestError, DeviceError):
            if raw_head(folder) == raw:
                raise  # else the log went on while it was read, and its oldest segment may have gone


def raw_head(folder: Path) -> bytes:
    """Return the head's envelope, nothing in it checked.

    Raises:
        DigestError: there is none.
        DeviceError: it cannot be read.
    """
    path = folder / HEAD
    if not path.exists():
        raise DigestError(f"{folder}: expected {HEAD}, found none; it was removed, or this is no audit log")
    return files.read_bounded(path, limit_bytes=audit.HEAD_LIMIT_BYTES, error=DeviceError)


def segments(folder: Path) -> list[Path]:
    """Return the segments of a folder, oldest first."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdecimal())


def segment_name(first: int) -> str:
    """Return the name of the segment that begins with an entry."""
    return f"{first:020d}{SUFFIX}"


def number(segment: Path) -> int:
    """Return the number of a segment's first entry."""
    return int(segment.stem)


def torn_bytes(folder: Path) -> int:
    """Return how much of a torn last line there is.

    Raises:
        DeviceError: the newest segment cannot be read.
    """
    for segment in segments(folder)[-1:]:
        raw = files.read_bounded(segment, limit_bytes=_READ_LIMIT_BYTES, error=DeviceError)
        return len(raw) - raw.rfind(b"\n") - 1
    return 0
