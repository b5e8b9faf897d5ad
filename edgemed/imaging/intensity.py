"""Denoising, contrast and sharpening on gray pixels; formulas are in `steps`.

Rules: no float image; whatever depends on grey levels alone goes through one table look-up.

    pixels = intensity.contrast(pixels, step.method, bits=8)
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed.imaging.frame import Pixels
from edgemed.imaging.steps import Bilateral, Clahe, Equalize, Gaussian, Median, NonLocalMeans, Percentile, Unsharp

__all__ = ["contrast", "denoise", "histogram", "percentile_levels", "sharpen", "stretch_table", "to_8_bits"]

# calcHist counts in int32 and returns float32, which holds every integer up to 2**24.
_EXACT_FLOAT32 = 1 << 24


def to_8_bits(pixels: Pixels, *, bits: int) -> NDArray[np.uint8]:
    """Return the top 8 of ``bits`` significant bits, floor(v / 2^(bits - 8)); uint8 comes back as it is."""
    if pixels.dtype == np.uint8:
        return pixels.view(np.uint8)
    reduced = np.empty(pixels.shape, np.uint8)
    # A Frame's values stay below 2**bits, so that the shifted value fits.
    np.right_shift(pixels, bits - 8, out=reduced, casting="unsafe")
    return reduced


def histogram(pixels: Pixels, *, bits: int) -> NDArray[np.int64]:
    """Return the (2^bits,) count of pixels at each grey level; values lie below 2^bits."""
    rows = max(1, _EXACT_FLOAT32 // pixels.shape[1])
    counts = np.zeros(1 << bits, np.int64)
    for top in range(0, pixels.shape[0], rows):
        block = cv2.calcHist([pixels[top : top + rows]], [0], None, [1 << bits], [0, 1 << bits])
        counts += block.ravel().astype(np.int64)
    return counts


def percentile_levels(counts: NDArray[np.int64], *, low_percent: float, high_percent: float) -> tuple[int, int]:
    """Return the levels (a, b) at two percentiles of a histogram, as `Percentile` defines them; a <= b."""
    cumulative = np.cumsum(counts)
    total = int(cumulative[-1])
    above = total * round(low_percent * 1000) // 100_000
    reaching = -(-total * round(high_percent * 1000) // 100_000)
    a = int(np.searchsorted(cumulative, above, side="right"))
    b = int(np.searchsorted(cumulative, reaching, side="left"))
    return a, b


def stretch_table(a: int, b: int, *, bits: int) -> NDArray[np.uint8]:
    """Return the (2^bits,) table of `Percentile` for the levels a <= b."""
    levels = np.arange(1 << bits, dtype=np.int64)
    if a == b:
        return (levels >> (bits - 8)).astype(np.uint8)
    span = b - a
    return ((255 * np.clip(levels - a, 0, span) + span // 2) // span).astype(np.uint8)


def denoise(pixels: NDArray[np.uint8], method: Median | Gaussian | Bilateral | NonLocalMeans) -> NDArray[np.uint8]:
    """Return the smoothed picture, same shape."""
    if isinstance(method, Median):
        smooth = cv2.medianBlur(pixels, method.size)
    elif isinstance(method, Gaussian):
        smooth = _blur(pixels, method.size, method.sigma)
    elif isinstance(method, Bilateral):
        smooth = cv2.bilateralFilter(pixels, method.diameter, method.sigma_gray, method.sigma_space)
    else:
        smooth = cv2.fastNlMeansDenoising(
            pixels, h=method.strength, templateWindowSize=method.template, searchWindowSize=method.search
        )
    return np.asarray(smooth, dtype=np.uint8)


def contrast(pixels: Pixels, method: Percentile | Equalize | Clahe, *, bits: int) -> NDArray[np.uint8]:
    """Return the picture with its levels spread, uint8, same shape; only `Percentile` takes uint16."""
    if isinstance(method, Percentile):
        counts = histogram(pixels, bits=bits)
        a, b = percentile_levels(counts, low_percent=method.low_percent, high_percent=method.high_percent)
        return _look_up(stretch_table(a, b, bits=bits), pixels)
    if isinstance(method, Equalize):
        spread = cv2.equalizeHist(pixels)
    else:
        clahe = cv2.createCLAHE(clipLimit=method.clip_limit, tileGridSize=(method.tiles, method.tiles))
        spread = clahe.apply(pixels)
    return np.asarray(spread, dtype=np.uint8)


def sharpen(pixels: NDArray[np.uint8], method: Unsharp) -> NDArray[np.uint8]:
    """Return the picture with its edges emphasised, same shape."""
    blurred = _blur(pixels, method.size, method.sigma)
    levels = np.arange(256, dtype=np.int64)
    gain = np.minimum((round(256 * method.amount) * levels + 128) >> 8, 255).astype(np.uint8)
    # Saturating subtraction leaves the positive and the negative part apart; one of them is 0 everywhere.
    brighter = cv2.LUT(cv2.subtract(pixels, blurred), gain)
    darker = cv2.LUT(cv2.subtract(blurred, pixels), gain)
    return np.asarray(cv2.subtract(cv2.add(pixels, brighter), darker), dtype=np.uint8)


def _blur(pixels: NDArray[np.uint8], size: int, sigma: float) -> NDArray[np.uint8]:
    blurred = cv2.GaussianBlur(pixels, (size, size), sigma, sigmaY=sigma, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, dtype=np.uint8)


def _look_up(table: NDArray[np.uint8], pixels: Pixels) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return np.asarray(cv2.LUT(pixels, table), dtype=np.uint8)
    # OpenCV 4 has no 16-bit table look-up.
    return np.take(table, pixels, mode="clip", out=np.empty(pixels.shape, np.uint8))
