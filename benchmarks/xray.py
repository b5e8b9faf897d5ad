"""Chest X-ray planes for benchmarks, divided by patient as in training. The test folder is not read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemed.imaging.labelled import LabelledPlanes
from edgemed.training import data, division, recipe, sources
from edgemed.training.augment import Augmentation

_DIVISION_SEED = 17  # of train against validation, the same for every training seed
_CALIBRATION_SEED = 20240229


@dataclass(frozen=True, kw_only=True, eq=False)
class Divided:
    """Train and validation; ``patients`` numbers the patients of validation, near-duplicates joined, (n,)."""

    train: LabelledPlanes
    validation: LabelledPlanes
    patients: NDArray[np.int64]

    def calibration(self, count: int) -> NDArray[np.uint8]:
        """Return some planes of train, in a seeded order."""
        order = np.random.default_rng(_CALIBRATION_SEED).permutation(len(self.train.planes))
        return self.train.planes[order[:count]]


def divided(folder: Path, *, side: int, validation_fraction: float) -> Divided:
    """Return the planes of the shipped recipe, ``side`` pixels high and wide, with another share for validation."""
    shipped, change = recipe.load("chest-xray"), msgspec.structs.replace
    splits = change(shipped.data.splits, validation_fraction=validation_fraction)
    preprocessing = change(shipped.preprocessing, height=side, width=side)
    dataset = sources.load(shipped.data.source, folder)
    found = division.divide(dataset, splits, seed=_DIVISION_SEED)
    limit = splits.near_duplicate_correlation
    if limit is None:
        raise ValueError("chest-xray: expected a recipe that joins near-duplicates")
    joined = division.near_duplicate_groups(dataset, found.validation, limit=limit)
    _, patients = np.unique([joined[index] for index in found.validation], return_inverse=True)
    return Divided(
        train=data.labelled_planes(dataset, found.train, preprocessing),
        validation=data.labelled_planes(dataset, found.validation, preprocessing),
        patients=patients.astype(np.int64),
    )


def augmentation() -> Augmentation:
    """Return the shipped recipe's random changes."""
    return recipe.load("chest-xray").augmentation
