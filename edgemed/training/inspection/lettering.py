"""Suspicion of text in the pixels: two or more letter-like strokes on one line.

The method: what is brighter than its surroundings within nine pixels (white top-hat) by more than 60 of 255 levels
is a stroke; connected strokes of 5 to 40 pixels height, no wider than 1.6 times that, may be letters; two that stand
side by side on one base line, equally high and equally bright, are a suspicion. Single letters, such as the side
marker of an X-ray, text darker than the picture, and pictures with a side below 96 pixels are not looked for.

Measured on breast ultrasound of 256 x 256 pixels (BUSI, train and validation), read by eye: on 120 pictures that the
limits were chosen on, 15 of 15 with words found and 0 of 105 others marked; on 120 further ones 17 of 17, and 1 of 103.

    found = lettering.boxes(frame)
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed.imaging import intensity
from edgemed.imaging.frame import Frame

__all__ = ["Box", "boxes"]

_SMALLEST_PX = 96  # a letter in a picture smaller than this has no strokes
_LONGEST_PX = 1280  # longer pictures are reduced: their letters are larger
_STROKE_PX = 9
_CONTRAST = 60
_HEIGHT_PX = (5, 40)
_FILL = (0.25, 0.95)


class Box(NamedTuple):
    """A rectangle of pixels of the frame."""

    left: int
    top: int
    width: int
    height: int


def boxes(frame: Frame) -> tuple[Box, ...]:
    """Return where letters of the longest suspected word stand, from left to right; empty without a suspicion."""
    if min(frame.pixels.shape) < _SMALLEST_PX:
        return ()
    pixels = intensity.to_8_bits(frame.pixels, bits=frame.bits)
    factor = -(-max(pixels.shape) // _LONGEST_PX)
    if factor > 1:
        size = (max(1, pixels.shape[1] // factor), max(1, pixels.shape[0] // factor))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return tuple(Box(*(value * factor for value in box)) for box in _longest_word(pixels))


def _longest_word(pixels: NDArray[np.uint8]) -> list[Box]:
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (_STROKE_PX, _STROKE_PX))
    tophat = cv2.morphologyEx(pixels, cv2.MORPH_TOPHAT, kernel)
    strokes = cv2.threshold(tophat, _CONTRAST, 255, cv2.THRESH_BINARY)[1]
    count, labels, stats, _ = cv2.connectedComponentsWithStats(strokes, connectivity=8)
    if count < 3:  # the background and one more
        return []
    letters = sorted(_letter_like(np.asarray(stats, dtype=np.int32)), key=lambda number: (stats[number][0], number))
    rows = [Box(*map(int, stats[number][:4])) for number in letters]
    brightness: dict[int, float] = {}

    def bright(place: int) -> float:
        """Return the 90th percentile of a letter's levels, once it is asked for."""
        if place not in brightness:
            left, top, width, height = rows[place]
            window = np.s_[top : top + height, left : left + width]
            brightness[place] = float(np.percentile(pixels[window][labels[window] == letters[place]], 90))
        return brightness[place]

    longest: list[Box] = []
    for start in range(len(rows)):
        word = [start]
        for place in range(start + 1, len(rows)):
            gap = rows[place].left - rows[word[-1]].left - rows[word[-1]].width
            if gap > 1.2 * rows[word[-1]].height:
                break
            if gap >= -1 and _on_one_line(rows[word[-1]], rows[place]) and abs(bright(place) - bright(word[-1])) < 40:
                word.append(place)
        if len(word) > max(1, len(longest)):
            longest = [rows[place] for place in word]
    return longest


def _letter_like(stats: NDArray[np.int32]) -> list[int]:
    """Return the numbers of the components with the size and the fill of a letter, from 1 on."""
    width, height, area = (stats[:, column].astype(np.float64) for column in (2, 3, 4))
    fill = area / (width * height)
    fits = (height >= _HEIGHT_PX[0]) & (height <= _HEIGHT_PX[1]) & (width <= 1.6 * height) & (width >= 0.12 * height)
    fits &= ((fill >= _FILL[0]) & (fill <= _FILL[1])) | (width <= 2)
    fits[0] = False
    return [int(number) for number in np.flatnonzero(fits)]


def _on_one_line(first: Box, second: Box) -> bool:
    """Return whether two letters are equally high and stand on one base line."""
    return abs(second.height - first.height) <= max(1, 0.2 * first.height) and abs(
        second.top + second.height - first.top - first.height
    ) <= max(1, 0.15 * first.height)
