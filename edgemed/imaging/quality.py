"""Reasons not to judge a frame at all, in words for the person who holds the probe.

quality.reasons(frame, rule.quality)
"""

from __future__ import annotations

from typing import Protocol

from edgemed.imaging import intensity
from edgemed.imaging.frame import Frame

__all__ = ["QualityLimitsLike", "reasons", "spread"]

# Rows that the contrast is measured on; a blank picture is blank on a sample of them too.
_SAMPLED_ROWS = 256


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


def reasons(frame: Frame, limits: QualityLimitsLike) -> tuple[str, ...]:
    """Return why a frame must not be judged, each with what to do; empty when nothing speaks against it."""
    found = []
    short, long = sorted(frame.pixels.shape)
    if short < limits.min_side_px:
        found.append(
            f"too small: shorter side {short} px, at least {limits.min_side_px} px needed; send the image at full size"
        )
    if long > limits.max_side_px:
        found.append(f"too large: longer side {long} px, at most {limits.max_side_px} px allowed; send one image only")
    contrast = spread(frame)
    if contrast < limits.min_contrast:
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


def spread(frame: Frame) -> float:
    """Return the distance between the 1st and 99th percentile of grey levels, as a share of the full range, 0..1.

    Measured on every k-th row, k = max(1, rows // 256).
    """
    sample = frame.pixels[:: max(1, frame.pixels.shape[0] // _SAMPLED_ROWS)]
    counts = intensity.histogram(sample, bits=frame.bits)
    low, high = intensity.percentile_levels(counts, low_percent=1.0, high_percent=99.0)
    return (high - low) / ((1 << frame.bits) - 1)
