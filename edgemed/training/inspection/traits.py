"""One pass over every image of a data folder: what the rules of the inspection look at.

found = traits.measure(listing)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed.errors import ImageError
from edgemed.imaging import intensity
from edgemed.training import likeness
from edgemed.training.inspection import lettering
from edgemed.training.inspection.lettering import Box
from edgemed.training.sources.listing import Listing

__all__ = ["Traits", "measure"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Traits:
    """What is known of n images; an unreadable one has size 0, no digest and zeros elsewhere.

    Attributes:
        faults: what is wrong with the images that cannot be read.
        sizes: (n, 2) int64, rows and columns.
        bits: (n,) int64 significant bits.
        coloured: (n,) share of coloured pixels, 0..1.
        histograms: (n, 256) float32 share of the pixels by grey level, 16 bits reduced to 8; each sums to 1.
        sharpness: (n,) mean absolute difference of neighbouring columns and rows in grey levels.
        thumbnails, digests: as in `likeness.Looks`.
        letters: boxes of suspected text, an empty tuple without.
    """

    faults: dict[int, str]
    sizes: NDArray[np.int64]
    bits: NDArray[np.int64]
    coloured: NDArray[np.float64]
    histograms: NDArray[np.float32]
    sharpness: NDArray[np.float64]
    thumbnails: NDArray[np.float32]
    digests: tuple[bytes | None, ...]
    letters: tuple[tuple[Box, ...], ...]

    @property
    def readable(self) -> NDArray[np.bool_]:
        """Return (n,) true for the images that could be read."""
        return self.sizes[:, 0] > 0

    @property
    def means(self) -> NDArray[np.float64]:
        """Return (n,) mean grey levels, 0..255."""
        return self.histograms.astype(np.float64) @ np.arange(256.0)

    @property
    def deviations(self) -> NDArray[np.float64]:
        """Return (n,) standard deviations of the grey levels."""
        squares = self.histograms.astype(np.float64) @ np.arange(256.0) ** 2
        return np.sqrt(np.maximum(squares - self.means**2, 0.0))


def measure(listing: Listing, *, progress: Callable[[], None] = lambda: None) -> Traits:
    """Read every image once and return its traits; test images too, since no model is chosen by them."""
    count = len(listing.names)
    faults: dict[int, str] = {}
    digests: list[bytes | None] = [None] * count
    letters: list[tuple[Box, ...]] = [()] * count
    sizes, bits = np.zeros((count, 2), np.int64), np.zeros(count, np.int64)
    coloured, sharpness = np.zeros(count), np.zeros(count)
    histograms = np.zeros((count, 256), np.float32)
    thumbnails = np.zeros((count, likeness.THUMBNAIL_PX**2), np.float32)
    for index in range(count):
        try:
            frame = listing.read(index)
        except ImageError as err:
            faults[index] = str(err)
        else:
            pixels = intensity.to_8_bits(frame.pixels, bits=frame.bits)
            sizes[index], bits[index], coloured[index] = frame.pixels.shape, frame.bits, frame.coloured_fraction
            histograms[index] = np.bincount(pixels.ravel(), minlength=256) / pixels.size
            sharpness[index] = _sharpness(pixels)
            thumbnails[index] = likeness.thumbnail(frame)
            digests[index] = likeness.pixel_digest(frame)
            letters[index] = lettering.boxes(frame)
        progress()
    return Traits(
        faults=faults,
        sizes=sizes,
        bits=bits,
        coloured=coloured,
        histograms=histograms,
        sharpness=sharpness,
        thumbnails=thumbnails,
        digests=tuple(digests),
        letters=tuple(letters),
    )


def _sharpness(pixels: NDArray[np.uint8]) -> float:
    """Return the mean absolute difference between neighbours, 0 for a picture of one row or column."""
    steps = [
        float(cv2.norm(first, second, cv2.NORM_L1)) / first.size
        for first, second in ((pixels[1:], pixels[:-1]), (pixels[:, 1:], pixels[:, :-1]))
        if first.size
    ]
    return sum(steps) / max(1, len(steps))
