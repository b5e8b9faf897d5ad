"""Cut labelled images by whole groups, in two or into folds, so that no patient lies on both sides of a cut."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgemed.statistics.estimate import labelled

__all__ = ["folds", "groups_holding"]


def groups_holding(
    labels: NDArray[np.int64], groups: NDArray[np.str_], share: float, *, rng: np.random.Generator
) -> frozenset[str]:
    """Return groups that hold about ``share`` of each label's images, drawn in a seeded order.

    Label after label, normals first: groups are taken until the share of a label is reached, so that a side holds at
    most one group too many of each. The order of the images does not matter, the names of the groups do.

    Args:
        labels: (n,) from 0 (normal) on.
        groups: (n,), the patient of each image, or what else must stay together.
        share: above 0 and below 1.
        rng: seeded by the caller.
    """
    chosen: set[str] = set()
    for label in np.unique(labels):
        members = groups[labels == label]
        names, counts = np.unique(members, return_counts=True)
        # Groups of both labels may have come over already.
        taken = int(np.isin(members, sorted(chosen)).sum())
        for position in rng.permutation(len(names)):
            if taken >= share * len(members):
                break
            if str(names[position]) in chosen:
                continue
            chosen.add(str(names[position]))
            taken += int(counts[position])
    return frozenset(chosen)


def folds(labels: ArrayLike, groups: ArrayLike, count: int, *, rng: np.random.Generator) -> NDArray[np.int64] | None:
    """Return the fold 0..count-1 of each image, (n,): whole groups, dealt out class by class in a seeded order.

    The order of the images does not matter, the names of the groups do. A group with an abnormal image counts as
    abnormal.

    Args:
        labels: (n,), 0 normal and 1 abnormal.
        groups: (n,), the patient of each image.
        count: of folds, at least 2.
        rng: seeded by the caller.

    Returns:
        None where a class has fewer groups than folds: a fold's rest might lack a class.

    Raises:
        ValueError: an argument is not as above.
    """
    truth, given = labelled(labels), np.asarray(groups)
    if given.shape != truth.shape:
        raise ValueError(f"groups: expected shape {truth.shape} like the labels, got {given.shape}")
    if count < 2:
        raise ValueError(f"count: expected at least 2 folds, got {count}")
    names, place = np.unique(given, return_inverse=True)
    abnormal = np.zeros(len(names), dtype=np.bool_)
    np.logical_or.at(abnormal, place.reshape(-1), truth)
    if min(int(abnormal.sum()), int((~abnormal).sum())) < count:
        return None
    fold = np.empty(len(names), dtype=np.int64)
    for chosen in (~abnormal, abnormal):
        members = np.flatnonzero(chosen)
        fold[members[rng.permutation(len(members))]] = np.arange(len(members)) % count
    return np.asarray(fold[place.reshape(-1)], np.int64)
