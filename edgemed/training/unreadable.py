"""Images that cannot be read: found before training begins, named together, and left out when the recipe says so.

faults = unreadable.find(dataset, indices)
rest = data.subset(dataset, unreadable.others(dataset, faults))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from edgemed.errors import ImageError
from edgemed.training.data import Dataset

__all__ = ["error", "find", "others"]

_SHOWN = 5  # faults that a message quotes


def find(
    dataset: Dataset, indices: NDArray[np.int64], *, progress: Callable[[], None] = lambda: None
) -> dict[int, str]:
    """Return what is wrong with each of the images at ``indices`` that cannot be read."""
    faults: dict[int, str] = {}
    for index in indices.tolist():
        try:
            dataset.read(index)
        except ImageError as err:
            faults[index] = str(err)
        progress()
    return faults


def others(dataset: Dataset, faults: Mapping[int, str]) -> NDArray[np.int64]:
    """Return the indices of a data set's images that are not among ``faults``."""
    return np.setdiff1d(np.arange(len(dataset.names)), np.array(sorted(faults), dtype=np.int64))


def error(faults: Mapping[int, str], *, of: int) -> ImageError:
    """Return the refusal of a data set with unreadable images: which they are, and how to go on."""
    shown = list(faults.values())[:_SHOWN]
    more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return ImageError(
        f"{len(faults)} of {of} images cannot be read; repair them, remove their rows, or write unreadable: skip under "
        f"data in the recipe to train without them: {'; '.join(shown)}{more}"
    )
