"""An annotated recording of a stream, drawn and written in a thread of its own: no frame waits for it.

Rules: a bounded queue; what finds it full is left out and counted. One size, that of the first frame; one frame rate,
into which the stream's times are sorted: a gap repeats the picture before it, for a second at most. Before the disk is
full the file is closed, so that it plays; whoever kills the process leaves an MP4 without its index, which no player
opens, and an AVI that most do: where the power may fail, AVI.

    with Video(Path("out.mp4"), preprocessing=screener.preprocessing, rule=screener.rule) as video:
        video.put(item)
    print(video.statistics)

Source: codecs of the opencv-python-headless wheels, tried with 4.11 and 5.0: mp4v and MJPG are there, H.264 is not.
"""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed.errors import ConfigError
from edgemed.imaging.preprocess import Preprocessing
from edgemed.runtime.annotated import Annotator
from edgemed.runtime.decision import DecisionRule
from edgemed.runtime.track import Decided

__all__ = ["CODECS", "DEFAULT_FPS", "Video", "VideoStatistics", "Writer", "require_path"]

CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
"""FourCC by suffix."""

DEFAULT_FPS = 30.0
_RESERVE_BYTES = 16 << 20  # left on the disk, for the index of the file and for everybody else
_LOOK_EVERY = 30  # frames between two looks at the disk
_LONGEST_GAP_S = 1.0
_CLOSE_S = 10.0


class Writer(Protocol):
    """What takes pictures: ``cv2.VideoWriter``."""

    def write(self, image: NDArray[np.uint8], /) -> None:
        """Take one picture; says nothing when it fails."""
        ...

    def release(self) -> None:
        """Write what is left, and the index, and close the file."""
        ...


@dataclass(frozen=True, kw_only=True)
class VideoStatistics:
    """What became of the frames.

    Attributes:
        written: pictures in the file, repeated ones among them.
        dropped: frames left out because drawing or disk were too slow.
        failure: why the file ends early, or was not written; None when all is well.
    """

    written: int
    dropped: int
    failure: str | None


class Video:
    """A file being written; put frames into it from one thread, and close it."""

    def __init__(
        self,
        path: Path,
        *,
        preprocessing: Preprocessing,
        rule: DecisionRule,
        fps: float = DEFAULT_FPS,
        capacity: int = 8,
        open_writer: Callable[[Path, float, tuple[int, int]], Writer | None] | None = None,
        free_bytes: Callable[[Path], int] | None = None,
    ) -> None:
        """Begin the thread; the file begins with the first frame that has a picture.

        Args:
            path: ends in .mp4 or .avi; replaced where it exists.
            preprocessing: of the bundle that judges.
            rule: that decides.
            fps: pictures a second, above 0.
            capacity: frames that may wait to be drawn.
            open_writer: opens path, fps and (rows, columns); None for OpenCV's.
            free_bytes: room on the disk of a path; None asks the system.

        Raises:
            ConfigError: the suffix is of no codec, or the folder cannot be written.
        """
        self.path = path
        require_path(path)
        self._preprocessing = preprocessing
        self._rule = rule
        self._fps = fps
        self._open_writer = open_writer or _opened
        self._free_bytes = free_bytes or (lambda where: shutil.disk_usage(where.parent).free)
        self._queue: queue.Queue[Decided | None] = queue.Queue(maxsize=capacity)
        self._annotator: Annotator | None = None
        self._writer: Writer | None = None
        self._shown: NDArray[np.uint8] | None = None
        self._written = self._taken = self._dropped = 0
        self._failure: str | None = None
        self._thread = threading.Thread(target=self._work, name="edgemed video", daemon=True)
        self._thread.start()

    @property
    def statistics(self) -> VideoStatistics:
        """Counts so far; final once closed."""
        return VideoStatistics(written=self._written, dropped=self._dropped, failure=self._failure)

    def put(self, item: Decided) -> None:
        """Hand a frame over and go on at once; it is left out where too many wait already."""
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            self._dropped += 1

    def put_waiting(self, item: Decided) -> None:
        """Hand a frame over, and wait for room: for a recording, of which nothing is to be missed."""
        while self._thread.is_alive():
            try:
                self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def close(self) -> None:
        """Write what waits and close the file so that it plays; waits ten seconds at most."""
        if self._thread.is_alive():
            try:
                self._queue.put(None, timeout=_CLOSE_S)
            except queue.Full:
                self._failure = f"{self.path}: the disk did not take the last frames within {_CLOSE_S:g} s"
            self._thread.join(_CLOSE_S)

    def __enter__(self) -> Video:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _work(self) -> None:
        """Draw and write until the end; what comes after a failure is let go."""
        try:
            while (item := self._queue.get()) is not None:
                if self._failure is None:
                    self._take(item)
        except (cv2.error, OSError, ValueError, MemoryError) as err:
            self._failure = f"{self.path}: cannot be drawn or written: {err}"
        finally:
            self._finish()

    def _take(self, item: Decided) -> None:
        if self._annotator is None:
            if item.frame is None:
                return  # no picture yet that could say how large all will be
            self._begin(item.frame.pixels.shape)
        if self._writer is None or self._annotator is None:
            return
        if self._taken % _LOOK_EVERY == 0 and (free := self._free_bytes(self.path)) < _RESERVE_BYTES:
            self._failure = (
                f"{self.path}: the disk is nearly full, {free >> 20} MiB are free and {_RESERVE_BYTES >> 20} are kept; "
                f"the video ends after {self._written} pictures; free some room"
            )
            self._finish()
            return
        self._taken += 1
        if self._shown is not None:
            for _ in range(self._gap(item.time_ms)):
                self._write(self._writer, self._shown)
        self._shown = self._annotator.annotate(item)
        self._write(self._writer, self._shown)

    def _begin(self, shape: tuple[int, ...]) -> None:
        self._annotator = Annotator(shape, preprocessing=self._preprocessing, rule=self._rule)
        self._writer = self._open_writer(self.path, self._fps, self._annotator.size)
        if self._writer is None:
            self._failure = f"{self.path}: OpenCV cannot write {CODECS[self.path.suffix.lower()]} here; try .avi"

    def _write(self, writer: Writer, image: NDArray[np.uint8]) -> None:
        writer.write(image)
        self._written += 1

    def _gap(self, time_ms: float) -> int:
        """Return how often the picture before is repeated so that the file keeps the stream's time."""
        due = int(time_ms * self._fps / 1e3)
        return min(max(0, due - self._written), int(_LONGEST_GAP_S * self._fps))

    def _finish(self) -> None:
        """Close the file; one that no picture came to is removed, if it was empty before as well."""
        writer, self._writer = self._writer, None
        try:
            if writer is not None:
                writer.release()
            if not self._written and self.path.stat().st_size == 0:
                self.path.unlink()
                self._failure = self._failure or f"{self.path}: no frame had a picture, and nothing was written"
        except OSError as err:
            self._failure = self._failure or f"{self.path}: {err}"


def require_path(path: Path) -> None:
    """Refuse a file that could not be written, before anything is judged.

    Raises:
        ConfigError: the suffix is of no codec, or the folder is absent or closed.
    """
    if path.suffix.lower() not in CODECS:
        raise ConfigError(f"{path}: expected a video file in {' or '.join(CODECS)}, got {path.suffix or 'no suffix'!r}")
    try:
        with path.open("ab"):
            pass
    except OSError as err:
        raise ConfigError(f"{path}: cannot be written: {err.strerror or err}; choose another file") from err


class _OpenCvWriter:
    """OpenCV's writer, which never says that the disk is full: the finished file is asked."""

    def __init__(self, native: cv2.VideoWriter, path: Path) -> None:
        self._native = native
        self._path = path
        self._given = 0

    def write(self, image: NDArray[np.uint8], /) -> None:
        self._native.write(image)
        self._given += 1

    def release(self) -> None:
        self._native.release()
        capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        try:
            holds = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
        finally:
            capture.release()
        if holds < self._given:
            raise OSError(f"holds {max(0, holds)} of {self._given} pictures: the disk did not take the rest")


def _opened(path: Path, fps: float, size: tuple[int, int]) -> Writer | None:
    """Return OpenCV's writer, or None where it has no such codec."""
    code = cv2.VideoWriter.fourcc(*CODECS[path.suffix.lower()])
    native = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, fps, (size[1], size[0]))
    return _OpenCvWriter(native, path) if native.isOpened() else None
