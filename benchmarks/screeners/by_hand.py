"""The preprocessing of `screeners.prepare` as anybody would write it: OpenCV, from PNG bytes to the plane."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 128
CROP = 0.04

cv2.setNumThreads(1)


def plane(raw: bytes) -> NDArray[np.uint8]:
    """Return the (SIDE, SIDE) uint8 plane of a PNG."""
    gray = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_GRAYSCALE)
    top, left = round(gray.shape[0] * CROP), round(gray.shape[1] * CROP)
    cropped = gray[top : gray.shape[0] - top, left : gray.shape[1] - left]
    return np.asarray(cv2.resize(cv2.equalizeHist(cropped), (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
