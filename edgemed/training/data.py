"""Labelled images as a value, and as the input planes that training sees.

part = data.labelled_planes(dataset, indices, recipe.preprocessing)
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from edgemed.imaging import preprocess
from edgemed.imaging.frame import Frame
from edgemed.imaging.labelled import BINARY_LABELS, LabelledPlanes, abnormal, check_labels

__all__ = ["Dataset", "digest", "labelled_planes"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Labelled images, read on demand.

    Attributes:
        names: one a image, unique within the data set.
        labels: (n,) int64, index into ``label_names``; of two labels the first is normal.
        groups: images of one group belong to one patient or show nearly the same.
        splits: the source's own split value of each image.
        read: gives the frame of image i; ImageError when it cannot be read.
        label_names: K names, K >= 2, one a class.
        normal_labels: those of them that are normal; every other is abnormal.
        attributes: by name (site, device, age_band, sex, ...) one value an image, None where it is not known.
    """

    names: tuple[str, ...]
    labels: NDArray[np.int64]
    groups: tuple[str, ...]
    splits: tuple[str, ...]
    read: Callable[[int], Frame]
    label_names: tuple[str, ...] = BINARY_LABELS
    normal_labels: tuple[str, ...] = BINARY_LABELS[:1]
    attributes: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_labels(self.labels, self.label_names, self.normal_labels)
        columns: dict[str, Sized] = {
            "labels": self.labels,
            "groups": self.groups,
            "splits": self.splits,
            **self.attributes,
        }
        for name, values in columns.items():
            if len(values) != len(self.names):
                raise ValueError(f"{name}: expected {len(self.names)} values, one a name, got {len(values)}")
        object.__setattr__(self, "attributes", MappingProxyType(dict(self.attributes)))
        self.labels.setflags(write=False)

    @property
    def abnormal(self) -> NDArray[np.bool_]:
        """Return (n,) true where the label is none of the normal ones."""
        return abnormal(self.labels, self.label_names, self.normal_labels)


def labelled_planes(
    dataset: Dataset,
    indices: NDArray[np.int64],
    preprocessing: preprocess.Preprocessing,
    *,
    progress: Callable[[], None] = lambda: None,
) -> LabelledPlanes:
    """Return the images at ``indices`` as input planes with their labels.

    Raises:
        ImageError: an image cannot be read; it is named.
    """
    stack = np.empty((len(indices), preprocessing.height, preprocessing.width), dtype=np.uint8)
    for row, index in enumerate(indices):
        stack[row] = preprocess.apply(dataset.read(int(index)), preprocessing)
        progress()
    return LabelledPlanes(
        planes=stack,
        labels=dataset.labels[indices],
        names=tuple(dataset.names[index] for index in indices),
        groups=tuple(dataset.groups[index] for index in indices),
        read=lambda row: dataset.read(int(indices[row])),
        label_names=dataset.label_names,
        normal_labels=dataset.normal_labels,
    )


def digest(part: LabelledPlanes) -> str:
    """Return the digest of names, labels and planes, in order: equal digests, equal training input."""
    state = hashlib.sha256()
    for name, label in zip(part.names, part.labels, strict=True):
        state.update(os.fsencode(f"{name}\t{label}\n"))
    state.update(part.planes.tobytes())
    return "sha256:" + state.hexdigest()
