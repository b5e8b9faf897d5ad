"""Train, validation and test: groups (patients, near-duplicates) never lie on both sides of train and validation.

Known patients never lie on both sides of train and test either. Test images are looked at in one case: where the recipe
asks that no image of train or validation shows the same as a test image; then the former is dropped, never the latter.

    found = division.divide(dataset, recipe.data.splits, seed=recipes.division_seed(recipe))
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgemed.errors import ConfigError
from edgemed.schema import near_match
from edgemed.statistics import groups_holding
from edgemed.training import likeness, repeats
from edgemed.training.data import Dataset
from edgemed.training.splits import Prepared, Splits

__all__ = ["Division", "Prepared", "Splits", "divide", "near_duplicate_groups", "test_indices", "training_indices"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Division:
    """Indices into a data set, (n,) int64 each, sorted.

    Attributes:
        groups: one an image of the data set, near-duplicates joined: what no two parts share.
        prepared: what was moved and left out.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    groups: tuple[str, ...]
    prepared: Prepared

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

    A given validation split pulls every train image of its groups over, or drops them. A cut one takes whole groups of
    train in a seeded order, per label, until the asked share of each label is reached.

    Raises:
        ConfigError: train or validation has fewer than two images of a label, or a patient lies in test as well.
        ImageError: an image that has to be compared cannot be read.
    """
    values = np.array(dataset.splits)
    pool, test = training_indices(dataset, splits), np.flatnonzero(values == splits.test)
    _require_every_label(dataset, pool, "train and validation")
    _require_apart(dataset, pool, values == splits.test)
    alike = _alike(dataset, splits, pool, test)
    like_test = repeats.like(alike.near, others=test.tolist()) if splits.like_test == "drop" else frozenset()
    pool = pool[~np.isin(pool, sorted(like_test))]
    groups = _joined(dataset, splits, pool, alike)
    given = np.isin(pool, np.flatnonzero(values == splits.validation))
    chosen = given | _in_chosen_groups(replace(dataset, groups=groups), splits, pool, given, seed=seed)
    stays = given if splits.straddling == "drop" else chosen
    train, again = _without_repeats(dataset, splits, pool[~chosen], alike)
    division = Division(
        train=train,
        validation=pool[stays],
        test=test,
        groups=groups,
        prepared=Prepared(
            moved_to_validation=int(np.count_nonzero(stays & ~given)) if splits.validation else 0,
            straddling=int(np.count_nonzero(chosen & ~stays)),
            repeated=len(again.repeated),
            conflicting=len(again.conflicting),
            like_test=len(like_test),
        ),
    )
    for name in ("train", "validation"):
        _require_every_label(dataset, division.named(name), name)
    return division


def _joined(dataset: Dataset, splits: Splits, pool: NDArray[np.int64], alike: _Alike) -> tuple[str, ...]:
    """Return the groups, with those of near-duplicates in the pool joined where the recipe asks for it."""
    if splits.near_duplicate_correlation is None:
        return dataset.groups
    inside = set(pool.tolist())
    return likeness.joined(dataset.groups, (pair for pair in alike.near if inside.issuperset(pair)))


class _Alike(NamedTuple):
    """Pairs (i, j), i < j, of images that show the same; ``near`` holds the exact ones too."""

    exact: list[tuple[int, int]]
    near: list[tuple[int, int]]


def _alike(dataset: Dataset, splits: Splits, pool: NDArray[np.int64], test: NDArray[np.int64]) -> _Alike:
    """Compare the images as far as the recipe asks for it; test images are read for ``like_test`` alone."""
    if splits.near_duplicate_correlation is None and splits.deduplicate is None and splits.like_test == "keep":
        return _Alike([], [])
    looks = likeness.look(dataset, np.union1d(pool, test) if splits.like_test == "drop" else pool)
    exact = likeness.pairs(looks, limit=None)
    limit = splits.near_duplicate_correlation
    return _Alike(exact, exact if limit is None else likeness.pairs(looks, limit=limit))


def _without_repeats(
    dataset: Dataset, splits: Splits, train: NDArray[np.int64], alike: _Alike
) -> tuple[NDArray[np.int64], repeats.Repeats]:
    """Return train without what repeats in it, and what that is."""
    if splits.deduplicate is None:
        return train, repeats.Repeats(frozenset(), frozenset())
    pairs = alike.exact if splits.deduplicate == "exact" else alike.near
    found = repeats.within(pairs, dataset.labels, train.tolist())
    return train[~np.isin(train, sorted(found.repeated | found.conflicting))], found


def _in_chosen_groups(
    dataset: Dataset, splits: Splits, pool: NDArray[np.int64], given: NDArray[np.bool_], *, seed: int
) -> NDArray[np.bool_]:
    """Return which images of the pool belong to a group of validation."""
    groups = np.array(dataset.groups)[pool]
    if splits.validation is not None:
        return np.isin(groups, np.unique(groups[given]))
    assert splits.validation_fraction is not None
    rng = np.random.default_rng(seed)
    chosen = groups_holding(dataset.labels[pool], groups, splits.validation_fraction, rng=rng)
    return np.isin(groups, sorted(chosen))


def _require_every_label(dataset: Dataset, indices: NDArray[np.int64], name: str) -> None:
    """Refuse a split that lacks normal, abnormal, or, of more than two labels, any: an AUC has no variance there."""
    abnormal = int(dataset.abnormal[indices].sum())
    if min(abnormal, len(indices) - abnormal) < 2:
        known = "" if len(indices) else f"the data set has {sorted(set(dataset.splits))}; "
        raise ConfigError(
            f"{name} split: expected two normal and two abnormal images at least, got {len(indices) - abnormal} normal "
            f"and {abnormal} abnormal; {known}check the recipe's label and split columns"
        )
    counts = np.bincount(dataset.labels[indices], minlength=len(dataset.label_names))
    if scarce := [f"{count} {label}" for label, count in zip(dataset.label_names, counts, strict=True) if count < 2]:
        raise ConfigError(
            f"{name} split: expected two images of every label at least, got {', '.join(scarce)}; check the recipe's "
            "label and split columns, or put rare label values under one label of data.source.classes"
        )


def training_indices(dataset: Dataset, splits: Splits) -> NDArray[np.int64]:
    """Return the indices of the images that training may see, sorted: train and, where it is given, validation."""
    seen = [splits.train, *([splits.validation] if splits.validation else [])]
    return np.flatnonzero(np.isin(dataset.splits, seen))


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
    _require_apart(dataset, training_indices(dataset, splits), values == splits.test)
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
    return likeness.joined(dataset.groups, likeness.pairs(likeness.look(dataset, indices), limit=limit))
