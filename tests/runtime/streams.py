"""What streams are tested with: a clock that only the test moves, sources that do as told, a screener that answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from edgemed.errors import ImageError
from edgemed.imaging.frame import Frame
from edgemed.runtime.decision import DecisionRule
from edgemed.runtime.screening import Latency, Screening
from edgemed.runtime.sources.arrival import Arrival, Clock, Pause
from tests.runtime import tiny


class FakeClock:
    """Seconds that pass when somebody waits on it, or says so."""

    def __init__(self, now_s: float = 100.0) -> None:
        self.now_s = now_s
        self.waits: list[float] = []
        self.stop_after: float | None = None

    def __call__(self) -> float:
        return self.now_s

    def pause(self, seconds: float) -> bool:
        """Let time pass; the stream stops at ``stop_after``."""
        if seconds:
            self.waits.append(seconds)
            self.now_s += seconds
        return self.stop_after is not None and self.now_s >= self.stop_after


def arrival(number: int = 0, *, arrived_s: float = 100.0, **fields: Any) -> Arrival:
    frame = Frame(pixels=np.full((4, 4), number % 256, np.uint8), source="fake", index=number)
    return Arrival(**{"picture": frame, "arrived_s": arrived_s, "decode_ms": 1.0, **fields})


class FakeSource:
    """Yields what it is given, one list for each time it is opened; an error in a list is raised."""

    name = "fake"

    def __init__(self, *openings: Sequence[Arrival | ImageError], live: bool = False, returns: bool = False) -> None:
        self.live = live
        self.returns = returns
        self.opened = 0
        self._openings = openings

    def arrivals(self, *, clock: Clock, pause: Pause) -> Iterator[Arrival]:
        opening = self._openings[min(self.opened, len(self._openings) - 1)]
        self.opened += 1
        for given in opening:
            if isinstance(given, ImageError):
                raise given
            yield given


class FakeScreener:
    """Scores frames by their number; ``meanwhile`` runs inside the screening of each."""

    def __init__(
        self, scores: Sequence[float | None] = (), *, meanwhile: Callable[[Frame], None] | None = None, **changes: Any
    ) -> None:
        self.rule: DecisionRule = tiny.rule(b"model", zone=(0.4, 0.6), **changes)
        self.screened: list[int] = []
        self.threads: set[int] = set()
        self._scores = scores
        self._meanwhile = meanwhile

    def screen(self, frame: Frame, *, decode_ms: float = 0.0) -> Screening:
        self.screened.append(frame.index)
        self.threads.add(threading.get_ident())
        if self._meanwhile is not None:
            self._meanwhile(frame)
        score = self._scores[frame.index] if frame.index < len(self._scores) else 0.5
        return screening(score, frame=frame.index, decode_ms=decode_ms)


def screening(score: float | None, *, frame: int = 0, decode_ms: float = 0.0) -> Screening:
    from edgemed.runtime import decision
    from edgemed.runtime.decision import Decision, Zone

    found = Decision.REFUSED if score is None else decision.decide(score, Zone(low=0.4, high=0.6), 0.5)
    return Screening(
        source="fake",
        frame=frame,
        modality=None,
        decision=found,
        score=score,
        operating_point="rule-out",
        latency=Latency(decode_ms=decode_ms, preprocess_ms=0.0, infer_ms=0.0, decide_ms=0.0, record_ms=0.0),
    )
