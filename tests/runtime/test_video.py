"""The annotated video: what is in the file, what is left out, and what is said when it cannot be written."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgemed.errors import ConfigError
from edgemed.runtime.track import Decided
from edgemed.runtime.video import Video, VideoStatistics
from tests.runtime import test_annotated as annotated

SMALL = np.full((48, 64), 90, np.uint8)


def frames(count: int, *, interval_ms: float = 1000.0 / 30.0) -> list[Decided]:
    return [
        dataclasses.replace(annotated.item(SMALL, annotated.REFUSED), number=n, time_ms=n * interval_ms)
        for n in range(count)
    ]


class Memory:
    """A writer that keeps what it gets, and waits before each picture while told to."""

    def __init__(self) -> None:
        self.images: list[np.ndarray] = []
        self.released = 0
        self.go_on = threading.Event()
        self.go_on.set()
        self.at_work = threading.Event()

    def write(self, image: np.ndarray, /) -> None:
        self.at_work.set()
        assert self.go_on.wait(5.0)
        self.images.append(image.copy())

    def release(self) -> None:
        self.released += 1


def video(path: Path, writer: Memory | None = None, **options: object) -> Video:
    given = {} if writer is None else {"open_writer": lambda *_: writer}
    return Video(path, preprocessing=annotated.STRETCH, rule=annotated.RULE, **given, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_file_plays_with_every_frame(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    with video(path) as made:
        for item in frames(12):
            made.put_waiting(item)

    capture = cv2.VideoCapture(str(path))
    images = []
    while (answer := capture.read())[0]:
        images.append(answer[1])
    assert made.statistics == VideoStatistics(written=12, dropped=0, failure=None)
    assert (len(images), capture.get(cv2.CAP_PROP_FPS)) == (12, 30.0)
    assert images[0].shape[:2] == annotated.annotator((48, 64)).size
    assert images[5][100, 256].tolist() == pytest.approx([90, 90, 90], abs=4)


def test_gap_repeats_the_picture_before_it(tmp_path: Path) -> None:
    memory = Memory()
    first, second, third = frames(3, interval_ms=100.0)
    with video(tmp_path / "out.mp4", memory, fps=30.0) as made:
        for item in (first, second, third):
            made.put_waiting(item)

    assert made.statistics.written == 7  # at 0, 100 and 200 ms: pictures 0, 3 and 6
    same = [bool((memory.images[0] == image).all()) for image in memory.images]
    assert same == [True, True, True, False, False, False, False]


def test_long_silence_is_no_long_video(tmp_path: Path) -> None:
    with video(tmp_path / "out.mp4", Memory(), fps=30.0) as made:
        for item in frames(2, interval_ms=3_600_000.0):
            made.put_waiting(item)

    assert made.statistics.written == 32


def test_put_never_waits_and_counts_what_it_leaves_out(tmp_path: Path) -> None:
    memory = Memory()
    memory.go_on.clear()
    items = frames(10)
    with video(tmp_path / "out.mp4", memory, capacity=3, fps=30.0) as made:
        made.put(items[0])
        assert memory.at_work.wait(5.0)
        for item in items[1:]:
            made.put(item)
        memory.go_on.set()

    assert made.statistics.dropped == 6
    assert len(memory.images) == 4


def test_disk_that_fills_ends_the_file_and_says_so(tmp_path: Path) -> None:
    memory, path = Memory(), tmp_path / "out.mp4"
    free = iter([1 << 30, 3 << 20])
    with video(path, memory, free_bytes=lambda _: next(free)) as made:
        for item in frames(40):
            made.put_waiting(item)

    assert made.statistics.failure == (
        f"{path}: the disk is nearly full, 3 MiB are free and 16 are kept; the video ends after 30 pictures; "
        "free some room"
    )
    assert (len(memory.images), memory.released) == (30, 1)


def test_disk_that_takes_nothing_is_noticed_at_the_end(tmp_path: Path) -> None:
    path, begun = tmp_path / "out.mp4", threading.Event()
    with video(path, free_bytes=lambda _: begun.set() or 1 << 30) as made:
        for item in frames(5):
            made.put_waiting(item)
        assert begun.wait(5.0)
        path.unlink()  # what was written goes to a file without a name

    assert made.statistics.failure == f"{path}: holds 0 of 5 pictures: the disk did not take the rest"


def test_back_end_without_the_codec_is_told(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with Video(path, preprocessing=annotated.STRETCH, rule=annotated.RULE, open_writer=lambda *_: None) as made:
        for item in frames(20):
            made.put_waiting(item)

    assert made.statistics == VideoStatistics(
        written=0, dropped=0, failure=f"{path}: OpenCV cannot write mp4v here; try .avi"
    )
    assert not path.exists()


def test_stream_without_a_picture_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "out.avi"
    with video(path) as made:
        made.put_waiting(annotated.item(None, annotated.REFUSED))

    assert made.statistics.failure == f"{path}: no frame had a picture, and nothing was written"
    assert not path.exists()


@pytest.mark.parametrize("name", ["out.gif", "out"])
def test_suffix_of_no_codec_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name

    with pytest.raises(ConfigError) as caught:
        video(path)

    assert str(caught.value) == f"{path}: expected a video file in .mp4 or .avi, got {path.suffix or 'no suffix'!r}"


def test_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none" / "out.avi"

    with pytest.raises(ConfigError) as caught:
        video(path)

    assert str(caught.value) == f"{path}: cannot be written: No such file or directory; choose another file"


def test_writer_that_raises_is_a_failure_and_not_a_crash(tmp_path: Path) -> None:
    class Broken(Memory):
        def write(self, image: np.ndarray, /) -> None:
            raise OSError("no space left on device")

    path = tmp_path / "out.avi"
    with video(path, Broken()) as made:
        for item in frames(30):
            made.put_waiting(item)

    assert made.statistics.failure == f"{path}: cannot be drawn or written: no space left on device"
