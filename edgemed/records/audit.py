"""The audit log as a value: entries chained by digest, and a head that the device has signed.

An entry is one line of JSON in its canonical form; it states its number and the digest of the line before it. A head is
a DSSE envelope by the device's key: it states the last entry's number and digest, and those of the first one kept. So a
line that was changed, taken out, put in or moved breaks the chain, and lines cut off the end are missed by the head.

What it can't show by itself: a log that was cut together with a head that was put back to an older one. A head that was
exported earlier shows it (``known``).

    verified = audit.verify(lines, head, keys=[public], source="audit")
    print(verified.last, verified.unsealed)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from edgemed import files, schema
from edgemed.bundle import dsse
from edgemed.bundle.keys import PrivateKey, PublicKey
from edgemed.bundle.manifest import Digest
from edgemed.errors import DigestError, SignatureError

__all__ = [
    "GENESIS",
    "HEAD_LIMIT_BYTES",
    "LAST",
    "LINE_LIMIT_BYTES",
    "PAYLOAD_TYPE",
    "Entry",
    "Fact",
    "Head",
    "Verified",
    "digest",
    "encode",
    "open_head",
    "parse",
    "sign_head",
    "verify",
]

PAYLOAD_TYPE: Final = "application/vnd.edgemed.audit-head"
GENESIS: Final = "sha256:" + "0" * 64
"""What the first entry of all states as the digest of the line before it."""
LINE_LIMIT_BYTES: Final = 16 << 10
HEAD_LIMIT_BYTES: Final = 4 << 10

Fact: TypeAlias = str | int | float | bool | None
LAST: Final = (1 << 53) - 1
"""The largest number of an entry: what every JSON reader takes for a whole number."""
_Number = Annotated[int, Meta(ge=1, le=LAST)]
_Kind = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,62}\Z")]


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that happened.

    Attributes:
        seq: its number, from 1, without a gap.
        time: what the device's clock said, RFC 3339 in UTC; for people, nothing depends on it.
        kind: e.g. ``alert-raised``.
        facts: by name; never patient data.
        previous: digest of the line before it.
    """

    seq: _Number
    time: Annotated[str, Meta(min_length=1, max_length=40)]
    kind: _Kind
    facts: dict[str, Fact] = msgspec.field(default_factory=dict)
    previous: Digest


class Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the log stood when the device signed.

    Attributes:
        seq, digest: of the last entry; 0 and `GENESIS` before the first.
        first: number of the oldest entry kept; what lay before it was let go for its age.
        before: what that entry states as the digest of the line before it.
    """

    schema: Literal[1] = 1
    seq: Annotated[int, Meta(ge=0, le=LAST)]
    digest: Digest
    first: _Number
    before: Digest


@dataclass(frozen=True, kw_only=True)
class Verified:
    """A log in which every line is in its place.

    Attributes:
        first, last: numbers of the oldest and the newest entry.
        digest: of the newest line.
        unsealed: entries behind the head: written, but not signed for before the log was last closed or cut off.
    """

    first: int
    last: int
    digest: str
    unsealed: int


def encode(entry: Entry) -> bytes:
    """Return an entry as its line, without the line's end."""
    return schema.encode_json(entry)


def digest(line: bytes) -> str:
    """Return what the next entry states of a line."""
    return files.sha256(line)


def parse(line: bytes, *, source: str) -> Entry:
    """Return a line as an entry.

    Raises:
        DigestError: longer than `LINE_LIMIT_BYTES`, no entry, or not the form `encode` writes.
    """
    if len(line) > LINE_LIMIT_BYTES:
        raise DigestError(f"{source}: {len(line)} bytes are more than the {LINE_LIMIT_BYTES} of a line")
    entry = schema.decode_json(line, Entry, source=source, error=DigestError)
    if encode(entry) != line:
        raise DigestError(f"{source}: not in canonical form; the line was altered")
    return entry


def sign_head(head: Head, key: PrivateKey) -> bytes:
    """Return the head as an envelope signed by the device."""
    return dsse.seal(schema.encode_json(head), kind=PAYLOAD_TYPE, private_keys=[key])


def open_head(raw: bytes, *, keys: Sequence[PublicKey], source: str) -> Head:
    """Return a head that one of the keys has signed.

    Raises:
        SignatureError: not an envelope of a head, none of the keys has signed it, or a signature does not hold.
        DigestError: its contents are no head.
    """
    sealed = dsse.parse(raw, kind=PAYLOAD_TYPE, source=source, limit_bytes=HEAD_LIMIT_BYTES)
    if not dsse.signers(sealed, keys, source=source):
        said = ", ".join(keyid[:16] for keyid in sealed.signatures)
        raise SignatureError(
            f"{source}: signed by {said}, expected the device's key {', '.join(key.keyid[:16] for key in keys)}; "
            "give the public key of the device that wrote the log"
        )
    return schema.decode_json(sealed.payload, Head, source=source, error=DigestError)


def verify(lines: Iterable[bytes], head: Head, *, source: str, known: Sequence[Head] = ()) -> Verified:
    """Return where a log begins and ends, once every line is in its place.

    Args:
        lines: in order, without their ends; gone through once.
        head: the log's own, as `open_head` gives it.
        source: names the log in messages.
        known: heads that were exported earlier; the log must still hold what they state.

    Raises:
        DigestError: a line was changed, added, taken out or cut off.
    """
    anchors: dict[int, str] = {}
    for stated in (head, *known):
        if anchors.setdefault(stated.seq, stated.digest) != stated.digest:
            raise DigestError(f"{source}: two heads state different lines {stated.seq}; the log was written anew")
    seq, previous = head.first - 1, head.before
    for line in lines:
        seq += 1
        entry = parse(line, source=f"{source}: entry {seq}")
        if entry.seq != seq or entry.previous != previous:
            raise DigestError(
                f"{source}: entry {seq}: does not follow the line before it; lines were changed or removed"
            )
        previous = digest(line)
        if anchors.get(seq, previous) != previous:
            raise DigestError(f"{source}: entry {seq}: is not the line that was signed; the log was written anew")
    if seq < (end := max(anchors)):
        raise DigestError(f"{source}: ends at entry {seq}, expected entry {end}, which was signed; lines were cut off")
    return Verified(first=head.first, last=seq, digest=previous, unsealed=seq - head.seq)
