"""Copies of validation images as other units might have taken them: what scores and thresholds are fitted on as well.

altered = views.of(recipe, split.validation)  # (views, n, H, W)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgemed.imaging.labelled import LabelledPlanes
from edgemed.training import recipe as recipes
from edgemed.training.augment import augmented
from edgemed.training.recipe import Recipe

__all__ = ["of"]

_STREAM = 4  # training draws order, pictures and mixing from (seed, epoch, 0 to 2)


def of(recipe: Recipe, part: LabelledPlanes) -> NDArray[np.uint8] | None:
    """Return changed copies of each plane, (views, n, H, W); None where the recipe asks for none.

    They depend on the division's seed, not on the training's: runs of several seeds are judged alike.
    """
    count = recipe.calibration.views
    if not count:
        return None
    seed = recipes.division_seed(recipe)
    found = np.empty((count, *part.planes.shape), dtype=np.uint8)
    for view, index in np.ndindex(found.shape[:2]):
        rng = np.random.default_rng((seed, view, _STREAM, index))
        found[view, index] = augmented(part.planes[index], recipe.augmentation, rng=rng)
    return found
