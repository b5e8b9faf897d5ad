"""Input planes of one split with their labels: what training hands to conversion, and neither keeps to itself.

train = LabelledPlanes(planes=planes, labels=labels, names=names, read=read)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemed.imaging.frame import Frame

__all__ = ["BINARY_LABELS", "LabelledPlanes", "abnormal", "check_labels"]

BINARY_LABELS = ("normal", "abnormal")
"""Names of the labels 0 and 1 where a source tells no more than these two apart."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledPlanes:
    """Planes of one split with what is known of them.

    Attributes:
        planes: (n, H, W) uint8, read-only.
        labels: (n,) int64, index into ``label_names``, read-only; of two labels the first is normal.
        names: (n,) of the images.
        groups: (n,) keys of what must stay together when the split is divided again: images of one key show one
            patient, or nearly the same. None when nothing is known; then each image stands alone.
        read: gives the source frame of plane i; ImageError when it cannot be read any more.
        label_names: K names, K >= 2, one a class.
        normal_labels: those of them that are normal; every other is abnormal.
    """

    planes: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    read: Callable[[int], Frame]
    groups: tuple[str, ...] | None = None
    label_names: tuple[str, ...] = BINARY_LABELS
    normal_labels: tuple[str, ...] = BINARY_LABELS[:1]

    def __post_init__(self) -> None:
        if not len(self.planes) == len(self.labels) == len(self.names):
            raise ValueError(
                f"expected as many planes as labels and names, got {len(self.planes)}, {len(self.labels)}, "
                f"{len(self.names)}"
            )
        if self.groups is not None and len(self.groups) != len(self.planes):
            raise ValueError(f"expected as many groups as planes, got {len(self.groups)} and {len(self.planes)}")
        check_labels(self.labels, self.label_names, self.normal_labels)
        self.planes.setflags(write=False)
        self.labels.setflags(write=False)

    @property
    def abnormal(self) -> NDArray[np.bool_]:
        """Return (n,) true where the label is none of the normal ones."""
        return abnormal(self.labels, self.label_names, self.normal_labels)


def abnormal(
    labels: NDArray[np.int64], label_names: tuple[str, ...], normal_labels: tuple[str, ...]
) -> NDArray[np.bool_]:
    """Return (n,) true where a label, an index into ``label_names``, is none of the normal ones."""
    return np.array([name not in normal_labels for name in label_names])[labels]


def check_labels(labels: NDArray[np.int64], label_names: tuple[str, ...], normal_labels: tuple[str, ...]) -> None:
    """Return when labels are indices into their names, and some but not all names are normal.

    Raises:
        ValueError: they are not.
    """
    if len(set(label_names)) < max(2, len(label_names)):
        raise ValueError(f"label_names: expected two or more different names, got {list(label_names)}")
    if not normal_labels or not set(normal_labels) < set(label_names):
        raise ValueError(
            f"normal_labels: expected one or more of {list(label_names)}, but not all, got {list(normal_labels)}"
        )
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(label_names):
        raise ValueError(
            f"labels: expected indices below {len(label_names)}, got {int(labels.min())} to {int(labels.max())}"
        )
