"""What can be said of a picture without a look at anatomy: grey levels, sharpness, borders, proportions.

A label that these figures predict is one that a network can learn without learning the disease.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

NAMES = (
    "aspect",
    "mean",
    "deviation",
    "p1",
    "p5",
    "p25",
    "p50",
    "p75",
    "p95",
    "p99",
    "laplacian",
    "laplacian / deviation",
    "fine detail",
    "border mean",
    "border dark",
    "top corners",
    "bottom",
    "top",
    "saturated",
    "black",
)
_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
_STRIP = 12 / 224  # of the side: the border
_CORNER = 24 / 224
_DARK, _SATURATED, _BLACK = 16, 250, 5


def described(pixels: NDArray[np.uint8], aspect: float) -> NDArray[np.float64]:
    """Return the (20,) figures of one picture, in the order of `NAMES`; ``aspect`` is its true width over height."""
    gray = pixels.astype(np.float32)
    deviation = float(gray.std()) + 1e-6
    laplacian = float(cv2.Laplacian(pixels, cv2.CV_32F).std())
    fine = float((gray - cv2.GaussianBlur(gray, (0, 0), 1.5)).std())
    border = gray[_frame(pixels.shape)]
    strip = round(_CORNER * len(pixels))
    return np.array(
        [
            aspect,
            gray.mean(),
            deviation,
            *np.percentile(gray, _PERCENTILES),
            laplacian,
            laplacian / deviation,
            fine / deviation,
            border.mean(),
            (border < _DARK).mean(),
            (gray[:strip, :strip].mean() + gray[:strip, -strip:].mean()) / 2,
            gray[-strip:].mean(),
            gray[:strip].mean(),
            (gray > _SATURATED).mean(),
            (gray < _BLACK).mean(),
        ]
    )


def _frame(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    rows, columns = (round(_STRIP * side) for side in shape)
    outside = np.ones(shape, dtype=bool)
    outside[rows:-rows, columns:-columns] = False
    return outside
