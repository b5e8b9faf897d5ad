"""A recording: the frames of a clip, a multi-frame DICOM file, a stack or a still, in order and none left out.

Time is the recording's own, frame by frame, so that decisions over time are the same on a fast and on a slow machine.
Played in its own time (``paced``) it stands in for a live source: frames arrive when they are due, and are dropped
when they are not taken.

    source = Recording(Path("lung.mp4"))
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from edgemed.errors import ImageError
from edgemed.imaging import readers, timing
from edgemed.imaging.frame import Frame
from edgemed.runtime.sources.arrival import Arrival, Clock, Pause

__all__ = ["Recording"]


class Recording:
    """One file with frames; a `Source`."""

    returns = False

    def __init__(
        self,
        path: Path,
        *,
        interval_ms: float | None = None,
        paced: bool = False,
        read: Callable[[Path], Iterator[Frame]] = readers.read,
    ) -> None:
        """Take a file that `edgemed.imaging.readers` reads.

        Args:
            path: the file.
            interval_ms: from frame to frame, above 0; None takes what the file says, else `timing.ASSUMED_MS`.
            paced: play it in its own time, as if it were live.
            read: yields the frames of a file.
        """
        if interval_ms is not None and not interval_ms > 0.0:
            raise ValueError(f"interval_ms: expected a number above 0, got {interval_ms}")
        self.name = str(path)
        self.live = paced
        self._path = path
        self._interval_ms = interval_ms
        self._read = read

    @property
    def interval_ms(self) -> float:
        """From frame to frame, as it was given, or as the file says; `timing.ASSUMED_MS` where it does not."""
        return self._interval_ms or timing.frame_interval_ms(self._path) or timing.ASSUMED_MS

    def arrivals(self, *, clock: Clock, pause: Pause) -> Iterator[Arrival]:
        """Yield every frame; one that cannot be read is the last."""
        interval_ms = self.interval_ms
        frames = self._read(self._path)
        begun_s = clock()
        for index in itertools.count():
            due_s = begun_s + 1e-3 * interval_ms * index
            if pause(max(0.0, due_s - clock()) if self.live else 0.0):
                return
            start = clock()
            picture = _next(frames)
            if picture is None:
                return
            yield Arrival(
                picture=picture,
                arrived_s=due_s if self.live else start,
                decode_ms=1e3 * (clock() - start),
                taken_ms=None if self.live else interval_ms * index,
            )
            if not isinstance(picture, Frame):
                return


def _next(frames: Iterator[Frame]) -> Frame | ImageError | None:
    """Return the next frame, what is wrong with it, or None at the end."""
    try:
        return next(frames, None)
    except ImageError as err:
        return err
