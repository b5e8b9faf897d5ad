"""The planes training may see: train and validation, divided by group, preprocessed once.

split = prepare.prepare(recipe, folder)
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from edgemed.errors import ImageError
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.training import data, division, sources, unreadable
from edgemed.training import recipe as recipes
from edgemed.training.data import Dataset
from edgemed.training.division import Prepared
from edgemed.training.progress import Progress, Silent
from edgemed.training.recipe import Recipe

__all__ = ["TrainingData", "load", "prepare"]


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The two splits that training may see.

    Attributes:
        prepared: what was moved between them and left out.
    """

    train: LabelledPlanes
    validation: LabelledPlanes
    prepared: Prepared = field(default_factory=Prepared)

    @property
    def moved(self) -> int:
        """Return how many train images went to validation with their group."""
        return self.prepared.moved_to_validation


def load(recipe: Recipe, folder: Path, *, progress: Progress | None = None) -> Dataset:
    """Return the labelled images of a data folder, with the labels as the recipe names them.

    Where the recipe skips unreadable images, each one of train and validation is read once to find them.

    Raises:
        ConfigError: as `sources.load`.
    """
    return _load(recipe, folder, progress or Silent())[0]


def _load(recipe: Recipe, folder: Path, report: Progress) -> tuple[Dataset, int]:
    """Return the data set, and how many images were left out of it."""
    dataset = sources.load(recipe.data.source, folder, labels=recipe.labels, normal_labels=recipe.normal_labels)
    if recipe.data.unreadable == "refuse":
        return dataset, 0
    pool = division.training_indices(dataset, recipe.data.splits)
    report.start("read", len(pool))
    faults = unreadable.find(dataset, pool, progress=report.advance)
    for fault in faults.values():
        report.note(f"skipped: {fault}")
    return data.subset(dataset, unreadable.others(dataset, faults)), len(faults)


def prepare(recipe: Recipe, folder: Path, *, progress: Progress | None = None) -> TrainingData:
    """Return the planes and labels of train and validation; test images are not read.

    Raises:
        ConfigError: the data folder is not what the recipe names, or a split lacks a label.
        ImageError: images cannot be read; they are named, with how to leave them out.
    """
    report = progress or Silent()
    dataset, skipped = _load(recipe, folder, report)
    try:
        return _prepared(recipe, dataset, report, skipped=skipped)
    except ImageError as err:
        pool = division.training_indices(dataset, recipe.data.splits)
        report.start("look for unreadable images", len(pool))
        if faults := unreadable.find(dataset, pool, progress=report.advance):
            raise unreadable.error(faults, of=len(pool)) from err
        raise


def _prepared(recipe: Recipe, dataset: Dataset, report: Progress, *, skipped: int) -> TrainingData:
    divided = division.divide(dataset, recipe.data.splits, seed=recipes.division_seed(recipe))
    dataset = replace(dataset, groups=divided.groups)
    prepared = msgspec.structs.replace(divided.prepared, unreadable=skipped)
    for note in prepared.notes():
        report.note(note)
    parts = []
    for name in ("train", "validation"):
        indices = divided.named(name)
        report.start(f"preprocess {name}", len(indices))
        parts.append(data.labelled_planes(dataset, indices, recipe.preprocessing, progress=report.advance))
    return TrainingData(train=parts[0], validation=parts[1], prepared=prepared)
