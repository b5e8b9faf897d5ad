"""Train, validation and test: groups (patients, near-duplicates) never lie on both sides of train and validation.

Known patients never lie on both sides of train and test either. Test images are never looked at here.

    found = division.divide(dataset, recipe.data.splits, seed=recipe.fit.seed)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

import cv2
import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from edgemed.errors import ConfigError
from edgemed.imaging.frame import Frame
from edgemed.schema import near_match
from edgemed.statistics import groups_holding
from edgemed.training.data import Dataset

__all__ = ["Division", "Splits", "divide", "near_duplicate_groups", "test_indices"]

Text = Annotated[str, Meta(min_length=1, max_length=128)]

_THUMBNAIL_PX = 28
_BLOCK = 1024  # thumbnails compared at once


class Splits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which split values mean what.

    Attributes:
        train, test: values of the source's split.
        validation: likewise; None cuts ``validation_fraction`` of the train groups instead.
        near_duplicate_correlation: images whose 28x28 thumbnails correlate above it form one group; None for off.
    """

    train: Text
    validation: Text | None
    test: Text
    validation_fraction: Annotated[float, Meta(gt=0.0, le=0.5)] | None = None
    near_duplicate_correlation: Annotated[float, Meta(gt=0.5, lt=1.0)] | None = None

    def __post_init__(self) -> None:
        if (self.validation is None) == (self.validation_fraction is None):
            raise ValueError("expected either validation or validation_fraction, not both and not neither")


@dataclass(frozen=True, kw_only=True, eq=False)
class Division:
    """Indices into a data set, (n,) int64 each, sorted.

    Attributes:
        groups: one an image of the data set, near-duplicates joined: what no two parts share.
        moved: images that went to validation with their group.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    groups: tuple[str, ...]
    moved: int

    def named(self, split: str) -> NDArray[np.int64]:
        """Return the indices of ``train``, ``validation`` or ``test``.

        Raises:
            ConfigError: another name.
        """
        known = {"train": self.train, "validation": self.validation, "test": self.test}
        if split not in known:
            raise ConfigError(
                f"split: expected one of {', '.join(known)}, got {split!r}{near_match(split, list(known))}"
            )
        return known[split]


def divide(dataset: Dataset, splits: Splits, *, seed: int) -> Division:
    """Return train, validation and test; no group lies in both train and validation.

    A given validation split pulls every train image of its groups over. A cut one takes whole groups of train in a
    seeded order, per label, until the asked share of each label is reached. Test images are never looked at.

    Raises:
        ConfigError: train or validation has fewer than two images of a label, or a patient lies in test as well.
    """
    values = np.array(dataset.splits)
    pool = _pool(values, splits)
    _require_every_label(dataset, pool, "train and validation")
    _require_apart(dataset, pool, values == splits.test)
    if splits.near_duplicate_correlation is not None:
        dataset = replace(dataset, groups=near_duplicate_groups(dataset, pool, limit=splits.near_duplicate_correlation))
    groups = np.array(dataset.groups)
    if splits.validation is not None:
        given = values == splits.validation
        chosen = set(groups[given])
    else:
        assert splits.validation_fraction is not None
        given = np.zeros(len(values), dtype=bool)
        chosen = set(
            groups_holding(
                dataset.labels[pool], groups[pool], splits.validation_fraction, rng=np.random.default_rng(seed)
            )
        )
    in_validation = np.isin(groups, sorted(chosen)) & np.isin(np.arange(len(values)), pool)
    division = Division(
        train=pool[~in_validation[pool]],
        validation=pool[in_validation[pool]],
        test=np.flatnonzero(values == splits.test),
        groups=dataset.groups,
        moved=int(np.count_nonzero(in_validation & ~given)) if splits.validation else 0,
    )
    for name in ("train", "validation"):
        _require_every_label(dataset, division.named(name), name)
    return division


def _require_every_label(dataset: Dataset, indices: NDArray[np.int64], name: str) -> None:
    """Refuse a split that lacks normal, abnormal, or, of more than two labels, any: an AUC has no variance there."""
    abnormal = int(dataset.abnormal[indices].sum())
    if min(abnormal, len(indices) - abnormal) < 2:
        raise ConfigError(
            f"{name} split: expected two normal and two abnormal images at least, got {len(indices) - abnormal} normal "
            f"and {abnormal} abnormal; check the recipe's label and split columns"
        )
    counts = np.bincount(dataset.labels[indices], minlength=len(dataset.label_names))
    if scarce := [f"{count} {label}" for label, count in zip(dataset.label_names, counts, strict=True) if count < 2]:
        raise ConfigError(
            f"{name} split: expected two images of every label at least, got {', '.join(scarce)}; check the recipe's "
            "label and split columns, or put rare label values under one label of data.source.classes"
        )


def _pool(values: NDArray[np.str_], splits: Splits) -> NDArray[np.int64]:
    """Return the indices of the images that training may see."""
    seen = [splits.train, *([splits.validation] if splits.validation else [])]
    return np.flatnonzero(np.isin(values, seen))


def _require_apart(dataset: Dataset, pool: NDArray[np.int64], test: NDArray[np.bool_]) -> None:
    """Refuse a data set whose test split shares a patient with train or validation: its figures would flatter."""
    groups = np.array(dataset.groups)
    if shared := set(groups[pool]) & set(groups[test]):
        raise ConfigError(
            f"test split: {len(shared)} patients lie in train or validation as well; correct the split column, or name "
            "group_within where equal keys of two folders mean different patients"
        )


def test_indices(dataset: Dataset, splits: Splits) -> NDArray[np.int64]:
    """Return the indices of the test split, sorted, without a look at any other image.

    Raises:
        ConfigError: the split is empty, or a patient lies in train or validation as well.
    """
    values = np.array(dataset.splits)
    indices = np.flatnonzero(values == splits.test)
    _require_apart(dataset, _pool(values, splits), values == splits.test)
    if len(indices) == 0:
        known = sorted(set(dataset.splits))
        raise ConfigError(f"test split: expected images of {splits.test!r}, found none; the data set has {known}")
    return indices


def near_duplicate_groups(dataset: Dataset, indices: NDArray[np.int64], *, limit: float) -> tuple[str, ...]:
    """Return groups in which images at ``indices`` with nearly equal thumbnails were joined.

    Args:
        dataset: its groups are kept together.
        indices: images to compare; the others keep their group.
        limit: Pearson correlation of 28x28 area-averaged thumbnails above which two images are joined.

    Returns:
        One group an image of the data set; a joined group carries its smallest member's name.
    """
    thumbnails = np.stack([_thumbnail(dataset.read(int(index))) for index in indices])
    parent = {group: group for group in dataset.groups}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    for first, second in _pairs_above(thumbnails, limit):
        a, b = sorted((root(dataset.groups[indices[first]]), root(dataset.groups[indices[second]])))
        parent[b] = a
    return tuple(root(group) for group in dataset.groups)


def _pairs_above(vectors: NDArray[np.float32], limit: float) -> Iterator[tuple[int, int]]:
    """Yield (i, j), i < j, of vectors of length 1 whose product exceeds the limit; memory grows with n, not n * n."""
    for start in range(0, len(vectors), _BLOCK):
        products = vectors[start : start + _BLOCK] @ vectors[start:].T
        for row, column in np.argwhere(products > limit):
            if column > row:
                yield start + int(row), start + int(column)


def _thumbnail(frame: Frame) -> NDArray[np.float32]:
    """Return the frame at 28x28 as a vector of mean 0 and length 1."""
    small = cv2.resize(frame.pixels, (_THUMBNAIL_PX, _THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    vector = small.astype(np.float32).reshape(-1)
    vector -= vector.mean()
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector
