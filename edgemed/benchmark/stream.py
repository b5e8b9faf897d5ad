"""Frames that arrive at a fixed rate, whether or not anybody is ready, judged by `edgemed.runtime.stream`.

When a frame arrives is fixed beforehand by the rate alone: a frame that had to wait for a stall is as old as the stall
was long, and the frames that were dropped meanwhile are counted. Nothing waits for the measurement, so nothing of a
stall is left out (what Tene calls coordinated omission).

    taken = run(screener, paths, plan=plan)
    taken.series.dropped
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgemed.benchmark.control import Control
from edgemed.benchmark.loop import Measured, Progress, Silent, nothing
from edgemed.benchmark.scenario import Plan
from edgemed.benchmark.series import Series, sampled
from edgemed.errors import ImageError
from edgemed.imaging import readers
from edgemed.imaging.frame import Frame
from edgemed.measure import process
from edgemed.runtime.decision import DecisionRule
from edgemed.runtime.screening import Screening
from edgemed.runtime.sources.arrival import Arrival, Clock, Pause
from edgemed.runtime.stream import Decided, Stream
from edgemed.runtime.worklist import FrameScreener

__all__ = ["Paced", "run"]


class Paced:
    """Files as a live source: their frames again and again, one each ``1 / rate_hz`` seconds; a `Source`."""

    name = "benchmark"
    live = True
    returns = False

    def __init__(self, paths: Sequence[Path], *, rate_hz: float, count: int) -> None:
        """Take the files.

        Args:
            paths: at least one.
            rate_hz: frames a second, above 0.
            count: of the frames that arrive.
        """
        self._paths, self._rate_hz, self._count = paths, rate_hz, count

    def arrivals(self, *, clock: Clock, pause: Pause) -> Iterator[Arrival]:
        """Yield each frame when it is due; one that cannot be read is an arrival too."""
        pictures = _pictures(self._paths)
        begun_s = clock()
        for index in range(self._count):
            due_s = begun_s + index / self._rate_hz
            if pause(max(0.0, due_s - clock())):
                return
            start = clock()
            picture = next(pictures)
            yield Arrival(picture=picture, arrived_s=due_s, decode_ms=1e3 * (clock() - start))


def run(
    screener: FrameScreener,
    paths: Sequence[Path],
    *,
    plan: Plan,
    around: contextlib.AbstractContextManager[object] | None = None,
    progress: Progress | None = None,
    clock: Clock = time.perf_counter,
) -> Measured:
    """Return the samples of a stream; frames that were dropped are counted and give none.

    Args:
        screener: judges each frame.
        paths: files whose frames arrive in turn.
        plan: how many frames, at which rate, and how many of them are warm-up.
        around: entered before the stream starts, left when it has ended.
        progress: told of each sample.
        clock: seconds, rising.

    Raises:
        ImageError: no frame gave a sample.
        ClockError: the clock went back.
    """
    done, said = Measured(), progress or Silent()
    timed = _Timed(screener, clock)
    source = Paced(paths, rate_hz=plan.rate_hz, count=plan.samples + plan.warm_up)
    said.start("stream", plan.samples)
    with around or contextlib.nullcontext(), Stream(source, timed, clock=clock) as stream:
        cpu_s, start = process.cpu_s(), clock()
        try:
            for item in stream:
                if isinstance(item, Decided):
                    series = done.warm_up if item.number < plan.warm_up else done.series
                    _keep(series, item, timed)
                    said.advance()
        except KeyboardInterrupt:
            done.interrupted = True
        done.wall_s, done.cpu_s = clock() - start, process.cpu_s() - cpu_s
        done.series.dropped = stream.statistics.dropped
    if not done.series.samples and not done.warm_up.samples and not done.interrupted:
        raise ImageError(nothing(done.series if done.series.missed else done.warm_up))
    return done


class _Timed:
    """A screener with fixed work before each frame, and its time from outside."""

    def __init__(self, screener: FrameScreener, clock: Clock) -> None:
        self._screener, self._clock, self._control = screener, clock, Control(clock=clock)
        self._outside: dict[int, tuple[float, float]] = {}

    @property
    def rule(self) -> DecisionRule:
        return self._screener.rule

    def screen(self, frame: Frame, *, decode_ms: float = 0.0) -> Screening:
        control_ms = self._control.ms()
        start = self._clock()
        found = self._screener.screen(frame, decode_ms=decode_ms)
        # The stream holds the result until it is taken from here: its identity is its own meanwhile.
        self._outside[id(found)] = decode_ms + 1e3 * (self._clock() - start), control_ms
        return found

    def taken(self, found: Screening) -> tuple[float, float]:
        """Return total and fixed work of a frame, in ms; each once."""
        return self._outside.pop(id(found), (found.latency.total_ms, 0.0))


def _keep(series: Series, item: Decided, timed: _Timed) -> None:
    total_ms, control_ms = timed.taken(item.screening)
    sample = sampled(item.screening, total_ms=total_ms, record_ms=0.0, control_ms=control_ms, age_ms=item.age_ms)
    if sample is None:
        series.miss(item.screening)
    else:
        series.add(sample)


def _pictures(paths: Sequence[Path]) -> Iterator[Frame | ImageError]:
    for path in itertools.cycle(paths):
        try:
            yield from readers.read(path)
        except ImageError as err:
            yield err
