"""Reasons not to judge a frame at all, in words for the person who holds the probe.

Some are read off the frame as it came, some off the input plane that was made of it: there a picture has the one size
and exposure that the model is used to, so that one limit serves frames of any resolution. All sums are integers: a
frame is refused on every platform or on none.

    found = quality.reasons(frame, rule.quality)
    found = quality.plane_reasons(plane, rule.quality, pose)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed.imaging import intensity
from edgemed.imaging.frame import Frame, Pixels
from edgemed.imaging.scratch import Scratch

__all__ = [
    "THUMBNAIL_PX",
    "Levels",
    "Pose",
    "QualityLimitsLike",
    "advantage",
    "levels",
    "plane_reasons",
    "reasons",
    "sharpness",
    "thumbnail",
]

THUMBNAIL_PX = 16
"""Side of the small picture by which a pose is told."""

# Rows that grey levels are counted on; a blank picture is blank on a sample of them too.
_SAMPLED_ROWS = 256
_OF_ROWS = 8
# What was done to a picture, and what undoes it.
_TURNS: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "turned by 90 degrees counter-clockwise": partial(np.rot90, k=-1),
    "turned by 180 degrees": partial(np.rot90, k=2),
    "turned by 90 degrees clockwise": partial(np.rot90, k=1),
    "inverted (black and white swapped)": np.invert,
}


class QualityLimitsLike(Protocol):
    """Limits a frame must meet before inference; None turns a gate off."""

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

    @property
    def min_bright_level(self) -> float | None:
        """99th percentile of the grey levels, as a share of the full range."""
        ...

    @property
    def max_saturated_fraction(self) -> float | None:
        """Share of pixels at the upper end of the range."""
        ...

    @property
    def min_sharpness(self) -> float | None:
        """Sharpness of the input plane, see `sharpness`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Levels:
    """What the grey levels of a frame say.

    Attributes:
        low, high: 1st and 99th percentile.
        top: the highest level there can be.
        saturated: share of pixels in the uppermost 256th of the range, 0..1.
    """

    low: int
    high: int
    top: int
    saturated: float

    @property
    def spread(self) -> float:
        """Distance between the percentiles, as a share of the full range, 0..1."""
        return (self.high - self.low) / self.top

    @property
    def bright(self) -> float:
        """The upper percentile, as a share of the full range, 0..1."""
        return self.high / self.top


@dataclass(frozen=True, kw_only=True, eq=False)
class Pose:
    """How upright pictures look, for a modality in which all are taken alike.

    Attributes:
        template: (16, 16) uint8, the mean of their thumbnails.
        margin: by how much a turned or inverted plane must fit it better to be refused, a difference of correlations.
    """

    template: NDArray[np.uint8]
    margin: float


def reasons(frame: Frame, limits: QualityLimitsLike, *, scratch: Scratch | None = None) -> tuple[str, ...]:
    """Return why a frame must not be judged, each with what to do; empty when nothing speaks against it."""
    found = [*_of_size(frame, limits), *_of_levels(frame, limits, scratch)]
    if frame.coloured_fraction > limits.max_coloured_fraction:
        found.append(
            f"coloured: {frame.coloured_fraction:.1%} of the pixels, at most {limits.max_coloured_fraction:.1%} "
            "allowed; send the gray image, not a photograph or a colour overlay"
        )
    return tuple(found)


def plane_reasons(plane: NDArray[np.uint8], limits: QualityLimitsLike, pose: Pose | None = None) -> tuple[str, ...]:
    """Return why an input plane, (H, W) uint8, must not be judged, each with what to do."""
    found = []
    if limits.min_sharpness is not None and (got := sharpness(plane)) < limits.min_sharpness:
        found.append(
            f"blurred: sharpness {got:.4f}, at least {limits.min_sharpness:.4f} needed; hold still, focus, "
            "then take it again"
        )
    if pose is not None:
        better, how = advantage(thumbnail(plane), pose.template)
        if better > pose.margin:
            found.append(f"{how}: fits upright pictures better the other way round; send it as it is usually read")
    return tuple(found)


def levels(frame: Frame, *, scratch: Scratch | None = None) -> Levels:
    """Return what the grey levels say, counted on every k-th row, k = max(1, rows // 256)."""
    sample, scratch = _sample(frame), scratch or Scratch()
    counts = intensity.histogram(sample, bits=frame.bits, scratch=scratch)
    low, high = intensity.percentile_levels(counts, low_percent=1.0, high_percent=99.0, scratch=scratch)
    top = (1 << frame.bits) - 1
    saturated = int(counts[-(1 << (frame.bits - 8)) :].sum())
    return Levels(low=low, high=high, top=top, saturated=saturated / sample.size)


def sharpness(plane: NDArray[np.uint8]) -> float:
    """Return the variance of the Laplacian over the variance of the plane: 0 for a flat one, larger for finer detail.

    The Laplacian is that of the four neighbours. Divided by the plane's own variance it does not tell a picture of low
    contrast from one out of focus by mistake.

    Source: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000, for the variance.
    """
    own = _variance(plane)
    return _variance(np.asarray(cv2.Laplacian(plane, cv2.CV_16S), np.int16)) / own if own else 0.0


def thumbnail(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the (16, 16) uint8 box means of a plane of at least that size; what is over at the ends is left out."""
    rows, columns = (side // THUMBNAIL_PX * THUMBNAIL_PX for side in plane.shape)
    # Whole boxes: OpenCV's area method is exact there on every platform.
    small = cv2.resize(plane[:rows, :columns], (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def advantage(small: NDArray[np.uint8], template: NDArray[np.uint8]) -> tuple[float, str]:
    """Return by how much the best of four wrong poses fits a template better than the picture does, and that pose.

    Args:
        small: (16, 16) uint8, of `thumbnail`.
        template: likewise.

    Returns:
        The difference of two correlations, -2..2: negative for a picture that fits best as it is; and what was done
        to the picture if that wrong pose is the right one.
    """
    upright = _correlation(small, template)
    fits = {how: _correlation(undo(small), template) for how, undo in _TURNS.items()}
    how = max(fits, key=lambda name: fits[name])
    return fits[how] - upright, how


def _of_size(frame: Frame, limits: QualityLimitsLike) -> list[str]:
    found = []
    short, long = sorted(frame.pixels.shape)
    if short < limits.min_side_px:
        found.append(
            f"too small: shorter side {short} px, at least {limits.min_side_px} px needed; send the image at full size"
        )
    if long > limits.max_side_px:
        found.append(f"too large: longer side {long} px, at most {limits.max_side_px} px allowed; send one image only")
    return found


def _of_levels(frame: Frame, limits: QualityLimitsLike, scratch: Scratch | None) -> list[str]:
    """Return what the grey levels say; where contrast alone matters, a look at few rows is enough for most frames."""
    contrast_alone = limits.min_bright_level is None and limits.max_saturated_fraction is None
    if contrast_alone and _least_spread(frame) >= limits.min_contrast:
        return []
    got = levels(frame, scratch=scratch)
    found = []
    if got.spread < limits.min_contrast:
        found.append(
            f"almost no contrast: grey levels spread over {got.spread:.1%} of the range, at least "
            f"{limits.min_contrast:.1%} needed; check exposure, gain and probe contact, then take it again"
        )
    elif limits.min_bright_level is not None and got.bright < limits.min_bright_level:
        found.append(
            f"too dark: 99% of the pixels lie below {got.bright:.1%} of the range, at least "
            f"{limits.min_bright_level:.1%} needed; increase gain or exposure, check probe contact"
        )
    if limits.max_saturated_fraction is not None and got.saturated > limits.max_saturated_fraction:
        found.append(
            f"saturated: {got.saturated:.1%} of the pixels are at the upper end of the range, at most "
            f"{limits.max_saturated_fraction:.1%} allowed; decrease gain or exposure"
        )
    return found


def _sample(frame: Frame) -> Pixels:
    return frame.pixels[:: max(1, frame.pixels.shape[0] // _SAMPLED_ROWS)]


def _least_spread(frame: Frame) -> float:
    """Return what the spread of `levels` is at the least, by every 8th of its rows in 256 classes of grey levels.

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


def _variance(pixels: NDArray[np.uint8] | NDArray[np.int16]) -> float:
    # OpenCV adds integers in float64: exact below 2**53, which no plane reaches.
    total, squares = int(cv2.sumElems(pixels)[0]), int(cv2.norm(pixels, cv2.NORM_L2SQR))
    return (squares * pixels.size - total**2) / pixels.size**2


def _correlation(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Return Pearson's correlation of two pictures, 0 where either is flat."""
    a, b = one.ravel().astype(np.int64), other.ravel().astype(np.int64)
    n = a.size
    covariance = n * int(a.dot(b)) - int(a.sum()) * int(b.sum())
    spreads = (n * int(a.dot(a)) - int(a.sum()) ** 2) * (n * int(b.dot(b)) - int(b.sum()) ** 2)
    return covariance / float(spreads) ** 0.5 if spreads else 0.0
