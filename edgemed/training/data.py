"""Labelled images as a value, and as the input planes that training sees.

part = data.labelled_planes(dataset, indices, recipe.preprocessing)
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemed.imaging import preprocess
from edgemed.imaging.frame import Frame
from edgemed.imaging.labelled import LabelledPlanes

__all__ = ["Dataset", "digest", "labelled_planes"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Labelled images, read on demand.

    Attributes:
        names: one a image, unique within the data set.
        labels: (n,) int64, 0 normal and 1 abnormal.
        groups: images of one group belong to one patient or show nearly the same.
        splits: the source's own split value of each image.
        read: gives the frame of image i; ImageError when it cannot be read.
    """

    names: tuple[str, ...]
    labels: NDArray[np.int64]
    groups: tuple[str, ...]
    splits: tuple[str, ...]
    read: Callable[[int], Frame]

    def __post_init__(self) -> None:
        self.labels.setflags(write=False)


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
    )


def digest(part: LabelledPlanes) -> str:
    """Return the digest of names, labels and planes, in order: equal digests, equal training input."""
    state = hashlib.sha256()
    for name, label in zip(part.names, part.labels, strict=True):
        state.update(os.fsencode(f"{name}\t{label}\n"))
    state.update(part.planes.tobytes())
    return "sha256:" + state.hexdigest()
