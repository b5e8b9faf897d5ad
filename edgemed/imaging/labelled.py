"""Input planes of one split with their labels: what training hands to conversion, and neither keeps to itself.

train = LabelledPlanes(planes=planes, labels=labels, names=names, read=read)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemed.imaging.frame import Frame

__all__ = ["LabelledPlanes"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledPlanes:
    """Planes of one split with what is known of them.

    Attributes:
        planes: (n, H, W) uint8, read-only.
        labels: (n,) int64, 0 normal and 1 abnormal, read-only.
        names: (n,) of the images.
        groups: (n,) keys of what must stay together when the split is divided again: images of one key show one
            patient, or nearly the same. None when nothing is known; then each image stands alone.
        read: gives the source frame of plane i; ImageError when it cannot be read any more.
    """

    planes: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    read: Callable[[int], Frame]
    groups: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not len(self.planes) == len(self.labels) == len(self.names):
            raise ValueError(
                f"expected as many planes as labels and names, got {len(self.planes)}, {len(self.labels)}, "
                f"{len(self.names)}"
            )
        if self.groups is not None and len(self.groups) != len(self.planes):
            raise ValueError(f"expected as many groups as planes, got {len(self.groups)} and {len(self.planes)}")
        self.planes.setflags(write=False)
        self.labels.setflags(write=False)
