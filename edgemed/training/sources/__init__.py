"""Labelled images from disk: a manifest CSV beside an image archive, a MedMNIST-style npz, one folder a class.

Files are opened when their image is asked for. A label value that the recipe does not list is an error, not a guess.

    dataset = sources.load(recipe.data.source, folder, labels=recipe.labels)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgemed.errors import ConfigError
from edgemed.imaging.labelled import BINARY_LABELS
from edgemed.schema import near_match
from edgemed.training.data import Dataset
from edgemed.training.sources import folders, manifest, npz
from edgemed.training.sources.declared import (
    ClassFolders,
    ManifestCsv,
    MedMnist,
    Source,
    patients_known,
    values_by_label,
)
from edgemed.training.sources.listing import Listing

__all__ = ["ClassFolders", "ManifestCsv", "MedMnist", "Source", "load", "patients_known", "read", "values_by_label"]


def load(
    source: Source,
    folder: Path,
    *,
    labels: tuple[str, ...] = BINARY_LABELS,
    normal_labels: tuple[str, ...] = (),
) -> Dataset:
    """Return the labelled images of a data folder.

    Args:
        source: how they lie there.
        folder: where.
        labels: the labels in the order of their indices: those of ``classes``, or names for the images that the
            source calls normal and abnormal.
        normal_labels: those that are normal; empty for the first alone.

    Raises:
        ConfigError: the folder, its index, a column or an array is missing, no image was found, a label value is
            not listed, or ``labels`` are not those of the source.
    """
    listing = read(source, folder)
    meaning = _meaning(source, labels)
    return Dataset(
        names=listing.names,
        labels=np.array([_index(meaning, *one) for one in zip(listing.values, listing.places, strict=True)], np.int64),
        groups=listing.groups,
        splits=listing.splits,
        read=listing.read,
        label_names=labels,
        normal_labels=normal_labels or labels[:1],
        attributes=listing.attributes,
    )


def read(source: Source, folder: Path) -> Listing:
    """Return the images of a data folder with their label values as they are written there.

    Raises:
        ConfigError: as `load`, but for what concerns the meaning of the values.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: expected the folder of the data set, found none; check --data")
    if isinstance(source, ManifestCsv):
        listing = manifest.read(source, folder)
    elif isinstance(source, MedMnist):
        listing = npz.read(source, folder)
    else:
        listing = folders.read(folder)
    if not listing.names:
        raise ConfigError(f"{folder}: expected labelled images, found none")
    if repeated := len(listing.names) - len(set(listing.names)):
        raise ConfigError(f"{folder}: expected every image once, {repeated} are listed again; remove the repeated rows")
    return listing


def _meaning(source: Source, labels: tuple[str, ...]) -> dict[str, int]:
    """Return the label's index by label value."""
    if source.classes is None and len(labels) == 2:
        by_label = dict(zip(labels, (source.normal, source.abnormal), strict=True))
    else:
        by_label = values_by_label(source)
    if set(by_label) != set(labels):
        raise ConfigError(f"labels: expected those of the data source, {sorted(by_label)}, got {list(labels)}")
    return {value: index for index, label in enumerate(labels) for value in by_label[label]}


def _index(meaning: dict[str, int], value: str, place: str) -> int:
    if value not in meaning:
        known = list(meaning)
        raise ConfigError(f"{place}: label: expected one of {known}, got {value!r}{near_match(value, known)}")
    return meaning[value]
