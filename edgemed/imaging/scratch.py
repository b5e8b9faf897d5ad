"""Arrays for intermediate pictures, made once and used again: no frame after the first pays for memory.

One owner, one thread: what `Scratch.take` returned is overwritten after the next `Scratch.reset`.

    scratch = Scratch()
    for frame in frames:
        scratch.reset()
        reduced = scratch.take(frame.pixels.shape)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

__all__ = ["Scratch"]

Kind = TypeVar("Kind", bound=np.generic)


class Scratch:
    """Buffers handed out one after the other; the n-th of each round is the same memory, grown where it must."""

    def __init__(self) -> None:
        self._buffers: list[NDArray[np.uint8]] = []
        self._next = 0

    def reset(self) -> None:
        """Begin a round: every array taken before may be overwritten."""
        self._next = 0

    @overload
    def take(self, shape: Sequence[int]) -> NDArray[np.uint8]: ...

    @overload
    def take(self, shape: Sequence[int], dtype: type[Kind]) -> NDArray[Kind]: ...

    def take(self, shape: Sequence[int], dtype: type[Any] = np.uint8) -> NDArray[Any]:
        """Return an array that nobody else has in this round, contiguous, with whatever it held before."""
        size_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        if self._next == len(self._buffers):
            self._buffers.append(np.empty(size_bytes, np.uint8))
        elif self._buffers[self._next].size < size_bytes:
            self._buffers[self._next] = np.empty(size_bytes, np.uint8)
        array: NDArray[Any] = self._buffers[self._next][:size_bytes].view(dtype).reshape(shape)
        self._next += 1
        return array
