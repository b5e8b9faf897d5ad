"""The planes training may see: train and validation, divided by group, preprocessed once.

split = prepare.prepare(recipe, folder)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edgemed.imaging.labelled import LabelledPlanes
from edgemed.training import data, division, sources
from edgemed.training.data import Dataset
from edgemed.training.progress import Progress, Silent
from edgemed.training.recipe import Recipe

__all__ = ["TrainingData", "load", "prepare"]


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The two splits that training may see.

    Attributes:
        moved: images of train that went to validation with their group.
    """

    train: LabelledPlanes
    validation: LabelledPlanes
    moved: int


def load(recipe: Recipe, folder: Path) -> Dataset:
    """Return the labelled images of a data folder, with the labels as the recipe names them.

    Raises:
        ConfigError: as `sources.load`.
    """
    return sources.load(recipe.data.source, folder, labels=recipe.labels, normal_labels=recipe.normal_labels)


def prepare(recipe: Recipe, folder: Path, *, progress: Progress | None = None) -> TrainingData:
    """Return the planes and labels of train and validation; test images are not read.

    Raises:
        ConfigError: the data folder is not what the recipe names, or a split lacks a label.
        ImageError: an image cannot be read.
    """
    report = progress or Silent()
    dataset = load(recipe, folder)
    divided = division.divide(dataset, recipe.data.splits, seed=recipe.fit.seed)
    dataset = replace(dataset, groups=divided.groups)
    parts = []
    for name in ("train", "validation"):
        indices = divided.named(name)
        report.start(f"preprocess {name}", len(indices))
        parts.append(data.labelled_planes(dataset, indices, recipe.preprocessing, progress=report.advance))
    return TrainingData(train=parts[0], validation=parts[1], moved=divided.moved)
