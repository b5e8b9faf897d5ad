"""Reasons not to judge a frame at all, in words for the person who holds the probe.

quality.reasons(frame, rule.quality)
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np

from edgemed.imaging import intensity
from edgemed.imaging.frame import Frame, Pixels
from edgemed.imaging.scratch import Scratch

__all__ = ["QualityLimitsLike", "reasons", "spread"]

# Rows that the contrast is measured on; a blank picture is blank on a sample of them too.
_SAMPLED_ROWS = 256
_OF_ROWS = 8


class QualityLimitsLike(Protocol):
    """Limits a frame must meet before inference."""

    @property
    def min_side_px(self) -> int:
        """Shorter side of the frame."""
        ...

    @property
    def max_side_px(self) -> int:
        """Longer side of the frame."""
        ...

    @property
    def min_contrast(self) -> float:
        """Spread between the 1st and 99th percentile, as a share of the full range."""
        ...

    @property
    def max_coloured_fraction(self) -> float:
        """Share of coloured pixels."""
        ...


def reasons(frame: Frame, limits: QualityLimitsLike, *, scratch: Scratch | None = None) -> tuple[str, ...]:
    """Return why a frame must not be judged, each with what to do; empty when nothing speaks against it."""
    found = []
    short, long = sorted(frame.pixels.shape)
    if short < limits.min_side_px:
        found.append(
            f"too small: shorter side {short} px, at least {limits.min_side_px} px needed; send the image at full size"
        )
    if long > limits.max_side_px:
        found.append(f"too large: longer side {long} px, at most {limits.max_side_px} px allowed; send one image only")
    if (contrast := _short_contrast(frame, limits.min_contrast, scratch)) is not None:
        found.append(
            f"almost no contrast: grey levels spread over {contrast:.1%} of the range, at least "
            f"{limits.min_contrast:.1%} needed; check exposure, gain and probe contact, then take it again"
        )
    if frame.coloured_fraction > limits.max_coloured_fraction:
        found.append(
            f"coloured: {frame.coloured_fraction:.1%} of the pixels, at most {limits.max_coloured_fraction:.1%} "
            "allowed; send the gray image, not a photograph or a colour overlay"
        )
    return tuple(found)


def spread(frame: Frame, *, scratch: Scratch | None = None) -> float:
    """Return the distance between the 1st and 99th percentile of grey levels, as a share of the full range, 0..1.

    Measured on every k-th row, k = max(1, rows // 256).
    """
    scratch = scratch or Scratch()
    counts = intensity.histogram(_sample(frame), bits=frame.bits, scratch=scratch)
    low, high = intensity.percentile_levels(counts, low_percent=1.0, high_percent=99.0, scratch=scratch)
    return (high - low) / ((1 << frame.bits) - 1)


def _sample(frame: Frame) -> Pixels:
    return frame.pixels[:: max(1, frame.pixels.shape[0] // _SAMPLED_ROWS)]


def _short_contrast(frame: Frame, limit: float, scratch: Scratch | None) -> float | None:
    """Return the spread where it lies below the limit; a look at few rows is enough for most frames."""
    if _least_spread(frame) >= limit:
        return None
    contrast = spread(frame, scratch=scratch)
    return contrast if contrast < limit else None


def _least_spread(frame: Frame) -> float:
    """Return what `spread` is at the least, by every 8th of its rows in 256 classes of grey levels.

    Where more than 1 % of the whole sample lies at or below a level in these rows alone, the 1st percentile is no
    higher; the 99th likewise.
    """
    sample = _sample(frame)
    few = sample[::_OF_ROWS]
    below = np.cumsum(cv2.calcHist([few], [0], None, [256], [0, 1 << frame.bits]).ravel())
    percent = sample.size / 100.0
    low = int(below.searchsorted(percent, side="right"))
    high = int(below.searchsorted(few.size - percent, side="left"))
    width = 1 << (frame.bits - 8)
    return (high * width - ((low + 1) * width - 1)) / ((1 << frame.bits) - 1)
