from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from edgemed.errors import ConfigError
from edgemed.imaging.frame import Frame
from edgemed.runtime.sources import raw
from edgemed.runtime.sources.arrival import Arrival
from edgemed.runtime.sources.raw import Depth, RawFormat, RawFrames
from tests.runtime.streams import FakeClock


def received(data: bytes, form: RawFormat, *, at_a_time: int = 1 << 16) -> list[Arrival]:
    """Return what arrives from a pipe that is fed in pieces, then closed."""
    reading, writing = os.pipe()

    def feed() -> None:
        for start in range(0, len(data), at_a_time):
            os.write(writing, data[start : start + at_a_time])
        os.close(writing)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        clock = FakeClock()
        return list(RawFrames(reading, form).arrivals(clock=clock, pause=clock.pause))
    finally:
        thread.join()
        os.close(reading)


def pixels(arrival: Arrival) -> NDArray[np.uint16]:
    assert isinstance(arrival.picture, Frame)
    return arrival.picture.pixels.astype(np.uint16)


@pytest.mark.parametrize("at_a_time", [1, 7, 1000], ids=["byte by byte", "across frames", "at once"])
@pytest.mark.parametrize(("depth", "kind", "bits"), [("gray8", "<u1", 8), ("gray16", "<u2", 16)])
def test_frames_come_as_they_were_written(at_a_time: int, depth: str, kind: str, bits: int) -> None:
    stack = np.random.default_rng(3).integers(0, 1 << bits, (3, 4, 6)).astype(kind)

    arrivals = received(stack.tobytes(), RawFormat(width=6, height=4, depth=Depth(depth)), at_a_time=at_a_time)

    np.testing.assert_array_equal([pixels(arrival) for arrival in arrivals], stack)
    assert [arrival.picture.index for arrival in arrivals if isinstance(arrival.picture, Frame)] == [0, 1, 2]
    assert {arrival.picture.bits for arrival in arrivals if isinstance(arrival.picture, Frame)} == {bits}


def test_frame_that_is_cut_is_told_at_the_end() -> None:
    arrivals = received(bytes(24 + 10), RawFormat(width=6, height=4))

    assert len(arrivals) == 2
    assert str(arrivals[1].picture) == (
        "stdin: frame 1: expected 24 bytes, got 10 before the end; what feeds it stopped in the middle, or --raw "
        "names another size"
    )


def test_silent_pipe_is_left_when_the_stream_stops() -> None:
    reading, writing = os.pipe()
    clock = FakeClock()
    clock.stop_after = clock.now_s
    try:
        source = RawFrames(reading, RawFormat(width=6, height=4))
        assert list(source.arrivals(clock=clock, pause=clock.pause)) == []
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("640x480", RawFormat(width=640, height=480)),
        ("640x480:gray8", RawFormat(width=640, height=480)),
        ("1x2:gray16", RawFormat(width=1, height=2, depth=Depth.GRAY16)),
    ],
)
def test_layout_is_read(text: str, expected: RawFormat) -> None:
    assert raw.parse(text) == expected


@pytest.mark.parametrize("text", ["", "640", "640x480x3", "0x480", "640x480:rgb", "640x480 ", "-1x4", "６40x480"])
def test_other_layouts_are_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        raw.parse(text)
    assert str(caught.value) == f"--raw: expected WIDTHxHEIGHT[:gray8|gray16], such as 640x480:gray8, got {text!r}"


def test_layout_beyond_the_limit_is_refused_before_memory_is_made() -> None:
    with pytest.raises(ConfigError) as caught:
        raw.parse("99999x99999")
    assert str(caught.value) == "--raw: expected 1 to 67108864 pixels, got 99999 x 99999"
