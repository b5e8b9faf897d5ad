"""Denoising, contrast and sharpening on gray pixels; formulas are in `steps`.

Rules: no float image; whatever depends on grey levels alone goes through one table look-up; pictures go into the
arrays of a `Scratch`, new ones where the caller has none.

    pixels = intensity.contrast(pixels, step.method, bits=8)
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed.imaging.frame import Pixels
from edgemed.imaging.scratch import Scratch
from edgemed.imaging.steps import Bilateral, Clahe, Equalize, Gaussian, Median, NonLocalMeans, Percentile, Unsharp

__all__ = [
    "contrast",
    "denoise",
    "histogram",
    "look_up",
    "percentile_levels",
    "sharpen",
    "stretch_table",
    "to_8_bits",
    "whole_table",
]

# calcHist counts in int32 and returns float32, which holds every integer up to 2**24.
_EXACT_FLOAT32 = 1 << 24
# OpenCV 4 has no 16-bit table look-up.
_HAS_16_BIT_LUT = int(cv2.__version__.split(".", maxsplit=1)[0]) >= 5
_BLOCK = 1 << 14  # pixels whose indices NumPy widens at a time


def to_8_bits(pixels: Pixels, *, bits: int, scratch: Scratch | None = None) -> NDArray[np.uint8]:
    """Return the top 8 of ``bits`` significant bits, floor(v / 2^(bits - 8)); uint8 comes back as it is."""
    if pixels.dtype == np.uint8:
        return pixels.view(np.uint8)
    reduced = (scratch or Scratch()).take(pixels.shape)
    # A Frame's values stay below 2**bits, so that the shifted value fits.
    np.right_shift(pixels, bits - 8, out=reduced, casting="unsafe")
    return reduced


def histogram(pixels: Pixels, *, bits: int, scratch: Scratch | None = None) -> NDArray[np.int64]:
    """Return the (2^bits,) count of pixels at each grey level; values lie below 2^bits."""
    scratch = scratch or Scratch()
    counts, block = scratch.take((1 << bits,), np.int64), scratch.take((1 << bits, 1), np.float32)
    rows = max(1, _EXACT_FLOAT32 // pixels.shape[1])
    for top in range(0, pixels.shape[0], rows):
        found = cv2.calcHist([pixels[top : top + rows]], [0], None, [1 << bits], [0, 1 << bits], hist=block)
        if top == 0:
            counts[:] = found.ravel()
        else:
            np.add(counts, found.ravel(), out=counts, casting="unsafe")
    return counts


def percentile_levels(
    counts: NDArray[np.int64], *, low_percent: float, high_percent: float, scratch: Scratch | None = None
) -> tuple[int, int]:
    """Return the levels (a, b) at two percentiles of a histogram, as `Percentile` defines them; a <= b."""
    cumulative = np.cumsum(counts, out=(scratch or Scratch()).take(counts.shape, np.int64))
    total = int(cumulative[-1])
    above = total * round(low_percent * 1000) // 100_000
    reaching = -(-total * round(high_percent * 1000) // 100_000)
    return int(cumulative.searchsorted(above, side="right")), int(cumulative.searchsorted(reaching, side="left"))


def stretch_table(a: int, b: int, *, bits: int, scratch: Scratch | None = None) -> NDArray[np.uint8]:
    """Return the (2^bits,) table of `Percentile` for the levels a <= b."""
    scratch = scratch or Scratch()
    table = scratch.take((1 << bits,))
    if a == b:
        np.right_shift(_levels(bits), bits - 8, out=table, casting="unsafe")
        return table
    span = b - a
    table[:a], table[b + 1 :] = 0, 255
    ramp = np.multiply(_levels(bits)[: span + 1], 255, out=scratch.take((span + 1,), np.int64))
    ramp += span // 2
    np.floor_divide(ramp, span, out=table[a : b + 1], casting="unsafe")
    return table


def look_up(table: Pixels, pixels: Pixels, *, scratch: Scratch | None = None) -> Pixels:
    """Return table[v] for each pixel v, same shape, the table's type; a value past its end takes its last entry."""
    buffers = scratch or Scratch()
    found: Pixels = buffers.take(pixels.shape) if table.dtype == np.uint8 else buffers.take(pixels.shape, np.uint16)
    if table.size == 1 << 8 * pixels.itemsize and (pixels.dtype == np.uint8 or _HAS_16_BIT_LUT):
        written = np.asarray(cv2.LUT(pixels, table, dst=found))
        return written.view(np.uint8) if table.dtype == np.uint8 else written.view(np.uint16)
    rows = max(1, _BLOCK // pixels.shape[1])
    for top in range(0, pixels.shape[0], rows):
        # mode: with "raise" NumPy would buffer the output.
        np.take(table, pixels[top : top + rows], mode="clip", out=found[top : top + rows])
    return found


def whole_table(table: Pixels) -> Pixels:
    """Return a table of at most 2^16 levels with an entry for each value of uint8 or uint16: the last one repeats."""
    size = 1 << 8 if table.size <= 1 << 8 else 1 << 16
    padded = np.pad(table, (0, size - table.size), mode="edge")
    return padded.view(np.uint8) if table.dtype == np.uint8 else padded.view(np.uint16)


def denoise(
    pixels: NDArray[np.uint8],
    method: Median | Gaussian | Bilateral | NonLocalMeans,
    *,
    scratch: Scratch | None = None,
) -> NDArray[np.uint8]:
    """Return the smoothed picture, same shape."""
    smooth = (scratch or Scratch()).take(pixels.shape)
    if isinstance(method, Median):
        found = cv2.medianBlur(pixels, method.size, dst=smooth)
    elif isinstance(method, Gaussian):
        found = _blur(pixels, method.size, method.sigma, smooth)
    elif isinstance(method, Bilateral):
        found = cv2.bilateralFilter(pixels, method.diameter, method.sigma_gray, method.sigma_space, dst=smooth)
    else:
        found = cv2.fastNlMeansDenoising(
            pixels, dst=smooth, h=method.strength, templateWindowSize=method.template, searchWindowSize=method.search
        )
    return np.asarray(found, dtype=np.uint8)


def contrast(
    pixels: Pixels, method: Percentile | Equalize | Clahe, *, bits: int, scratch: Scratch | None = None
) -> NDArray[np.uint8]:
    """Return the picture with its levels spread, uint8, same shape; only `Percentile` takes uint16."""
    scratch = scratch or Scratch()
    if isinstance(method, Percentile):
        counts = histogram(pixels, bits=bits, scratch=scratch)
        a, b = percentile_levels(
            counts, low_percent=method.low_percent, high_percent=method.high_percent, scratch=scratch
        )
        stretched = look_up(stretch_table(a, b, bits=bits, scratch=scratch), pixels, scratch=scratch)
        return stretched.view(np.uint8)
    spread = scratch.take(pixels.shape)
    if isinstance(method, Equalize):
        found = cv2.equalizeHist(pixels, dst=spread)
    else:
        clahe = cv2.createCLAHE(clipLimit=method.clip_limit, tileGridSize=(method.tiles, method.tiles))
        found = clahe.apply(pixels, dst=spread)
    return np.asarray(found, dtype=np.uint8)


def sharpen(pixels: NDArray[np.uint8], method: Unsharp, *, scratch: Scratch | None = None) -> NDArray[np.uint8]:
    """Return the picture with its edges emphasised, same shape."""
    scratch = scratch or Scratch()
    blurred = _blur(pixels, method.size, method.sigma, scratch.take(pixels.shape))
    gain = np.minimum((round(256 * method.amount) * _levels(8) + 128) >> 8, 255).astype(np.uint8)
    # Saturating subtraction leaves the positive and the negative part apart; one of them is 0 everywhere.
    brighter = look_up(gain, _minus(pixels, blurred, scratch), scratch=scratch).view(np.uint8)
    darker = look_up(gain, _minus(blurred, pixels, scratch), scratch=scratch).view(np.uint8)
    sharp = cv2.add(pixels, brighter, dst=scratch.take(pixels.shape))
    return np.asarray(cv2.subtract(sharp, darker, dst=sharp), dtype=np.uint8)


def _minus(left: NDArray[np.uint8], right: NDArray[np.uint8], scratch: Scratch) -> NDArray[np.uint8]:
    """Return max(0, left - right)."""
    return np.asarray(cv2.subtract(left, right, dst=scratch.take(left.shape)), dtype=np.uint8)


@functools.cache
def _levels(bits: int) -> NDArray[np.int64]:
    """Return 0, 1, ... 2^bits - 1, read-only."""
    levels = np.arange(1 << bits, dtype=np.int64)
    levels.setflags(write=False)
    return levels


def _blur(pixels: NDArray[np.uint8], size: int, sigma: float, into: NDArray[np.uint8]) -> NDArray[np.uint8]:
    blurred = cv2.GaussianBlur(pixels, (size, size), sigma, dst=into, sigmaY=sigma, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, dtype=np.uint8)
