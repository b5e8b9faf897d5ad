"""Which images of train and validation to leave out because they repeat others, from pairs that show the same.

found = repeats.within(pairs, dataset.labels, train)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Repeats", "like", "within"]


class Repeats(NamedTuple):
    """Indices of images that train is better off without.

    Attributes:
        repeated: show the same, under the same label, as an image that stays.
        conflicting: show the same as an image of another label: nobody knows which of the two is wrong.
    """

    repeated: frozenset[int]
    conflicting: frozenset[int]


def within(pairs: Iterable[tuple[int, int]], labels: NDArray[np.int64], members: Collection[int]) -> Repeats:
    """Return what repeats among ``members``; of images that show the same the first stays.

    Args:
        pairs: (i, j), i < j, of images that show the same.
        labels: of every image that an index may name.
        members: images to look at; a pair with another is passed over.
    """
    inside = set(members)
    known = [pair for pair in pairs if inside.issuperset(pair)]
    conflicting = {index for pair in known if labels[pair[0]] != labels[pair[1]] for index in pair}
    earlier: defaultdict[int, list[int]] = defaultdict(list)
    for first, second in known:
        if not conflicting.intersection((first, second)):
            earlier[second].append(first)
    repeated: set[int] = set()
    for index in sorted(earlier):
        # Near-duplicates form chains: only what stays can stand for another.
        if not repeated.issuperset(earlier[index]):
            repeated.add(index)
    return Repeats(frozenset(repeated), frozenset(conflicting))


def like(pairs: Iterable[tuple[int, int]], *, others: Collection[int]) -> frozenset[int]:
    """Return the images that show the same as one of ``others`` and are none of them."""
    theirs = set(others)
    return frozenset(
        index
        for first, second in pairs
        if (first in theirs) != (second in theirs)
        for index in (first, second)
        if index not in theirs
    )
