"""The annotated video of ``edgemed watch``: what it gets to see, and what is said of it on stderr.

with filming.opened(Path("out.mp4"), source, screener, fps=None) as observers:
    for observer in observers:
        observer.see(item)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from edgemed.cli import output
from edgemed.runtime.track import Decided, Item

if TYPE_CHECKING:
    from edgemed.runtime.screener import Screener
    from edgemed.runtime.sources.arrival import Source
    from edgemed.runtime.video import Video

__all__ = ["Filming", "opened"]


@contextmanager
def opened(path: Path | None, source: Source, screener: Screener, *, fps: float | None) -> Iterator[Sequence[Filming]]:
    """Yield who writes the video of a stream: nobody where no file is named.

    Raises:
        ConfigError: the suffix is of no codec, or the file cannot be written.
    """
    if path is None:
        yield ()
        return
    from edgemed.runtime.sources.recording import Recording
    from edgemed.runtime.video import DEFAULT_FPS, Video

    rate = 1e3 / source.interval_ms if isinstance(source, Recording) else fps or DEFAULT_FPS
    video = Video(path, preprocessing=screener.preprocessing, rule=screener.rule, fps=rate)
    with Filming(video, take=video.put if source.live else video.put_waiting) as filming:
        yield (filming,)


class Filming:
    """An `edgemed.cli.watching.Observer` that hands decided frames to a video, and tells what goes wrong at once."""

    def __init__(self, video: Video, *, take: Callable[[Decided], None]) -> None:
        """Take an open video.

        Args:
            video: closed at the end.
            take: its ``put`` for a live source, its ``put_waiting`` for a recording.
        """
        self._video = video
        self._take = take
        self._told: str | None = None

    def see(self, item: Item) -> None:
        """Hand a decided frame over."""
        if isinstance(item, Decided):
            self._take(item)
        self._tell()

    def __enter__(self) -> Filming:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._video.close()
        self._tell()
        found = self._video.statistics
        missing = f", {found.dropped} frames left out: drawing was too slow" if found.dropped else ""
        output.note(f"{self._video.path}: {found.written} pictures{missing}")

    def _tell(self) -> None:
        failure = self._video.statistics.failure
        if failure is not None and failure != self._told:
            self._told = failure
            output.note(f"edgemed: {failure}")
