"""What an inspection has to be told of a data set: its images, and what its labels and splits mean.

described = described.by_recipe(recipe, folder)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgemed.training import sources
from edgemed.training.inspection.subject import ROLES
from edgemed.training.recipe import Recipe
from edgemed.training.sources import ClassFolders, DicomFolder, ManifestCsv, MedMnist
from edgemed.training.sources.listing import Listing

__all__ = ["Described", "by_recipe"]

_FORMS = {ManifestCsv: "manifest", MedMnist: "npz", ClassFolders: "folders", DicomFolder: "dicom"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Described:
    """A data set before an image of it is read.

    Attributes:
        form: manifest, npz, folders or dicom.
        meaning: label by label value; a value that is missing is a finding.
        label_names: the labels in their order.
        roles: split value by role: train, validation, test.
        patients_known: whether the listing's groups are patients.
        assumed: what was guessed to get here, in words; empty where a recipe says it.
    """

    form: str
    listing: Listing
    meaning: Mapping[str, str]
    label_names: tuple[str, ...]
    roles: Mapping[str, str]
    patients_known: bool
    assumed: tuple[str, ...] = ()


def by_recipe(recipe: Recipe, folder: Path) -> Described:
    """Return a data folder as a recipe describes it; label values that it does not list are kept.

    Raises:
        ConfigError: the folder is not what the recipe says.
    """
    source, splits = recipe.data.source, recipe.data.splits
    by_label = dict(zip(recipe.labels, (source.normal, source.abnormal), strict=False))
    meaning = {value: label for label, values in (source.classes or by_label).items() for value in values}
    named = zip(ROLES, (splits.train, splits.validation, splits.test), strict=True)
    return Described(
        form=_FORMS[type(source)],
        listing=sources.read(source, folder),
        meaning=meaning,
        label_names=recipe.labels,
        roles={role: split for role, split in named if split is not None},
        patients_known=sources.patients_known(source),
    )
