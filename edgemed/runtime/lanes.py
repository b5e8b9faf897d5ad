"""Many inputs at once: each lane reads and screens one input while the others are at theirs; the order stays.

A lane is a thread with a screener of its own, or one that it shares, where there is one accelerator: then pictures are
decoded side by side and inferences wait for each other. OpenCV and the inference libraries let go of Python's lock, so
that lanes use cores. A long clip takes the memory of a few frames, and an input that cannot be read stops no other.

    for outcome in lanes.screen([screener, screener.twin()], readers.expand(inputs)):
        print(outcome.screening.source, outcome.screening.decision)
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from queue import Empty, Full, Queue
from typing import TypeAlias

from edgemed.imaging import readers
from edgemed.imaging.frame import Frame
from edgemed.runtime import worklist
from edgemed.runtime.decision import DecisionRule
from edgemed.runtime.screening import Screening
from edgemed.runtime.worklist import FrameScreener, Outcome

__all__ = ["Shared", "screen"]

_AHEAD = 4  # results of one input that may wait for their turn
_LOOK_S = 0.1  # between two looks whether the work is to stop, while somebody waits


class Shared:
    """A screener that several lanes use, one after the other."""

    def __init__(self, screener: FrameScreener) -> None:
        self._screener = screener
        self._turn = threading.Lock()

    @property
    def rule(self) -> DecisionRule:
        """The decision document in force."""
        return self._screener.rule

    def screen(self, frame: Frame, *, decode_ms: float = 0.0) -> Screening:
        """Return what is found in one frame, once it is this lane's turn."""
        with self._turn:
            return self._screener.screen(frame, decode_ms=decode_ms)


class _Ended:
    """The last thing an input gives: nothing more, or the exception of a bug."""

    def __init__(self, err: BaseException | None = None) -> None:
        self.err = err


_Results: TypeAlias = "Queue[Outcome | _Ended]"


def screen(
    screeners: Sequence[FrameScreener],
    inputs: Iterable[Path | Frame],
    *,
    read: Callable[[Path], Iterator[Frame]] = readers.read,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Outcome]:
    """Yield what `worklist.screen` yields for the inputs, in their order; one lane for each screener.

    Args:
        screeners: at least one; one that is given twice must be `Shared`.
        inputs: files or frames; taken as the lanes get to them, from the thread that iterates.
        read: yields the frames of a file.
        clock: seconds, rising; for the decode time.
    """
    if not screeners:
        raise ValueError("screeners: expected at least one, got none")
    work: Queue[tuple[int, Path | Frame, _Results]] = Queue()
    stopping = threading.Event()
    lanes = [
        threading.Thread(target=_lane, args=(screener, work, stopping, read, clock), name="edgemed lane", daemon=True)
        for screener in screeners
    ]
    for lane in lanes:
        lane.start()
    try:
        yield from _in_order(enumerate(inputs, start=1), work, ahead=2 * len(lanes))
    finally:
        stopping.set()
        for lane in lanes:
            lane.join()


def _in_order(
    inputs: Iterator[tuple[int, Path | Frame]], work: Queue[tuple[int, Path | Frame, _Results]], *, ahead: int
) -> Iterator[Outcome]:
    """Hand out the inputs, so many at a time, and yield their results in turn."""
    begun: deque[_Results] = deque()
    while True:
        while len(begun) < ahead and (given := next(inputs, None)) is not None:
            begun.append(Queue(maxsize=_AHEAD))
            work.put((*given, begun[-1]))
        if not begun:
            return
        results = begun.popleft()
        while not isinstance(found := results.get(), _Ended):
            yield found
        if found.err is not None:
            raise found.err


def _lane(
    screener: FrameScreener,
    work: Queue[tuple[int, Path | Frame, _Results]],
    stopping: threading.Event,
    read: Callable[[Path], Iterator[Frame]],
    clock: Callable[[], float],
) -> None:
    while not stopping.is_set():
        try:
            number, given, results = work.get(timeout=_LOOK_S)
        except Empty:
            continue
        try:
            for outcome in worklist.screen_one(screener, given, number=number, read=read, clock=clock):
                if not _put(results, outcome, stopping):
                    return
            ended = _Ended()
        except BaseException as err:  # noqa: BLE001  # handed on, whatever it is
            ended = _Ended(err)
        _put(results, ended, stopping)


def _put(results: _Results, item: Outcome | _Ended, stopping: threading.Event) -> bool:
    """Wait for a place; return whether there was one before the work was to stop."""
    while not stopping.is_set():
        try:
            results.put(item, timeout=_LOOK_S)
        except Full:
            continue
        return True
    return False
