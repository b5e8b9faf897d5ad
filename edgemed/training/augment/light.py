"""How grey levels come about: exposure, the curve of a detector or a display, shading and gain over depth.

All curves rise: a brighter point never becomes the darker one.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed.training.augment.ranges import Augmentation

__all__ = ["exposed"]

_PIECES = 5  # of a random tone curve
_KNOTS = 5  # of the gain over depth
_GRID = 4  # points of the shading along a side


def exposed(plane: NDArray[np.uint8], ranges: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the plane in another light."""
    changed = np.asarray(cv2.LUT(plane, _exposure(float(plane.mean()), ranges, rng)), dtype=np.uint8)
    if ranges.tone > 0:
        changed = np.asarray(cv2.LUT(changed, _tone(ranges.tone, rng)), dtype=np.uint8)
    if ranges.equalize > 0:
        changed = _equalized(changed, rng.uniform(0, ranges.equalize))
    if ranges.clahe > 0 and rng.random() < ranges.clahe:
        tiles = int(rng.choice((2, 4, 8)))
        changed = np.asarray(cv2.createCLAHE(float(rng.uniform(1, 4)), (tiles, tiles)).apply(changed), dtype=np.uint8)
    if ranges.shading > 0 or ranges.gain > 0:
        changed = _shaded(changed, ranges, rng)
    return changed


def _exposure(mean: float, ranges: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return one (256,) table for gamma, contrast about the mean, and brightness."""
    levels = np.arange(256) / 255
    levels = levels ** math.exp(rng.uniform(-ranges.gamma, ranges.gamma))
    gain = math.exp(rng.uniform(-ranges.contrast, ranges.contrast))
    levels = (levels - mean / 255) * gain + mean / 255 + rng.uniform(-ranges.brightness, ranges.brightness)
    return np.clip(np.rint(levels * 255), 0, 255).astype(np.uint8)


def _tone(most: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return one (256,) table that rises from 0 to 255 in pieces of random slope."""
    slopes = np.exp(rng.uniform(-3 * most, 3 * most, _PIECES) / 2)
    heights = np.concatenate([[0.0], np.cumsum(slopes)]) / slopes.sum()
    levels = np.interp(np.arange(256), np.linspace(0, 255, _PIECES + 1), heights * 255)
    return np.asarray(np.rint(levels), dtype=np.uint8)


def _equalized(plane: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    """Return the plane with levels moved a share of the way to an even histogram."""
    counts = np.cumsum(np.bincount(plane.reshape(-1), minlength=256))
    even = 255 * counts / counts[-1]
    table = np.rint((1 - share) * np.arange(256) + share * even).astype(np.uint8)
    return np.asarray(cv2.LUT(plane, table), dtype=np.uint8)


def _shaded(plane: NDArray[np.uint8], ranges: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    height, width = plane.shape
    field = np.zeros((height, width), dtype=np.float32)
    if ranges.shading > 0:
        coarse = rng.uniform(-ranges.shading, ranges.shading, (_GRID, _GRID)).astype(np.float32)
        field += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    if ranges.gain > 0:
        coarse = rng.uniform(-ranges.gain, ranges.gain, (_KNOTS, 1)).astype(np.float32)
        field += cv2.resize(coarse, (1, height), interpolation=cv2.INTER_CUBIC).reshape(height, 1)
    return np.clip(np.rint(plane * np.exp(field)), 0, 255).astype(np.uint8)
