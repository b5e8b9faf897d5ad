"""A camera (V4L2) or a network stream through OpenCV's VideoCapture.

Rules: a frame's age counts from the moment the driver or the network handed it over, before it is decoded; a picture
that cannot be decoded is refused and the stream goes on; a source that gives nothing any more has vanished, and the
stream opens it again. User name and password of an address appear nowhere.

    source = Camera("/dev/video0")
    source = Camera("rtsp://probe.local/live")
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Iterator
from typing import Protocol

import cv2
import numpy as np

from edgemed import native_output
from edgemed.errors import ConfigError, ImageError
from edgemed.imaging import colour
from edgemed.imaging.frame import Frame
from edgemed.imaging.header import check_size
from edgemed.runtime.sources.arrival import Arrival, Clock, Pause, decoded

__all__ = ["SCHEMES", "Camera", "Capture", "open_capture", "parse"]

_LOGGER = logging.getLogger(__name__)

SCHEMES = ("rtsp", "rtsps", "http", "https", "udp", "tcp", "rtp")
"""Of addresses that are taken; the others reach files by a side door, or nothing."""

_USER = re.compile(r"(?<=://)[^/@]*@")
_TIMEOUT_MS = 5000
# So many pictures in a row that cannot be decoded are no passing disturbance.
_UNDECODED = 100


class Capture(Protocol):
    """What is asked of ``cv2.VideoCapture``."""

    def grab(self) -> bool:
        """Wait for the next frame; False when there is none."""
        ...

    def retrieve(self) -> tuple[bool, cv2.typing.MatLike]:
        """Decode the frame that was grabbed, blue first."""
        ...

    def release(self) -> None:
        """Close it."""
        ...


class Camera:
    """A device or an address; a `Source`."""

    live = True
    returns = True

    def __init__(
        self, address: str, *, fps: float | None = None, open_: Callable[[str, float | None], Capture] | None = None
    ) -> None:
        """Name the source; it is opened when the stream begins.

        Args:
            address: ``/dev/videoN``, or an address of one of `SCHEMES`.
            fps: frames a second to ask a device for; None leaves what it does by itself.
            open_: opens it; None for `open_capture`.
        """
        self.name = _USER.sub("", address)
        self._address = address
        self._fps = fps
        self._open = open_ or open_capture

    def arrivals(self, *, clock: Clock, pause: Pause) -> Iterator[Arrival]:
        """Yield frames until the source gives no more, which raises, or the stream is to stop."""
        capture = self._open(self._address, self._fps)
        try:
            yield from self._grabbed(capture, clock, pause)
        finally:
            capture.release()

    def _grabbed(self, capture: Capture, clock: Clock, pause: Pause) -> Iterator[Arrival]:
        index = undecoded = 0
        while not pause(0.0):
            if not capture.grab():
                raise ImageError(f"{self.name}: gives no more frames; check the cable, the probe and the network")
            arrived_s = clock()
            arrival = decoded(functools.partial(self._frame, capture, index), clock=clock, arrived_s=arrived_s)
            yield arrival
            undecoded = 0 if isinstance(arrival.picture, Frame) else undecoded + 1
            if undecoded == _UNDECODED:
                raise ImageError(f"{self.name}: {_UNDECODED} frames in a row cannot be decoded; check the connection")
            index += 1

    def _frame(self, capture: Capture, index: int) -> Frame:
        try:
            found, image = capture.retrieve()
        except cv2.error:
            found = False
        if not found:
            raise ImageError(f"{self.name}: frame {index} cannot be decoded; the connection is disturbed")
        pixels = np.asarray(image)
        check_size(pixels.shape[0], pixels.shape[1], source=self.name)
        if pixels.dtype not in (np.uint8, np.uint16):
            raise ImageError(f"{self.name}: frame {index}: expected 8- or 16-bit unsigned pixels, got {pixels.dtype}")
        stored = pixels.view(np.uint8) if pixels.dtype == np.uint8 else pixels.view(np.uint16)
        gray = colour.to_gray(stored, order=colour.Order.BGR)
        return Frame(
            pixels=gray.pixels,
            source=self.name,
            index=index,
            bits=8 * gray.pixels.dtype.itemsize,
            coloured_fraction=gray.coloured_fraction,
        )


def parse(address: str, *, fps: float | None = None) -> Camera:
    """Return the camera at a device or an address.

    Raises:
        ConfigError: the address is of another scheme.
    """
    scheme, separator, _ = address.partition("://")
    if separator and scheme not in SCHEMES:
        raise ConfigError(f"SOURCE: expected an address that begins with one of {', '.join(SCHEMES)}, got {scheme!r}")
    return Camera(address, fps=fps)


def open_capture(address: str, fps: float | None) -> Capture:
    """Return an open ``cv2.VideoCapture``; V4L2 for a device, FFmpeg for an address.

    Raises:
        ImageError: it cannot be opened.
    """
    with native_output.to_log(_LOGGER):
        if "://" in address:
            limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _TIMEOUT_MS]
            capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits)
        else:
            capture = cv2.VideoCapture(address, cv2.CAP_V4L2)
    if not capture.isOpened():
        capture.release()
        raise ImageError(f"{_USER.sub('', address)}: cannot be opened; check the address, the cable and the rights")
    if "://" not in address:
        # What waits in the driver is old by the time it is read.
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if fps is not None:
            capture.set(cv2.CAP_PROP_FPS, fps)
    return capture
