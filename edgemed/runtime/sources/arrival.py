"""What every source of a stream gives: frames as they arrive, each with when it was there.

A source only reads: the stream numbers, queues, drops and reconnects.

    for arrival in source.arrivals(clock=time.monotonic, pause=stopping.wait):
        print(arrival.picture)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from edgemed.errors import ImageError
from edgemed.imaging.frame import Frame

__all__ = ["Arrival", "Clock", "Pause", "Source", "decoded"]

Clock: TypeAlias = Callable[[], float]
"""Seconds, rising, of no particular start."""

Pause: TypeAlias = Callable[[float], bool]
"""Waits for so many seconds, or until the stream is to stop; returns whether it is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Arrival:
    """One frame, or why there is none.

    Attributes:
        picture: the frame, or the error that stands in its place.
        arrived_s: on the stream's clock: when the frame's data were there, before they were decoded.
        decode_ms: from the data to the frame.
        taken_ms: when the frame was taken, on the clock of its recording, from 0; None for what is live: it was taken
            when it arrived.
    """

    picture: Frame | ImageError
    arrived_s: float
    decode_ms: float
    taken_ms: float | None = None


class Source(Protocol):
    """Where frames come from."""

    @property
    def name(self) -> str:
        """The source as results and messages name it; never with a password."""
        ...

    @property
    def live(self) -> bool:
        """Frames come whether or not anybody is ready: old ones are dropped for new ones, and silence is a loss."""
        ...

    @property
    def returns(self) -> bool:
        """The source can come back after it ended or vanished: it is opened again."""
        ...

    def arrivals(self, *, clock: Clock, pause: Pause) -> Iterator[Arrival]:
        """Open the source and yield what arrives, until it ends or the stream is to stop.

        Raises:
            ImageError: the source cannot be opened, or has vanished; the message names it.
        """
        ...


def decoded(decode: Callable[[], Frame], *, clock: Clock, arrived_s: float | None = None) -> Arrival:
    """Return what a decoder makes of the next frame of a live source, with the time it took.

    Args:
        decode: returns the frame; an ImageError becomes the arrival's picture.
        clock: of the stream.
        arrived_s: when the data were there; None for now.
    """
    start = clock()
    picture: Frame | ImageError
    try:
        picture = decode()
    except ImageError as err:
        picture = err
    return Arrival(
        picture=picture, arrived_s=start if arrived_s is None else arrived_s, decode_ms=1e3 * (clock() - start)
    )
