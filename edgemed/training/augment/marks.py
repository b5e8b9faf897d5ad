"""What covers parts of a picture: a collimator's frame, letters and callipers burned in, a rectangle that is lost."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed.training.augment.ranges import Augmentation

__all__ = ["marked"]

_WORDS = ("L", "R", "PA", "AP", "SUPINE", "PORTABLE", "+", "x", "1", "2", "12.4 mm", "10:42", "ERECT", "MI 0.8")
_FRAME = 0.15  # widest side of a frame, as a share of the picture's


def marked(plane: NDArray[np.uint8], ranges: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the plane with parts of it covered."""
    changed = plane
    if rng.random() < ranges.erase:
        changed = _erased(changed, rng)
    if ranges.border > 0 and rng.random() < ranges.border:
        changed = _framed(changed, rng)
    if ranges.marks > 0 and rng.random() < ranges.marks:
        changed = _written(changed, rng)
    return changed


def _erased(plane: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    height, width = plane.shape
    area, aspect = rng.uniform(0.02, 0.15) * height * width, math.exp(rng.uniform(-0.7, 0.7))
    rows = min(height, max(1, round(math.sqrt(area * aspect))))
    columns = min(width, max(1, round(math.sqrt(area / aspect))))
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    plane = plane.copy()
    plane[top : top + rows, left : left + columns] = int(plane.mean())
    return plane


def _framed(plane: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the plane with a dark frame; each side is as likely absent as present."""
    height, width = plane.shape
    widths = rng.uniform(0, _FRAME, 4) * (rng.random(4) < 0.5)
    top, bottom = (int(share * height) for share in widths[:2])
    left, right = (int(share * width) for share in widths[2:])
    framed = np.full_like(plane, int(rng.integers(0, 24)))
    inside = (slice(top, height - bottom), slice(left, width - right))
    framed[inside] = plane[inside]
    return framed


def _written(plane: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    height, width = plane.shape
    written = plane.copy()
    for _ in range(int(rng.integers(1, 4))):
        word = _WORDS[int(rng.integers(len(_WORDS)))]
        # Hershey letters are about 22 pixels high at scale 1.
        scale = rng.uniform(0.05, 0.12) * height / 22
        at = (int(rng.integers(-4, max(1, round(0.9 * width)))), int(rng.integers(round(0.08 * height), height + 1)))
        cv2.putText(written, word, at, cv2.FONT_HERSHEY_SIMPLEX, scale, int(rng.integers(170, 256)), 1, cv2.LINE_AA)
    return written
