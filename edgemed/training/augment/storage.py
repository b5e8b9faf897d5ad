"""What storing and sending do to a picture: fewer pixels, and JPEG."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed.training.augment.ranges import Augmentation

__all__ = ["stored"]


def stored(plane: NDArray[np.uint8], ranges: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the plane as it comes back from a smaller size and a lossy file."""
    changed = plane
    if ranges.resolution > 0:
        changed = _reduced(changed, 1 - rng.uniform(0, ranges.resolution))
    if ranges.jpeg > 0 and rng.random() < ranges.jpeg:
        quality = int(rng.integers(20, 81))
        _, raw = cv2.imencode(".jpg", changed, [cv2.IMWRITE_JPEG_QUALITY, quality])
        changed = np.asarray(cv2.imdecode(raw, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
    return changed


def _reduced(plane: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    height, width = plane.shape
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    small = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
