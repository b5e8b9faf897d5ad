"""Which images show the same: pixel for pixel, or nearly, by the correlation of small thumbnails.

found = likeness.look(dataset, indices)
for first, second in likeness.pairs(found, limit=0.98):
    ...
"""

from __future__ import annotations

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed.imaging.frame import Frame
from edgemed.training.data import Dataset

__all__ = ["THUMBNAIL_PX", "Looks", "joined", "look", "near_pairs", "pairs", "pixel_digest", "same_pixels", "thumbnail"]

THUMBNAIL_PX = 28
_BLOCK = 1024  # thumbnails compared at once


@dataclass(frozen=True, kw_only=True, eq=False)
class Looks:
    """What is needed to compare images.

    Attributes:
        indices: (n,) int64 into the data set, ascending.
        thumbnails: (n, 784) float32, each of mean 0 and length 1; all zero for a picture of one grey level.
        digests: of size, type and pixels.
    """

    indices: NDArray[np.int64]
    thumbnails: NDArray[np.float32]
    digests: tuple[bytes, ...]


def look(dataset: Dataset, indices: NDArray[np.int64], *, progress: Callable[[], None] = lambda: None) -> Looks:
    """Read the images at ``indices`` once and return what is needed to compare them.

    Raises:
        ImageError: an image cannot be read.
    """
    thumbnails = np.empty((len(indices), THUMBNAIL_PX**2), np.float32)
    digests = []
    for row, index in enumerate(indices):
        frame = dataset.read(int(index))
        thumbnails[row] = thumbnail(frame)
        digests.append(pixel_digest(frame))
        progress()
    return Looks(indices=indices, thumbnails=thumbnails, digests=tuple(digests))


def thumbnail(frame: Frame) -> NDArray[np.float32]:
    """Return the frame at 28x28, area-averaged, as a vector (784,) of mean 0 and length 1."""
    small = cv2.resize(frame.pixels, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    vector = small.astype(np.float32).reshape(-1)
    vector -= vector.mean()
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector


def pixel_digest(frame: Frame) -> bytes:
    """Return the SHA-256 of a frame's size, type and pixels: equal for equal pictures, whatever file they lay in."""
    state = hashlib.sha256(f"{frame.pixels.shape}{frame.pixels.dtype}".encode())
    state.update(frame.pixels.tobytes())
    return state.digest()


def pairs(looks: Looks, *, limit: float | None) -> list[tuple[int, int]]:
    """Return (i, j), i < j, data set indices of images that show the same, in ascending order.

    Args:
        looks: of the images to compare.
        limit: correlation of thumbnails above which two images count as the same; None for equal pixels alone.
    """
    rows = {pair for group in same_pixels(looks.digests) for pair in itertools.combinations(group, 2)}
    if limit is not None:
        rows.update(near_pairs(looks.thumbnails, limit))
    return [(int(looks.indices[first]), int(looks.indices[second])) for first, second in sorted(rows)]


def same_pixels(digests: Sequence[bytes | None]) -> list[tuple[int, ...]]:
    """Return the positions of equal digests, two or more a group, in order of the first; None equals nothing."""
    places: defaultdict[bytes, list[int]] = defaultdict(list)
    for row, digest in enumerate(digests):
        if digest is not None:
            places[digest].append(row)
    return [tuple(rows) for rows in places.values() if len(rows) > 1]


def near_pairs(vectors: NDArray[np.float32], limit: float) -> Iterator[tuple[int, int]]:
    """Yield (i, j), i < j, of vectors of length 1 whose product exceeds the limit; memory grows with n, not n * n."""
    for start in range(0, len(vectors), _BLOCK):
        products = vectors[start : start + _BLOCK] @ vectors[start:].T
        for row, column in np.argwhere(products > limit):
            if column > row:
                yield start + int(row), start + int(column)


def joined(groups: Sequence[str], found: Iterable[tuple[int, int]]) -> tuple[str, ...]:
    """Return groups in which those of each pair of images became one, under its smallest name."""
    parent = {group: group for group in groups}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    for first, second in found:
        a, b = sorted((root(groups[first]), root(groups[second])))
        parent[b] = a
    return tuple(root(group) for group in groups)
