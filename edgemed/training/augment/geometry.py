"""Where things lie: position, size, shape and what is cut away."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed.training.augment.ranges import Augmentation

__all__ = ["moved"]

_GRID = 4  # points of the elastic field along a side


def moved(plane: NDArray[np.uint8], ranges: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the plane shifted, turned, scaled, flipped, cropped and bent; what lies outside is reflected."""
    changed = _turned(plane, ranges, rng)
    if ranges.crop > 0:
        changed = _cropped(changed, ranges.crop, rng)
    if ranges.elastic > 0:
        changed = _bent(changed, ranges.elastic, rng)
    return changed


def _turned(plane: NDArray[np.uint8], ranges: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    height, width = plane.shape
    angle = math.radians(rng.uniform(-ranges.rotation_deg, ranges.rotation_deg))
    zoom = math.exp(rng.uniform(-ranges.zoom, ranges.zoom))
    stretch = math.exp(rng.uniform(-ranges.stretch, ranges.stretch) / 2)
    mirror = -1.0 if rng.random() < ranges.flip else 1.0
    scale_x, scale_y = zoom * stretch * mirror, zoom / stretch
    matrix = np.array(
        [
            [math.cos(angle) * scale_x, -math.sin(angle) * scale_y, 0.0],
            [math.sin(angle) * scale_x, math.cos(angle) * scale_y, 0.0],
        ]
    )
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    shift = rng.uniform(-ranges.shift, ranges.shift, size=2) * (width, height)
    matrix[:, 2] = centre - matrix[:, :2] @ centre + shift
    return np.asarray(
        cv2.warpAffine(plane, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101),
        dtype=np.uint8,
    )


def _cropped(plane: NDArray[np.uint8], most: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    height, width = plane.shape
    top, bottom = (int(share * height) for share in rng.uniform(0, most, 2))
    left, right = (int(share * width) for share in rng.uniform(0, most, 2))
    kept = plane[top : height - bottom, left : width - right]
    return np.asarray(cv2.resize(kept, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _bent(plane: NDArray[np.uint8], most: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    height, width = plane.shape
    coarse = rng.uniform(-most, most, (_GRID, _GRID, 2)) * (width, height)
    field = cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    columns = field[..., 0] + np.arange(width, dtype=np.float32)
    rows = field[..., 1] + np.arange(height, dtype=np.float32)[:, np.newaxis]
    return np.asarray(
        cv2.remap(plane, columns, rows, interpolation=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101),
        dtype=np.uint8,
    )
