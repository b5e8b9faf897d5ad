"""From TFLite's layout to ONNX's: axes, shapes and padding; plain arithmetic.

A tensor of rank 4 is an image: NHWC in TFLite, NCHW in ONNX. Every other rank keeps its order.

    layout.stored((1, 8, 6, 3))  # (1, 3, 8, 6)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["FROM_IMAGE", "TO_IMAGE", "Window", "axis", "keeps_order", "padding", "permutation", "stored"]

TO_IMAGE = (0, 3, 1, 2)  # NHWC -> NCHW
FROM_IMAGE = (0, 2, 3, 1)  # NCHW -> NHWC
_IMAGE_RANK = 4


def stored(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape that a TFLite shape has in the ONNX graph."""
    return tuple(shape[place] for place in TO_IMAGE) if len(shape) == _IMAGE_RANK else tuple(shape)


def axis(place: int, rank: int) -> int:
    """Return where a TFLite axis (negative counts from the end) lies in the ONNX graph."""
    place = place + rank if place < 0 else place
    return TO_IMAGE.index(place) if rank == _IMAGE_RANK else place


def permutation(order: Sequence[int]) -> tuple[int, ...]:
    """Return the ONNX ``perm`` that does what a TFLite transpose to ``order`` does."""
    if len(order) != _IMAGE_RANK:
        return tuple(order)
    return tuple(TO_IMAGE.index(order[place]) for place in TO_IMAGE)


def keeps_order(shape: Sequence[int]) -> bool:
    """Return whether the values of this TFLite shape lie in the same order in the ONNX graph."""
    if len(shape) != _IMAGE_RANK:
        return True
    _, height, width, channels = shape
    return channels == 1 or height * width == 1


@dataclass(frozen=True, kw_only=True)
class Window:
    """A sliding window over (height, width): of a convolution or a pooling."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)


def padding(image: tuple[int, int], window: Window, name: str) -> tuple[int, int, int, int]:
    """Return (top, left, bottom, right) for TFLite's ``SAME`` or ``VALID``.

    Where an odd number of rows or columns is missing, TFLite puts the larger half at the end.

    Args:
        image: (height, width) that the window slides over.
        window: sizes and steps of the window.
        name: TFLite's name of the padding.

    Source: tensorflow/lite/kernels/padding.h, ComputePaddingWithOffset.
    """
    if name == "VALID":
        return 0, 0, 0, 0
    missing = [
        max(0, (math.ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1 - size)
        for size, kernel, stride, dilation in zip(image, window.kernel, window.stride, window.dilation, strict=True)
    ]
    top, left = missing[0] // 2, missing[1] // 2
    return top, left, missing[0] - top, missing[1] - left
