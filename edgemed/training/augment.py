"""Random changes of training planes that leave their label true.

Each plane draws its own changes from a generator seeded by seed, epoch and image, so that a resumed run sees the same
pictures. Geometry first, then exposure, then blur and noise; all ranges come from the recipe.

    plane = augment.augmented(plane, augmentation, rng=np.random.default_rng((seed, epoch, 1, index)))
"""

from __future__ import annotations

import math
from typing import Annotated

import cv2
import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

__all__ = ["Augmentation", "augmented"]

Share = Annotated[float, Meta(ge=0.0, le=1.0)]


class Augmentation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ranges of the random changes; 0 turns one off.

    Attributes:
        shift: largest shift of each axis, as a share of the side.
        rotation_deg: largest rotation to either side.
        zoom: the picture is scaled by exp(u), u uniform in +-zoom.
        stretch: width over height changes by exp(u), u uniform in +-stretch.
        flip: probability of a left-right flip.
        brightness: grey levels are shifted by up to this share of 255.
        contrast: grey levels are scaled about their mean by exp(u), u uniform in +-contrast.
        gamma: grey levels g in 0..1 become g ** exp(u), u uniform in +-gamma.
        blur: probability of a 3x3 or 5x5 Gaussian blur.
        noise: standard deviation of Gaussian noise is uniform in 0..this share of 255.
        erase: probability that one rectangle of 2 to 15 % of the area is filled with its mean.
    """

    shift: Share = 0.0
    rotation_deg: Annotated[float, Meta(ge=0.0, le=180.0)] = 0.0
    zoom: Share = 0.0
    stretch: Share = 0.0
    flip: Share = 0.0
    brightness: Share = 0.0
    contrast: Share = 0.0
    gamma: Share = 0.0
    blur: Share = 0.0
    noise: Share = 0.0
    erase: Share = 0.0


def augmented(plane: NDArray[np.uint8], ranges: Augmentation, *, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a changed copy of one plane, (H, W) uint8."""
    moved = _moved(plane, ranges, rng)
    changed = np.asarray(cv2.LUT(moved, _exposure(float(moved.mean()), ranges, rng)), dtype=np.uint8)
    if rng.random() < ranges.blur:
        side = int(rng.choice((3, 5)))
        changed = np.asarray(cv2.GaussianBlur(changed, (side, side), 0), dtype=np.uint8)
    if ranges.noise > 0:
        noise = rng.standard_normal(changed.shape, dtype=np.float32) * (rng.uniform(0, ranges.noise) * 255)
        changed = np.clip(np.rint(changed + noise), 0, 255).astype(np.uint8)
    if rng.random() < ranges.erase:
        changed = _erased(changed, rng)
    return changed


def _moved(plane: NDArray[np.uint8], ranges: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the plane shifted, turned, scaled and flipped about its centre; the border is reflected."""
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


def _exposure(mean: float, ranges: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return one (256,) table for gamma, contrast about the mean, and brightness."""
    levels = np.arange(256) / 255
    levels = levels ** math.exp(rng.uniform(-ranges.gamma, ranges.gamma))
    gain = math.exp(rng.uniform(-ranges.contrast, ranges.contrast))
    levels = (levels - mean / 255) * gain + mean / 255 + rng.uniform(-ranges.brightness, ranges.brightness)
    return np.clip(np.rint(levels * 255), 0, 255).astype(np.uint8)


def _erased(plane: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    height, width = plane.shape
    area, aspect = rng.uniform(0.02, 0.15) * height * width, math.exp(rng.uniform(-0.7, 0.7))
    rows = min(height, max(1, round(math.sqrt(area * aspect))))
    columns = min(width, max(1, round(math.sqrt(area / aspect))))
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    plane = plane.copy()
    plane[top : top + rows, left : left + columns] = int(plane.mean())
    return plane
