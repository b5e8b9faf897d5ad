"""Many inputs, one after the other: a file that cannot be read becomes a refused result and stops nothing.

Frames are read as they are screened: a long clip takes the memory of one frame.

    for outcome in worklist.screen(screener, readers.expand(inputs)):
        print(outcome.screening.source, outcome.screening.decision)
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgemed.errors import EdgemedError, ImageError, InferenceError
from edgemed.imaging import readers
from edgemed.imaging.frame import Frame
from edgemed.runtime import screening
from edgemed.runtime.decision import DecisionRule
from edgemed.runtime.screening import Screening

__all__ = ["FrameScreener", "Outcome", "expand", "screen", "screen_one"]


class FrameScreener(Protocol):
    """What screens a frame: `edgemed.runtime.screener.Screener`."""

    @property
    def rule(self) -> DecisionRule:
        """The decision document in force."""
        ...

    def screen(self, frame: Frame, *, decode_ms: float = 0.0) -> Screening:
        """Return what is found in one frame."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """A result, the frame it belongs to (None where there was none to screen), and the file's number from 1."""

    number: int
    screening: Screening
    frame: Frame | None


def expand(inputs: Sequence[Path]) -> list[Path]:
    """Return the files of the inputs, as `readers.expand`; a folder without an image stays, and is refused by name."""
    return [path for given in inputs for path in readers.expand([given]) or [given]]


def screen(
    screener: FrameScreener,
    paths: Iterable[Path],
    *,
    read: Callable[[Path], Iterator[Frame]] = readers.read,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Outcome]:
    """Yield one outcome per frame, in order; at least one per path.

    Args:
        screener: judges each frame.
        paths: files; see `expand` for folders.
        read: yields the frames of a file.
        clock: seconds, rising; for the decode time.
    """
    watch = _Stopwatch(clock)
    for number, path in enumerate(paths, start=1):
        yield from _outcomes(screener, path, read(path), number=number, watch=watch)


def screen_one(
    screener: FrameScreener,
    given: Path | Frame,
    *,
    number: int,
    read: Callable[[Path], Iterator[Frame]] = readers.read,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Outcome]:
    """Yield one outcome per frame of one input, at least one; ``number`` is the input's."""
    watch = _Stopwatch(clock)
    path = Path(given.source) if isinstance(given, Frame) else given
    frames = iter([given]) if isinstance(given, Frame) else read(given)
    yield from _outcomes(screener, path, frames, number=number, watch=watch)


class _Stopwatch:
    """Times decoding: from the last result, so that finding the end of a file counts as part of reading the next."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._start = clock()

    def restart(self) -> None:
        self._start = self._clock()

    def ms(self) -> float:
        return 1e3 * (self._clock() - self._start)


def _outcomes(
    screener: FrameScreener, path: Path, frames: Iterator[Frame], *, number: int, watch: _Stopwatch
) -> Iterator[Outcome]:
    for result, frame in _one(screener, path, frames, watch):
        yield Outcome(number=number, screening=result, frame=frame)
        watch.restart()


def _one(
    screener: FrameScreener, path: Path, frames: Iterator[Frame], watch: _Stopwatch
) -> Iterator[tuple[Screening, Frame | None]]:
    """Yield the results of one file; a failure to read ends it with a refused one."""
    index = 0
    while True:
        try:
            frame = _next(frames, path)
        except ImageError as error:
            yield _failed(screener, path, error, frame=index, decode_ms=watch.ms()), None
            return
        if frame is None:
            return
        decode_ms = watch.ms()
        try:
            yield screener.screen(frame, decode_ms=decode_ms), frame
        except (ImageError, InferenceError) as error:
            yield _failed(screener, path, error, frame=frame.index, decode_ms=decode_ms), None
        index = frame.index + 1


def _next(frames: Iterator[Frame], path: Path) -> Frame | None:
    # Path.is_dir raises where a path cannot be looked at; the reader says why.
    if os.path.isdir(path):  # noqa: PTH112
        raise ImageError(_about_folder(path))
    return next(frames, None)


def _about_folder(path: Path) -> str:
    """Return why a folder is on the list itself: it is closed, or holds no image."""
    try:
        os.scandir(path).close()
    except OSError as err:
        return f"{path}: cannot be read: {err.strerror or err}; check the path and its permissions"
    return f"{path}: expected images in this folder, found none; name another folder"


def _failed(screener: FrameScreener, path: Path, error: EdgemedError, *, frame: int, decode_ms: float) -> Screening:
    return screening.unreadable(str(path), str(error), frame=frame, rule=screener.rule, decode_ms=decode_ms)
