"""Data sets in memory, described for an inspection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemed.errors import ImageError
from edgemed.imaging.frame import Frame
from edgemed.training.inspection import Checked, Described, Finding, inspect
from edgemed.training.sources.listing import Listing

Picture = NDArray[Any] | Frame | None


def noise(seed: int, *, side: int = 40, low: int = 60, high: int = 160) -> NDArray[np.uint8]:
    """Return a picture of blocks, unlike that of any other seed."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(low, high, (side // 4, side // 4)).astype(np.uint8)
    return blocks.repeat(4, axis=0).repeat(4, axis=1)


def described(
    pictures: Sequence[Picture],
    *,
    labels: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
    patients: Sequence[str] | None = None,
    attributes: Mapping[str, tuple[str | None, ...]] | None = None,
    label_names: tuple[str, ...] = ("normal", "abnormal"),
    roles: Mapping[str, str] | None = None,
) -> Described:
    """Return pictures (None for an unreadable one) as a data set that alternates its two labels."""
    count = len(pictures)
    names = tuple(f"secret-{index}.png" for index in range(count))

    def read(index: int) -> Frame:
        picture = pictures[index]
        if picture is None:
            raise ImageError(f"{names[index]}: PNG cannot be decoded")
        return picture if isinstance(picture, Frame) else Frame(pixels=picture, source=names[index])

    listing = Listing(
        names=names,
        values=tuple(labels or [label_names[index % 2] for index in range(count)]),
        places=names,
        groups=tuple(patients or names),
        splits=tuple(splits or ["train"] * count),
        read=read,
        attributes=attributes or {},
        first_number=2,
        numbered_by="line of labels.csv",
    )
    return Described(
        form="manifest",
        listing=listing,
        meaning={label: label for label in label_names},
        label_names=label_names,
        roles={"train": "train", "validation": "val", "test": "test"} if roles is None else roles,
        patients_known=patients is not None,
    )


def found(data: Described, kind: str, **options: Any) -> list[Finding]:
    """Return what an inspection finds of one kind."""
    return of_kind(inspect(data, **options), kind)


def of_kind(checked: Checked, kind: str) -> list[Finding]:
    """Return the findings of one kind."""
    return [finding for finding in checked.document.findings if finding.kind == kind]
