"""Random changes of training planes that leave their label true: what differs between hospitals, units and operators.

Each plane draws its own changes from a generator seeded by seed, epoch and image, so that a resumed run sees the same
pictures. In the order in which a picture comes about: geometry, light, texture, what a unit writes on it, and what
storage does to it. A change whose range is 0 draws nothing, so that adding one to the code changes no older recipe.
Grey levels are never inverted: white stays dense.

    plane = augment.augmented(plane, augmentation, rng=np.random.default_rng((seed, epoch, 1, index)))
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgemed.training.augment import geometry, light, marks, storage, texture
from edgemed.training.augment.ranges import Augmentation

__all__ = ["Augmentation", "augmented"]


def augmented(plane: NDArray[np.uint8], ranges: Augmentation, *, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a changed copy of one plane, (H, W) uint8."""
    changed = geometry.moved(plane, ranges, rng)
    changed = light.exposed(changed, ranges, rng)
    changed = texture.textured(changed, ranges, rng)
    changed = marks.marked(changed, ranges, rng)
    return storage.stored(changed, ranges, rng)
