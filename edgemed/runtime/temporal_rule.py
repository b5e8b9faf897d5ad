"""How the frames of a stream are taken together: the part ``temporal`` of ``decision.json``. `temporal` follows it.

rule = TemporalRule(smoothing_ms=200.0, votes=3, window=5, minimum_ms=3000.0)
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

__all__ = ["TemporalRule"]

Milliseconds = Annotated[float, Meta(ge=0.0, le=86_400_000.0)]


class TemporalRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the frames of a stream are taken together.

    Attributes:
        smoothing_ms: time constant of the exponential smoothing of scores; 0 takes each score as it is.
        votes, window: an alert is raised once ``votes`` of the last ``window`` judged frames lie at or above the upper
            end of the indeterminate zone; the level is at least indeterminate once as many lie at or above the lower
            end. It is clear, and an alert ends, once so many lie below the lower end that this can't be (hysteresis).
        minimum_ms: an alert stands at least this long after the last time its votes were reached.
        cooldown_ms: after a notification of an alert, the next one is not announced for this long.
        escalate_ms: the indeterminate level is announced once it has lasted this long; None for never.
        stale_ms: without a judged frame for this long, sight is lost: that is told, what was seen before counts no
            more, and a level below an alert becomes ``unjudged``.
    """

    smoothing_ms: Milliseconds = 0.0
    votes: Annotated[int, Meta(ge=1, le=1000)] = 1
    window: Annotated[int, Meta(ge=1, le=1000)] = 1
    minimum_ms: Milliseconds = 0.0
    cooldown_ms: Milliseconds = 0.0
    escalate_ms: Milliseconds | None = None
    stale_ms: Annotated[float, Meta(gt=0.0, le=86_400_000.0)] = 2000.0

    def __post_init__(self) -> None:
        if self.votes > self.window:
            raise ValueError(f"votes: expected at most window ({self.window}), got {self.votes}")
