"""The grain of a picture: blur, sharpening, additive and multiplicative noise."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed.training.augment.ranges import Augmentation

__all__ = ["textured"]


def textured(plane: NDArray[np.uint8], ranges: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the plane blurred, sharpened and with noise."""
    changed = plane
    if rng.random() < ranges.blur:
        side = int(rng.choice((3, 5)))
        changed = np.asarray(cv2.GaussianBlur(changed, (side, side), 0), dtype=np.uint8)
    if ranges.sharpen > 0:
        changed = _sharpened(changed, 3 * rng.uniform(0, ranges.sharpen))
    if ranges.speckle > 0:
        changed = _speckled(changed, rng.uniform(0, ranges.speckle), rng)
    if ranges.noise > 0:
        noise = rng.standard_normal(changed.shape, dtype=np.float32) * (rng.uniform(0, ranges.noise) * 255)
        changed = np.clip(np.rint(changed + noise), 0, 255).astype(np.uint8)
    return changed


def _sharpened(plane: NDArray[np.uint8], amount: float) -> NDArray[np.uint8]:
    smooth = cv2.GaussianBlur(plane, (0, 0), 1.5)
    return np.asarray(cv2.addWeighted(plane, 1 + amount, smooth, -amount, 0), dtype=np.uint8)


def _speckled(plane: NDArray[np.uint8], deviation: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    height, width = plane.shape
    grain = int(rng.integers(1, 3))
    coarse = rng.standard_normal((-(-height // grain), -(-width // grain)), dtype=np.float32)
    noise = coarse if grain == 1 else cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.clip(np.rint(plane * (1 + np.float32(deviation) * noise)), 0, 255).astype(np.uint8)
