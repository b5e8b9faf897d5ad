"""One frame after the other, each timed from its file to its decision, with fixed work in between.

What is timed is `edgemed.runtime.worklist`, the very loop of ``edgemed screen``: reading a file, screening its frames,
and writing the result down where somebody does. A stage's time is what the runtime itself measures; the total is
measured around all of them.

    taken = run(frames(screener, images.paths), limit=Limit(samples=1000), warm_up=20)
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from edgemed.benchmark.control import Control
from edgemed.benchmark.series import Series, sampled
from edgemed.errors import ImageError
from edgemed.measure import process
from edgemed.runtime import worklist
from edgemed.runtime.screening import Screening
from edgemed.runtime.worklist import FrameScreener

__all__ = ["Clock", "Limit", "Measured", "Progress", "Record", "Silent", "cycled", "nothing", "once", "run"]

Clock = Callable[[], float]
Record = Callable[[Screening], None]
"""Writes a result down, as the run that is measured would."""

_MOST_MISSES = 50  # in a row, before the first sample: nothing in these inputs is screened


class Progress(Protocol):
    """Where a measurement says how far it is."""

    def start(self, what: str, total: int) -> None:
        """A stage of so many steps begins."""

    def advance(self, count: int = 1) -> None:
        """So many more are done."""


class Silent:
    """Says nothing."""

    def start(self, what: str, total: int) -> None:
        """Pass over a stage."""

    def advance(self, count: int = 1) -> None:
        """Pass over a step."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """When a measurement ends: after so many samples or seconds, whichever comes first; None for no limit."""

    samples: int | None = None
    seconds: float | None = None


@dataclass(kw_only=True)
class Measured:
    """What a loop has taken.

    Attributes:
        warm_up: the samples before the ones that count.
        wall_s: from the first sample that counts to the last.
        cpu_s: of this process meanwhile, all its threads.
        interrupted: somebody ended it early; what was taken until then is there.
    """

    warm_up: Series = field(default_factory=Series)
    series: Series = field(default_factory=Series)
    wall_s: float = 0.0
    cpu_s: float = 0.0
    interrupted: bool = False
    ends_s: list[float] = field(default_factory=list)
    """When each sample was done, in seconds from the first one's start."""


def cycled(screener: FrameScreener, paths: Iterable[Path], *, clock: Clock = time.perf_counter) -> Iterator[Screening]:
    """Yield the result of every frame of the files, again and again."""
    return (one.screening for one in worklist.screen(screener, itertools.cycle(paths), clock=clock))


def once(screener: FrameScreener, paths: Iterable[Path], *, clock: Clock = time.perf_counter) -> Iterator[Screening]:
    """Yield the result of every frame of the files."""
    return (one.screening for one in worklist.screen(screener, paths, clock=clock))


def run(
    results: Iterator[Screening],
    *,
    limit: Limit,
    warm_up: int = 0,
    record: Record | None = None,
    control: Control | None = None,
    around: contextlib.AbstractContextManager[object] | None = None,
    clock: Clock = time.perf_counter,
    progress: Progress | None = None,
) -> Measured:
    """Return what was taken until the limit, the end of the results, or Ctrl-C.

    Args:
        results: each step of it screens one frame.
        limit: when to end.
        warm_up: samples before, kept apart.
        record: writes each result down; None writes none, and the stage is 0.
        control: fixed work before each frame; None for none.
        around: entered when the samples that count begin, left when they end.
        clock: seconds, rising.
        progress: told of each sample.

    Raises:
        ImageError: none of the first frames gave a sample, or no frame did at all.
        ClockError: the clock went back.
    """
    done, said = Measured(), progress or Silent()
    step = _Step(results, record, control, clock)
    try:
        said.start("warm-up", warm_up)
        _take(step, done.warm_up, Limit(samples=warm_up), said, done=None, clock=clock)
        said.start("measure", limit.samples or 0)
        with around or contextlib.nullcontext():
            cpu_s, start = process.cpu_s(), clock()
            try:
                _take(step, done.series, limit, said, done=done, clock=clock)
            finally:
                done.wall_s, done.cpu_s = clock() - start, process.cpu_s() - cpu_s
    except KeyboardInterrupt:
        done.interrupted = True
    if not done.series.samples and not done.warm_up.samples and not done.interrupted:
        raise ImageError(nothing(done.warm_up if done.warm_up.missed else done.series))
    return done


class _Step:
    """Takes one frame: fixed work, then the frame itself, timed from outside."""

    def __init__(
        self, results: Iterator[Screening], record: Record | None, control: Control | None, clock: Clock
    ) -> None:
        self._results, self._record, self._control, self._clock = results, record, control, clock

    def into(self, series: Series) -> bool:
        """Add one frame to a series, and return whether there was one."""
        control_ms = None if self._control is None else self._control.ms()
        start = self._clock()
        found = next(self._results, None)
        if found is None:
            return False
        screened = self._clock()
        if self._record is not None:
            self._record(found)
        end = self._clock()
        record_ms = 0.0 if self._record is None else 1e3 * (end - screened)
        total_ms = 1e3 * ((screened if self._record is None else end) - start)
        sample = sampled(found, total_ms=total_ms, record_ms=record_ms, control_ms=control_ms)
        series.miss(found) if sample is None else series.add(sample)
        return True


def _take(
    step: _Step, series: Series, limit: Limit, progress: Progress, *, done: Measured | None, clock: Clock
) -> None:
    start = clock()
    while limit.samples is None or len(series) < limit.samples:
        if limit.seconds is not None and clock() - start >= limit.seconds:
            return
        before = len(series)
        if not step.into(series):
            return
        if len(series) > before:
            progress.advance()
            if done is not None:
                done.ends_s.append(clock() - start)
        elif not series.samples and series.missed >= _MOST_MISSES:
            raise ImageError(nothing(series))


def nothing(series: Series) -> str:
    """Return what to say where no frame gave a sample."""
    why = f"; the first: {series.reasons[0]}" if series.reasons else ""
    return (
        f"--input: expected images that the bundle screens, got {series.unreadable} unreadable and {series.refused} "
        f"refused frames, and no other{why}"
    )
