"""What a stream shows over time: results frame by frame in, the values that a stream gives out. No clock, no thread.

track = Track(rule=TemporalRule(), zone=decision_rule.indeterminate)
for item in track.decided(judged):
    ...
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from edgemed.imaging.frame import Frame
from edgemed.runtime import temporal
from edgemed.runtime.decision import Decision, Zone
from edgemed.runtime.screening import Refusal, Screening
from edgemed.runtime.temporal import Change, Level, Observation, TemporalRule

__all__ = ["Changed", "Decided", "Happening", "Item", "Judged", "Statistics", "Track"]


class Happening(str, enum.Enum):
    """What changes besides the alert, whose changes are `temporal.Change`."""

    STARTED = "started"
    STOPPED = "stopped"
    STALLED = "stalled"
    """An inference takes longer than its limit."""
    RESUMED = "resumed"
    """The inference that had stalled has returned."""
    SOURCE_LOST = "source-lost"
    SOURCE_BACK = "source-back"
    FORMAT = "format"
    """Frames of one input have another size or depth than those before."""
    ACKNOWLEDGED = "acknowledged"


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """One frame with its result, before it is seen together with those before it.

    Attributes:
        number: of the frame within the stream, from 0, drops counted.
        time_ms: when it was taken: since the start of the recording, or of the stream where that is live.
        age_ms: from the frame's arrival to this result, at least 0.
        screening: what was found, or why it was refused.
        frame: the frame; None where it could not be read.
    """

    number: int
    time_ms: float
    age_ms: float
    screening: Screening
    frame: Frame | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Decided(Judged):
    """One frame's result, and what the stream shows after it."""

    level: Level


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A change of state.

    Attributes:
        event: what changed.
        time_ms: as in `Judged`; of the last frame where the event has no time of its own.
        level: what the stream shows after it.
        notify: people are to be told.
        number: of the frame that caused it, or that was the last; None before the first.
        detail: in words; None where the event says it all.
    """

    event: Change | Happening
    time_ms: float
    level: Level
    notify: bool
    number: int | None
    detail: str | None = None


Item: TypeAlias = "Decided | Changed"


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Counts since the start.

    Attributes:
        arrived: frames that the source gave, those that cannot be decoded among them.
        dropped: frames that gave way to newer ones.
        decisions: frames of each decision, every one with an entry.
        unreadable: frames that could not be read, among the refused ones.
        stalls: inferences over the limit.
        losses: times the source vanished.
        oldest_ms: the highest age of a frame when it was decided.
    """

    arrived: int
    dropped: int
    decisions: Mapping[Decision, int]
    unreadable: int
    stalls: int
    losses: int
    oldest_ms: float


class Track:
    """The state of one stream; for one thread."""

    def __init__(self, *, rule: TemporalRule, zone: Zone) -> None:
        self._rule = rule
        self._zone = zone
        self._state = temporal.START
        self._time_ms = 0.0
        self._number: int | None = None
        self._last: Frame | None = None
        self._decisions: Counter[Decision] = Counter()
        self._unreadable = 0
        self._happened: Counter[Change | Happening] = Counter()
        self._oldest_ms = 0.0

    @property
    def level(self) -> Level:
        """What the stream shows now."""
        return self._state.level

    def decided(self, judged: Judged) -> Iterator[Item]:
        """Yield a change of format, the frame's result, then what it changes."""
        self._number = judged.number
        self._count(judged)
        yield from self._format(judged)
        changes = self._advanced(judged.time_ms, judged.screening.score)
        yield Decided(
            number=judged.number,
            time_ms=judged.time_ms,
            age_ms=judged.age_ms,
            screening=judged.screening,
            frame=judged.frame,
            level=self.level,
        )
        yield from changes

    def quiet(self, time_ms: float) -> Iterator[Item]:
        """Yield what has changed by now because no frame came."""
        yield from self._advanced(time_ms, None)

    def acknowledged(self) -> Iterator[Item]:
        """Yield that the alert that stands was seen; nothing where none stands, or it was seen before."""
        before, self._state = self._state, temporal.acknowledge(self._state)
        if self._state.acknowledged and not before.acknowledged:
            yield self.changed(Happening.ACKNOWLEDGED)

    def changed(
        self,
        event: Change | Happening,
        *,
        notify: bool = False,
        detail: str | None = None,
        time_ms: float | None = None,
    ) -> Changed:
        """Return a change of state, and count it."""
        self._happened[event] += 1
        when_ms = self._time_ms if time_ms is None else max(self._time_ms, time_ms)
        return Changed(
            event=event, time_ms=when_ms, level=self.level, notify=notify, number=self._number, detail=detail
        )

    def statistics(self, *, arrived: int, dropped: int) -> Statistics:
        """Return the counts so far, with those of the reader."""
        return Statistics(
            arrived=arrived,
            dropped=dropped,
            decisions={decision: self._decisions[decision] for decision in Decision},
            unreadable=self._unreadable,
            stalls=self._happened[Happening.STALLED],
            losses=self._happened[Happening.SOURCE_LOST],
            oldest_ms=self._oldest_ms,
        )

    def _count(self, judged: Judged) -> None:
        self._oldest_ms = max(self._oldest_ms, judged.age_ms)
        self._decisions[judged.screening.decision] += 1
        self._unreadable += judged.screening.refusal is Refusal.UNREADABLE

    def _advanced(self, time_ms: float, score: float | None) -> list[Changed]:
        self._time_ms = max(self._time_ms, time_ms)
        observation = Observation(time_ms=self._time_ms, score=score)
        step = temporal.advance(self._state, observation, rule=self._rule, zone=self._zone)
        self._state = step.state
        return [self.changed(event.change, notify=event.notify) for event in step.events]

    def _format(self, judged: Judged) -> Iterator[Item]:
        """Tell when the frames of one input become others; the files of a folder differ by nature."""
        before, self._last = self._last, judged.frame or self._last
        if before is None or judged.frame is None or before.source != judged.frame.source:
            return
        if (was := _format_of(before)) != (now := _format_of(judged.frame)):
            yield self.changed(Happening.FORMAT, detail=f"frames of {was} became {now}")


def _format_of(frame: Frame) -> str:
    return f"{frame.pixels.shape[1]} x {frame.pixels.shape[0]} pixels of {frame.bits} bits"
