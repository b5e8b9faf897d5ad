"""``state.json``: what a store remembers beside its slots, and the history of what was done to it.

Rules: one small document, replaced as a whole; it names bundles by digest, never by slot, so that it can lag behind the
slots by one step without meaning another bundle; events are ordered by their number, for a device's clock may stand at
1970 or jump; it is shown indented, for ``cat``.

    state = state.recorded(state, Event.INSTALLED, bundle, slot="a", at=now)
"""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgemed import schema
from edgemed.bundle.archive import Bundle
from edgemed.bundle.manifest import Digest, Name, Version
from edgemed.errors import DeviceError

__all__ = [
    "EMPTY",
    "HISTORY_LENGTH",
    "STATE_LIMIT_BYTES",
    "Attempt",
    "Entry",
    "Event",
    "Slot",
    "State",
    "Tentative",
    "encode",
    "fit",
    "parse",
    "recorded",
    "rejecting",
    "with_floor",
]

HISTORY_LENGTH = 100
STATE_LIMIT_BYTES = 1 << 20
_REJECTED_LENGTH = 8  # only the inactive slot's bundle is ever looked up, and it is a recent one

Slot = Literal["a", "b"]
Release = Annotated[int, Meta(ge=0, le=(1 << 53) - 1)]
Count = Annotated[int, Meta(ge=0, le=(1 << 53) - 1)]
Reason = Annotated[str, Meta(max_length=2000)]


class Event(str, enum.Enum):
    """What happened to a bundle."""

    INSTALLED = "installed"
    TENTATIVE = "tentative"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled-back"
    EXPIRED = "expired"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the history.

    Attributes:
        number: from 1, rising by one; the order of events.
        slot: of the bundle; None where it has none any more.
        reason: why, for a failure.
        at: what the device's clock said, ISO 8601 in UTC; it orders nothing.
    """

    number: Count
    event: Event
    name: Name
    version: Version
    release: Release
    digest: Digest
    slot: Slot | None = None
    reason: Reason | None = None
    at: str


class Tentative(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bundle on trial; in force only while the bundle of this digest is active."""

    digest: Digest
    starts_left: Count


class Attempt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An install that has begun and not ended; ``count`` times in a row for this bundle."""

    digest: Digest
    name: Name
    version: Version
    release: Release
    count: Annotated[int, Meta(ge=1)]


class State(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole document.

    Attributes:
        floors: by bundle name, the highest release that was ever committed; a lower one is refused.
        decisions: by digest of a model, the highest version of a decision document that was in force.
        rejected: digests of bundles that failed here, or were rolled back: none is gone back to.
        events: number of the newest event, and so of all there ever were.
        history: the newest `HISTORY_LENGTH` events, oldest first.
    """

    schema: Literal[1]
    floors: dict[Name, Release]
    decisions: dict[Digest, Count]
    tentative: Tentative | None
    attempt: Attempt | None
    rejected: tuple[Digest, ...]
    events: Count
    history: tuple[Entry, ...]


EMPTY = State(schema=1, floors={}, decisions={}, tentative=None, attempt=None, rejected=(), events=0, history=())


def parse(raw: bytes, *, source: str) -> State:
    """Return ``state.json`` as a value.

    Raises:
        DeviceError: too large, not JSON, unknown key, missing key, wrong type or a value out of range.
    """
    if len(raw) > STATE_LIMIT_BYTES:
        raise DeviceError(f"{source}: is larger than the {STATE_LIMIT_BYTES} bytes accepted here")
    return schema.decode_json(raw, State, source=source, error=DeviceError)


def encode(state: State) -> bytes:
    """Return the document as bytes: sorted keys, indented, a line break at the end."""
    return msgspec.json.format(schema.encode_json(state), indent=2) + b"\n"


def recorded(
    state: State, event: Event, what: Bundle | Attempt, *, at: datetime, slot: Slot | None = None, reason: str = ""
) -> State:
    """Return the state with one more event in its history."""
    told = what if isinstance(what, Attempt) else what.manifest
    entry = Entry(
        number=state.events + 1,
        event=event,
        name=told.name,
        version=told.version,
        release=told.release,
        digest=what.digest,
        slot=slot,
        reason=reason[:2000] or None,
        at=_text(at),
    )
    history = (*state.history, entry)[-HISTORY_LENGTH:]
    return msgspec.structs.replace(state, events=entry.number, history=history)


def rejecting(state: State, digest: str) -> State:
    """Return the state in which a bundle is not gone back to."""
    return msgspec.structs.replace(state, rejected=(*fit(state, digest).rejected, digest)[-_REJECTED_LENGTH:])


def fit(state: State, digest: str) -> State:
    """Return the state in which a bundle is not rejected any more."""
    return msgspec.structs.replace(state, rejected=tuple(one for one in state.rejected if one != digest))


def with_floor(state: State, name: str, release: int) -> State:
    """Return the state with the floor of a bundle's name at ``release`` or where it was, whichever is higher."""
    if release == 0:
        return state
    floors = {**state.floors, name: max(release, state.floors.get(name, 0))}
    return msgspec.structs.replace(state, floors=floors)


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
