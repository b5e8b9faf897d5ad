"""From decoded pixels of any channel count to gray, and how coloured they were.

gray, fraction = colour.to_gray(image, order=colour.Order.BGR)
"""

from __future__ import annotations

import enum
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed.imaging.frame import Pixels

__all__ = ["SPREAD_LIMIT", "Gray", "Order", "coloured", "to_gray"]

SPREAD_LIMIT = 24
"""Grey levels of 255 by which channels differ without counting as colour: chroma noise of JPEG and video."""


class Order(enum.Enum):
    """Order of the colour channels; a fourth channel is alpha."""

    BGR = "BGR"
    RGB = "RGB"


class Gray(NamedTuple):
    """A gray image and the share of its pixels, 0..1, that were coloured."""

    pixels: Pixels
    coloured_fraction: float


def to_gray(image: Pixels, *, order: Order) -> Gray:
    """Return luma of (rows, columns[, 1 | 3 | 4]) pixels in ITU-R BT.601 weights, same dtype.

    Y = (9798 R + 19235 G + 3735 B + 16384) >> 15, OpenCV's fixed-point form. Alpha is ignored: the colour stored
    under a transparent pixel counts.
    """
    if image.ndim == 2 or image.shape[2] == 1:
        return Gray(image.reshape(image.shape[:2]), 0.0)
    image = image if image.flags.c_contiguous else image.copy()
    codes = {
        (Order.BGR, 3): cv2.COLOR_BGR2GRAY,
        (Order.BGR, 4): cv2.COLOR_BGRA2GRAY,
        (Order.RGB, 3): cv2.COLOR_RGB2GRAY,
        (Order.RGB, 4): cv2.COLOR_RGBA2GRAY,
    }
    gray = np.empty_like(image, shape=image.shape[:2])
    cv2.cvtColor(image, codes[order, image.shape[2]], dst=gray)
    return Gray(gray, cv2.countNonZero(coloured(image)) / gray.size)


def coloured(image: Pixels) -> NDArray[np.uint8]:
    """Return a (rows, columns) mask, 255 where the three colour channels spread over more than `SPREAD_LIMIT`."""
    first, second, third = cv2.split(image)[:3]
    high = cv2.max(first, second)
    low = cv2.min(first, second, dst=first)
    high, low = cv2.max(high, third, dst=high), cv2.min(low, third, dst=low)
    limit = SPREAD_LIMIT if image.dtype == np.uint8 else SPREAD_LIMIT * 257
    return np.asarray(cv2.inRange(cv2.subtract(high, low, dst=high), (limit + 1,), (65535,)), dtype=np.uint8)
