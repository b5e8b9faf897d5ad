"""What a recipe says about a data source: which file or folder, which columns, and which label values mean what.

source = ClassFolders(normal=("NORMAL",), abnormal=("PNEUMONIA",))
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from edgemed.imaging.labelled import BINARY_LABELS

__all__ = ["ALL", "ClassFolders", "ManifestCsv", "MedMnist", "Source", "patients_known", "values_by_label"]

Text = Annotated[str, Meta(min_length=1, max_length=128)]

ALL = "all"
"""The split value of every image of a source that has no column of splits."""


class _Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Where labelled images are, and which label values mean what; a value that is not listed is refused.

    Attributes:
        normal, abnormal: label values of the first and of the second of two labels.
        classes: label values by label, in their place, for two or more labels.
    """

    normal: tuple[Text, ...] = ()
    abnormal: tuple[Text, ...] = ()
    classes: dict[Text, Annotated[tuple[Text, ...], Meta(min_length=1)]] | None = None

    def __post_init__(self) -> None:
        lists = bool(self.normal) + bool(self.abnormal)
        if lists != (2 if self.classes is None else 0):
            raise ValueError("expected either normal and abnormal, each with a label value, or classes")
        if self.classes is not None and len(self.classes) < 2:
            raise ValueError(f"classes: expected two labels at least, got {list(self.classes)}")
        counts = Counter(value for values in values_by_label(self).values() for value in set(values))
        if repeated := sorted(value for value, count in counts.items() if count > 1):
            raise ValueError(f"{'normal and abnormal: both' if lists else 'classes: several'} list {repeated}")


class ManifestCsv(_Source, frozen=True, kw_only=True, tag="manifest"):
    """A CSV with one row an image; the other attributes name its columns.

    Attributes:
        file: the CSV, inside the data folder.
        images: an uncompressed zip that the paths point into; None when they point into the data folder.
        split: column of the split; None puts every image into the split ``all``.
        group: column of the patient; None when patients are unknown and each image stands alone.
        group_within: columns whose values keep equal groups apart, where keys of two folders may clash.
        attributes: column by attribute (site, device, age_band, sex, ...); an empty cell is a value not known. Ages in
            years under ``age_band`` become bands of ten years.
    """

    file: Text
    images: Text | None
    path: Text
    label: Text
    split: Text | None
    group: Text | None
    group_within: tuple[Text, ...] = ()
    attributes: dict[Text, Text] = {}


class MedMnist(_Source, frozen=True, kw_only=True, tag="npz"):
    """An npz with ``{train,val,test}_images`` (n, H, W) uint8 and ``_labels`` (n, 1)."""

    file: Text


class ClassFolders(_Source, frozen=True, kw_only=True, tag="folders"):
    """``SPLIT/CLASS/image`` below the data folder; the class folder's name is the label value."""


Source: TypeAlias = ManifestCsv | MedMnist | ClassFolders


def values_by_label(source: _Source) -> dict[str, tuple[str, ...]]:
    """Return the label values of each label; two labels that the source does not name are normal and abnormal."""
    if source.classes is not None:
        return source.classes
    return dict(zip(BINARY_LABELS, (source.normal, source.abnormal), strict=True))


def patients_known(source: Source) -> bool:
    """Return whether the source says which images belong to one patient."""
    return isinstance(source, ManifestCsv) and source.group is not None
