"""Decisions over time: from the scores of a stream's frames to an alert that people can trust.

A pure state machine over (time, score, quality): it has no clock, reads no file and keeps nothing but the value that it
returns. Rules it keeps, each a property test:

1. Frames that were refused never raise an alert, and never end one.
2. Monotone: where every score is at least as high, the level is at no time lower.
3. No flapping: a raised alert stands for at least ``minimum_ms``, so raises are at least that far apart.
4. The same observations give the same states, on every platform: float64 sums and comparisons alone.

    state = temporal.START
    for observation in observations:
        step = temporal.advance(state, observation, rule=rule, zone=decision_rule.indeterminate)
        state = step.state
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, replace

from edgemed.runtime.decision import Zone
from edgemed.runtime.temporal_rule import TemporalRule

__all__ = [
    "START",
    "Change",
    "Event",
    "Level",
    "Observation",
    "Step",
    "TemporalRule",
    "TemporalState",
    "acknowledge",
    "advance",
]


class Level(enum.IntEnum):
    """What the stream shows, in rising order: not to know is worse than clear."""

    CLEAR = 0
    UNJUDGED = 1
    INDETERMINATE = 2
    ALERT = 3


class Change(str, enum.Enum):
    """What a step announces."""

    RAISED = "raised"
    ENDED = "ended"
    ESCALATED = "escalated"
    LOST = "lost"
    RECOVERED = "recovered"


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One frame: when it was taken, and its score.

    Attributes:
        time_ms: of a clock that only rises; a time before the last one counts as no time passed.
        score: in [0, 1]; None for a frame that was refused.
    """

    time_ms: float
    score: float | None

    def __post_init__(self) -> None:
        if not math.isfinite(self.time_ms):
            raise ValueError(f"time_ms: expected a finite number, got {self.time_ms}")
        if self.score is not None and not 0.0 <= self.score <= 1.0:
            raise ValueError(f"score: expected a number in [0, 1] or None, got {self.score}")


@dataclass(frozen=True, kw_only=True)
class Event:
    """A change to be told.

    Attributes:
        notify: people are told; False within the cooldown or once the alert was acknowledged.
    """

    change: Change
    time_ms: float
    level: Level
    notify: bool


@dataclass(frozen=True, kw_only=True)
class TemporalState:
    """Everything the next step needs.

    Attributes:
        smoothed: score after smoothing; None before the first judged frame and after a gap of ``stale_ms``.
        above, within: for the last ``window`` judged frames, whether the smoothed score lay at or above the upper and
            the lower end of the zone.
        judged_ms: time of the last judged frame, or of the first frame while none was judged.
        lost: sight is lost: the last judged frame lies ``stale_ms`` back.
        reached_ms: time of the last frame at which the votes for an alert were reached.
        indeterminate_ms: since when the level is indeterminate; ``escalated``: and whether that was told.
        notified_ms: time of the last notification of an alert.
        acknowledged: the alert that stands was acknowledged.
    """

    level: Level = Level.UNJUDGED
    time_ms: float | None = None
    smoothed: float | None = None
    above: tuple[bool, ...] = ()
    within: tuple[bool, ...] = ()
    judged_ms: float | None = None
    lost: bool = False
    reached_ms: float | None = None
    indeterminate_ms: float | None = None
    escalated: bool = False
    notified_ms: float | None = None
    acknowledged: bool = False


@dataclass(frozen=True, kw_only=True)
class Step:
    """The state after an observation, and what changed."""

    state: TemporalState
    events: tuple[Event, ...]


START = TemporalState()


def advance(state: TemporalState, observation: Observation, *, rule: TemporalRule, zone: Zone) -> Step:
    """Return the state after one more frame.

    Args:
        state: `START`, or the last step's.
        observation: of the frame.
        rule: of the bundle.
        zone: the indeterminate zone; its upper end raises, its lower end is what an alert must fall below.
    """
    now = observation.time_ms if state.time_ms is None else max(observation.time_ms, state.time_ms)
    judged_ms = now if state.judged_ms is None else state.judged_ms
    after = replace(state, time_ms=now, judged_ms=judged_ms, lost=now - judged_ms >= rule.stale_ms)
    if after.lost:
        # The gap depends on times alone, so that forgetting keeps the level monotone in the scores.
        after = replace(after, smoothed=None, above=(), within=())
    if observation.score is not None:
        after = _judged(after, observation.score, rule=rule, zone=zone, now=now)
    return _announced(state, replace(after, level=_level(after, rule, now=now)), rule=rule, now=now)


def acknowledge(state: TemporalState) -> TemporalState:
    """Return the state after somebody said "seen": the alert that stands is not announced again."""
    return replace(state, acknowledged=state.level is Level.ALERT)


def _judged(state: TemporalState, score: float, *, rule: TemporalRule, zone: Zone, now: float) -> TemporalState:
    smoothed = _smoothed(state, score, rule, now=now)
    above = (*state.above, smoothed >= zone.high)[-rule.window :]
    within = (*state.within, smoothed >= zone.low)[-rule.window :]
    reached = now if sum(above) >= rule.votes else state.reached_ms
    return replace(state, smoothed=smoothed, above=above, within=within, judged_ms=now, lost=False, reached_ms=reached)


def _smoothed(state: TemporalState, score: float, rule: TemporalRule, *, now: float) -> float:
    """Return the first-order low-pass of the scores, exact for frames that come at any distance."""
    if state.smoothed is None or state.judged_ms is None or rule.smoothing_ms == 0.0:
        return score
    kept = math.exp(-(now - state.judged_ms) / rule.smoothing_ms)
    # A mean of the two: rounding cannot carry it outside them, which keeps equal scores equal.
    return min(
        max(kept * state.smoothed + (1.0 - kept) * score, min(state.smoothed, score)), max(state.smoothed, score)
    )


def _level(state: TemporalState, rule: TemporalRule, *, now: float) -> Level:
    within = sum(state.within)
    contrary = len(state.within) - within > rule.window - rule.votes
    held = state.reached_ms is not None and now - state.reached_ms < rule.minimum_ms
    if sum(state.above) >= rule.votes or (state.level is Level.ALERT and (held or not contrary)):
        return Level.ALERT
    if state.lost:
        return Level.UNJUDGED
    if within >= rule.votes:
        return Level.INDETERMINATE
    return Level.CLEAR if contrary else state.level  # too few frames since the start or a gap: what stood stands


def _announced(before: TemporalState, after: TemporalState, *, rule: TemporalRule, now: float) -> Step:
    """Return the step with what is told, in the order alert, escalation, sight."""
    events: list[Event] = []

    def tell(change: Change, *, notify: bool) -> None:
        events.append(Event(change=change, time_ms=now, level=after.level, notify=notify))

    if after.level is Level.ALERT and before.level is not Level.ALERT:
        loud = after.notified_ms is None or now - after.notified_ms >= rule.cooldown_ms
        tell(Change.RAISED, notify=loud)
        after = replace(after, acknowledged=False, notified_ms=now if loud else after.notified_ms)
    if before.level is Level.ALERT and after.level is not Level.ALERT:
        tell(Change.ENDED, notify=not before.acknowledged)
        after = replace(after, acknowledged=False)
    after = _dwelling(before, after, now=now)
    if _is_due(after, rule, now=now):
        tell(Change.ESCALATED, notify=True)
        after = replace(after, escalated=True)
    if after.lost is not before.lost:
        tell(Change.LOST if after.lost else Change.RECOVERED, notify=after.lost)
    return Step(state=after, events=tuple(events))


def _dwelling(before: TemporalState, after: TemporalState, *, now: float) -> TemporalState:
    """Note since when the level is indeterminate."""
    if after.level is not Level.INDETERMINATE:
        return replace(after, indeterminate_ms=None, escalated=False)
    return after if before.level is Level.INDETERMINATE else replace(after, indeterminate_ms=now)


def _is_due(state: TemporalState, rule: TemporalRule, *, now: float) -> bool:
    if rule.escalate_ms is None or state.indeterminate_ms is None or state.escalated:
        return False
    return now - state.indeterminate_ms >= rule.escalate_ms
