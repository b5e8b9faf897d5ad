"""Cropping and resizing in exact arithmetic: the same bytes on every platform.

Rules: 8 bits only where pixels are interpolated; integer sizes; OpenCV's ``INTER_LINEAR_EXACT`` and its box mean
by an integer factor, the two resizers that are bit-identical on x86-64 and aarch64.

    plane = geometry.resize(pixels, step, height=224, width=224)
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed.imaging.frame import Pixels
from edgemed.imaging.scratch import Scratch
from edgemed.imaging.steps import Resize

__all__ = ["crop_border", "fitted_size", "resize"]


def crop_border(pixels: Pixels, fraction: float) -> Pixels:
    """Return a view of (rows, columns) without floor(side * fraction) pixels at both ends of each axis."""
    share = round(fraction * 10_000)
    top, left = (side * share // 10_000 for side in pixels.shape)
    return pixels[top : pixels.shape[0] - top, left : pixels.shape[1] - left]


def fitted_size(rows: int, columns: int, *, height: int, width: int) -> tuple[int, int]:
    """Return (height, width) of the largest picture of these proportions inside the plane; ties round up."""
    if rows * width >= columns * height:
        return height, max(1, (2 * columns * height + rows) // (2 * rows))
    return max(1, (2 * rows * width + columns) // (2 * columns)), width


def resize(
    pixels: NDArray[np.uint8], step: Resize, *, height: int, width: int, scratch: Scratch | None = None
) -> NDArray[np.uint8]:
    """Return the picture as a (height, width) plane, as `Resize` defines it; the input itself if it fits already."""
    scratch = scratch or Scratch()
    if step.fit == "stretch":
        return _scale(pixels, step, height, width, scratch)
    inner_height, inner_width = fitted_size(pixels.shape[0], pixels.shape[1], height=height, width=width)
    inner = _scale(pixels, step, inner_height, inner_width, scratch)
    if inner.shape == (height, width):
        return inner
    plane = scratch.take((height, width))
    plane[:] = 0
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    plane[top : top + inner_height, left : left + inner_width] = inner
    return plane


def _scale(pixels: NDArray[np.uint8], step: Resize, height: int, width: int, scratch: Scratch) -> NDArray[np.uint8]:
    rows, columns = pixels.shape
    k_rows, k_columns = (_factor(rows, height), _factor(columns, width)) if step.method == "area" else (1, 1)
    pixels = _linear(pixels, height * k_rows, width * k_columns, scratch)
    if k_rows == k_columns == 1:
        return pixels
    reduced = scratch.take((height, width))
    return _as_uint8(cv2.resize(pixels, (width, height), dst=reduced, interpolation=cv2.INTER_AREA))


def _factor(side_in: int, side_out: int) -> int:
    return max(1, (2 * side_in + side_out) // (2 * side_out))


def _linear(pixels: NDArray[np.uint8], rows: int, columns: int, scratch: Scratch) -> NDArray[np.uint8]:
    if pixels.shape == (rows, columns):
        return pixels
    scaled = scratch.take((rows, columns))
    return _as_uint8(cv2.resize(pixels, (columns, rows), dst=scaled, interpolation=cv2.INTER_LINEAR_EXACT))


def _as_uint8(image: cv2.typing.MatLike) -> NDArray[np.uint8]:
    """Give OpenCV's result the type it has: a resized uint8 image stays uint8."""
    return np.asarray(image, dtype=np.uint8)
