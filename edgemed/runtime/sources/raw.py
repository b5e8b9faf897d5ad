"""Raw frames from a pipe: gray pixels, row by row, one frame after the other, nothing between them.

What feeds it: ``gst-launch-1.0 -q v4l2src ! videoconvert ! video/x-raw,format=GRAY8,width=640,height=480 ! fdsink``.

    source = RawFrames(sys.stdin.fileno(), raw.parse("640x480:gray8"))
"""

from __future__ import annotations

import enum
import os
import re
import select
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgemed.errors import ConfigError, ImageError
from edgemed.imaging.frame import Frame
from edgemed.imaging.header import PIXEL_LIMIT
from edgemed.runtime.sources.arrival import Arrival, Clock, Pause, decoded

__all__ = ["Depth", "RawFormat", "RawFrames", "parse"]

_FORMAT = re.compile(r"([1-9]\d{0,6})x([1-9]\d{0,6})(?::(gray8|gray16))?")
_LOOK_S = 0.1  # between two looks whether the stream is to stop, while nothing comes


class Depth(str, enum.Enum):
    """Bits of a pixel; 16 bits are little-endian and use their whole range."""

    GRAY8 = "gray8"
    GRAY16 = "gray16"


@dataclass(frozen=True, kw_only=True)
class RawFormat:
    """Layout of one frame; at most 2^26 pixels."""

    width: int
    height: int
    depth: Depth = Depth.GRAY8

    def __post_init__(self) -> None:
        if not 1 <= self.width * self.height <= PIXEL_LIMIT or self.width < 1:
            raise ValueError(f"expected 1 to {PIXEL_LIMIT} pixels, got {self.width} x {self.height}")


def parse(text: str) -> RawFormat:
    """Return the format that ``WIDTHxHEIGHT[:gray8|gray16]`` names.

    Raises:
        ConfigError: the text is of another form, or more than 2^26 pixels.
    """
    match = _FORMAT.fullmatch(text)
    if match is None:
        raise ConfigError(f"--raw: expected WIDTHxHEIGHT[:gray8|gray16], such as 640x480:gray8, got {text!r}")
    try:
        return RawFormat(width=int(match[1]), height=int(match[2]), depth=Depth(match[3] or "gray8"))
    except ValueError as err:
        raise ConfigError(f"--raw: {err}") from err


class RawFrames:
    """Frames from a file descriptor; a `Source`, live: what feeds it goes on by itself."""

    name = "stdin"
    live = True
    returns = False

    def __init__(self, descriptor: int, form: RawFormat) -> None:
        """Take an open descriptor; it stays the caller's."""
        self._descriptor = descriptor
        self._shape = (form.height, form.width)
        self._dtype = np.dtype(np.uint8 if form.depth is Depth.GRAY8 else "<u2")

    def arrivals(self, *, clock: Clock, pause: Pause) -> Iterator[Arrival]:
        """Yield each frame once its last byte was read; a part of one at the end is unreadable."""
        index = 0
        while True:
            pixels = np.empty(self._shape, self._dtype)
            target = pixels.data.cast("B")
            got = self._fill(target, pause)
            if got < len(target):
                if got and not pause(0.0):
                    yield Arrival(picture=self._cut(got, len(target), index), arrived_s=clock(), decode_ms=0.0)
                return
            yield self._arrival(pixels, index, clock)
            index += 1

    def _arrival(self, pixels: np.ndarray, index: int, clock: Clock) -> Arrival:
        def frame() -> Frame:
            native = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
            return Frame(pixels=native, source=self.name, index=index, bits=8 * native.dtype.itemsize)

        return decoded(frame, clock=clock)

    def _fill(self, target: memoryview, pause: Pause) -> int:
        """Read until the frame is full; return the bytes that came before the end, or before the stream stopped."""
        got = 0
        while got < len(target):
            ready, _, _ = select.select([self._descriptor], [], [], _LOOK_S)
            if not ready:
                if pause(0.0):
                    return got
                continue
            count = os.readv(self._descriptor, [target[got:]])
            if not count:
                return got
            got += count
        return got

    def _cut(self, got: int, expected: int, index: int) -> ImageError:
        return ImageError(
            f"{self.name}: frame {index}: expected {expected} bytes, got {got} before the end; "
            "what feeds it stopped in the middle, or --raw names another size"
        )
