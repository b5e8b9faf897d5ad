from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from edgemed.errors import ConfigError, ImageError
from edgemed.imaging.frame import Frame
from edgemed.runtime.sources import camera
from edgemed.runtime.sources.arrival import Arrival
from edgemed.runtime.sources.camera import Camera
from tests.runtime.streams import FakeClock


class FakeCapture:
    """Gives the pictures of a list; None cannot be decoded, an exception is raised, and after the last it is gone."""

    def __init__(self, pictures: list[Any], *, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.pictures = pictures
        self.released = 0
        self._meanwhile = meanwhile
        self._next = -1

    def grab(self) -> bool:
        self._next += 1
        return self._next < len(self.pictures)

    def retrieve(self) -> tuple[bool, Any]:
        self._meanwhile()
        picture = self.pictures[self._next]
        if isinstance(picture, Exception):
            raise picture
        return picture is not None, picture

    def release(self) -> None:
        self.released += 1


def seen(capture: FakeCapture, clock: FakeClock | None = None) -> tuple[list[Arrival], str]:
    """Return what arrives from a camera, and why it ends."""
    clock = clock or FakeClock()
    arrivals: list[Arrival] = []
    source = Camera("/dev/video0", open_=lambda address, fps: capture)
    with pytest.raises(ImageError) as caught:
        for arrival in source.arrivals(clock=clock, pause=clock.pause):
            arrivals.append(arrival)
    return arrivals, str(caught.value)


def picture(level: int = 9, *, rows: int = 6, columns: int = 8) -> Any:
    return np.full((rows, columns, 3), level, np.uint8)


def test_pictures_become_gray_frames_and_a_camera_that_stops_is_gone() -> None:
    capture = FakeCapture([picture(9), picture(10)])

    arrivals, why = seen(capture)

    frames = [arrival.picture for arrival in arrivals if isinstance(arrival.picture, Frame)]
    assert [int(frame.pixels[0, 0]) for frame in frames] == [9, 10]
    assert [frame.index for frame in frames] == [0, 1]
    assert why == "/dev/video0: gives no more frames; check the cable, the probe and the network"
    assert capture.released == 1


def test_age_counts_from_before_decoding() -> None:
    clock = FakeClock()

    def decode() -> None:
        clock.now_s += 0.25

    capture = FakeCapture([picture(), picture()], meanwhile=decode)
    source = Camera("/dev/video0", open_=lambda address, fps: capture)
    first = next(source.arrivals(clock=clock, pause=clock.pause))

    assert (first.arrived_s, first.decode_ms, first.taken_ms) == (100.0, 250.0, None)


def test_colour_of_a_camera_is_measured() -> None:
    coloured = picture()
    coloured[:3, :, 2] = 250

    arrivals, _ = seen(FakeCapture([coloured]))

    assert isinstance(arrivals[0].picture, Frame)
    assert arrivals[0].picture.coloured_fraction == 0.5


def test_size_may_change_in_the_middle() -> None:
    arrivals, _ = seen(FakeCapture([picture(), picture(rows=4, columns=4)]))

    assert [arrival.picture.pixels.shape for arrival in arrivals if isinstance(arrival.picture, Frame)] == [
        (6, 8),
        (4, 4),
    ]


@pytest.mark.parametrize("broken", [None, cv2.error("damaged")], ids=["not decoded", "decoder raises"])
def test_corrupt_frame_is_told_and_the_next_one_comes(broken: Any) -> None:
    arrivals, _ = seen(FakeCapture([picture(), broken, picture()]))

    assert [isinstance(arrival.picture, Frame) for arrival in arrivals] == [True, False, True]
    assert str(arrivals[1].picture) == "/dev/video0: frame 1 cannot be decoded; the connection is disturbed"


def test_float_pictures_have_no_black_and_white() -> None:
    arrivals, _ = seen(FakeCapture([np.zeros((4, 4, 3), np.float32)]))

    assert str(arrivals[0].picture) == "/dev/video0: frame 0: expected 8- or 16-bit unsigned pixels, got float32"


def test_nothing_but_corrupt_frames_is_a_lost_source() -> None:
    arrivals, why = seen(FakeCapture([None] * 500))

    assert len(arrivals) == 100
    assert why == "/dev/video0: 100 frames in a row cannot be decoded; check the connection"


def test_user_and_password_of_an_address_appear_nowhere() -> None:
    source = camera.parse("rtsp://nurse:secret@probe.local/live")

    assert source.name == "rtsp://probe.local/live"


def test_device_that_is_not_there_is_refused_in_words() -> None:
    source = Camera("/dev/video987")

    with pytest.raises(ImageError) as caught:
        next(source.arrivals(clock=FakeClock(), pause=FakeClock().pause))
    assert str(caught.value) == ("/dev/video987: cannot be opened; check the address, the cable and the rights")


@pytest.mark.parametrize("address", ["file:///etc/passwd", "concat://a|b", "://x"])
def test_other_schemes_are_refused(address: str) -> None:
    with pytest.raises(ConfigError) as caught:
        camera.parse(address)
    assert str(caught.value) == (
        "SOURCE: expected an address that begins with one of rtsp, rtsps, http, https, udp, tcp, rtp, got "
        f"{address.partition('://')[0]!r}"
    )
