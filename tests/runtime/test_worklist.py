from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgemed.errors import ImageError
from edgemed.imaging.frame import Frame
from edgemed.runtime import worklist
from edgemed.runtime.decision import Decision
from edgemed.runtime.screener import Screener
from tests.runtime import tiny
from tests.runtime.tiny import FakeInterpreter


@pytest.fixture
def interpreter() -> FakeInterpreter:
    return FakeInterpreter()


@pytest.fixture
def screener(interpreter: FakeInterpreter) -> Screener:
    return Screener(tiny.bundle(b"model"), interpreter)


def test_unreadable_file_stops_nothing(tmp_path: Path, screener: Screener) -> None:
    good, bad = tmp_path / "a.png", tmp_path / "b.png"
    good.write_bytes(tiny.png(tiny.picture()))
    bad.write_bytes(b"hello")

    outcomes = list(worklist.screen(screener, [bad, good, tmp_path / "missing.png"]))

    assert [outcome.screening.source for outcome in outcomes] == [str(bad), str(good), str(tmp_path / "missing.png")]
    assert [outcome.screening.decision is Decision.REFUSED for outcome in outcomes] == [True, False, True]
    assert [outcome.number for outcome in outcomes] == [1, 2, 3]
    assert [outcome.frame is None for outcome in outcomes] == [True, False, True]
    assert outcomes[2].screening.reasons == (
        f"{tmp_path / 'missing.png'}: cannot be read: No such file or directory; check the path and its permissions",
    )


def test_clip_gives_one_outcome_per_frame_and_a_refusal_where_it_breaks(screener: Screener) -> None:
    def read(path: Path) -> Iterator[Frame]:
        for index in range(3):
            yield tiny.frame(source=str(path), index=index)
        raise ImageError("clip.mp4: cut short")

    outcomes = list(worklist.screen(screener, [Path("clip.mp4")], read=read))

    assert [outcome.screening.frame for outcome in outcomes] == [0, 1, 2, 3]
    assert [outcome.number for outcome in outcomes] == [1, 1, 1, 1]
    assert outcomes[3].screening.reasons == ("clip.mp4: cut short",)
    assert outcomes[3].screening.decision is Decision.REFUSED


def test_failing_back_end_refuses_the_frame(screener: Screener, interpreter: FakeInterpreter) -> None:
    interpreter.failing = True

    outcomes = list(worklist.screen(screener, [Path("a.png")], read=lambda path: iter([tiny.frame()])))

    assert [outcome.screening.reasons for outcome in outcomes] == [("fake: inference failed: told to",)]


def test_frames_are_read_one_at_a_time(screener: Screener) -> None:
    read = 0

    def endless(path: Path) -> Iterator[Frame]:
        nonlocal read
        while True:
            read += 1
            yield tiny.frame()

    list(itertools.islice(worklist.screen(screener, [Path("clip.mp4")], read=endless), 3))

    assert read == 3


def test_decode_time_is_measured(screener: Screener) -> None:
    seconds = iter([1.0, 1.25, 2.0, 2.0])

    outcomes = worklist.screen(
        screener, [Path("a.png")], read=lambda path: iter([tiny.frame()]), clock=lambda: next(seconds)
    )

    assert next(outcomes).screening.latency.decode_ms == 250.0


def test_folder_without_an_image_is_refused_by_name(tmp_path: Path, screener: Screener) -> None:
    outcomes = list(worklist.screen(screener, worklist.expand([tmp_path])))

    assert [outcome.screening.reasons for outcome in outcomes] == [
        (f"{tmp_path}: expected images in this folder, found none; name another folder",)
    ]


def test_folder_that_is_closed_is_refused_with_the_reason(
    tmp_path: Path, screener: Screener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", closed)
    outcomes = list(worklist.screen(screener, worklist.expand([tmp_path])))

    assert [outcome.screening.reasons for outcome in outcomes] == [
        (f"{tmp_path}: cannot be read: Permission denied; check the path and its permissions",)
    ]


def test_path_that_cannot_be_looked_at_stops_nothing(tmp_path: Path, screener: Screener) -> None:
    good, bad = tmp_path / "a.png", tmp_path / ("x" * 300)
    good.write_bytes(tiny.png(tiny.picture()))

    outcomes = list(worklist.screen(screener, worklist.expand([bad, good])))

    assert [outcome.screening.decision is Decision.REFUSED for outcome in outcomes] == [True, False]
    assert outcomes[0].screening.reasons == (
        f"{bad}: cannot be read: File name too long; check the path and its permissions",
    )


def test_folder_becomes_its_images_in_order(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")

    assert worklist.expand([tmp_path, Path("c.png")]) == [tmp_path / "a.png", tmp_path / "b.png", Path("c.png")]
