"""What the rules of an inspection look at: the listed images, their traits, and what is known of splits and labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemed.training.inspection.document import Numbers
from edgemed.training.inspection.traits import Traits
from edgemed.training.sources.listing import Listing

__all__ = ["ROLES", "Subject"]

ROLES = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """The data under inspection.

    Attributes:
        traits: of the listing's images.
        labels: (n,) the label of each image; for a value that no label lists, the value itself.
        unlisted: images whose label value no label lists.
        label_names: the labels in their order.
        roles: split value by role (train, validation, test), as far as there is one.
        patients_known: whether groups are patients.
        near: correlation of thumbnails above which two images count as nearly the same.
    """

    listing: Listing
    traits: Traits
    labels: NDArray[np.str_]
    unlisted: frozenset[int]
    label_names: tuple[str, ...]
    roles: Mapping[str, str]
    patients_known: bool
    near: float

    @property
    def splits(self) -> NDArray[np.str_]:
        """Return (n,) split values."""
        return np.array(self.listing.splits)

    @property
    def split_order(self) -> tuple[str, ...]:
        """Return the split values that occur: train, validation, test, then the others."""
        found = sorted(set(self.listing.splits))
        first = [self.roles[role] for role in ROLES if self.roles.get(role) in found]
        return (*first, *(split for split in found if split not in first))

    def where(self, *, split: str | None = None, label: str | None = None) -> NDArray[np.int64]:
        """Return the readable images of a split and a label, of every one where None."""
        chosen = self.traits.readable.copy()
        if split is not None:
            chosen &= self.splits == split
        if label is not None:
            chosen &= self.labels == label
        return np.flatnonzero(chosen)

    def numbers(self, images: Iterable[int]) -> Numbers:
        """Return the numbers that stand for images in a document."""
        return tuple(self.listing.first_number + int(index) for index in images)

    def learning(self) -> NDArray[np.int64]:
        """Return the readable images that a model may learn from: train, or every one where no split is train."""
        return self.where(split=self.roles.get("train"))
