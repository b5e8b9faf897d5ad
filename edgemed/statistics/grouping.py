"""Cut labelled images in two by whole groups, so that no patient lies on both sides."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["groups_holding"]


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
