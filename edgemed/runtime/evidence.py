"""The evidence map drawn over its frame: where the score came from, as a picture for the person who reads it.

The map's mean is the logit, so it explains the score exactly: the line of `shading` runs where a map of this level
everywhere would give a score that just reaches the threshold.

    image = evidence.overlay(frame, screening, preprocessing=preprocessing, rule=rule)
    raw = evidence.encode_png(image)
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed.imaging import intensity
from edgemed.imaging.frame import Frame
from edgemed.imaging.preprocess import Preprocessing
from edgemed.runtime import caption, placement, shading
from edgemed.runtime.decision import DecisionRule
from edgemed.runtime.placement import Placement
from edgemed.runtime.screening import Screening

__all__ = ["drawn_size", "encode_png", "overlay", "paint", "scaled"]

MIN_SIDE_PX, MAX_SIDE_PX = 512, 1024


def overlay(
    frame: Frame, screening: Screening, *, preprocessing: Preprocessing, rule: DecisionRule
) -> NDArray[np.uint8]:
    """Draw the evidence of a screening over its frame, with a caption below.

    Args:
        frame: what was screened; its proportions stay, its longer side becomes 512..1024 px.
        screening: of this frame, with evidence and score.
        preprocessing: that led to the plane; cropping and letterboxing are undone.
        rule: that decided.

    Returns:
        (rows, columns, 3) uint8 in OpenCV's order, blue first.

    Raises:
        ValueError: the screening has no evidence, or no score.
    """
    if screening.evidence is None or screening.score is None:
        raise ValueError("screening: expected evidence and a score, got a refused one or a model without evidence")
    gray = scaled(intensity.to_8_bits(frame.pixels, bits=frame.bits), drawn_size(frame.pixels.shape))
    where = placement.follow(frame.pixels.shape, preprocessing, cells=screening.evidence.shape, size=gray.shape)
    return caption.below(paint(gray, screening.evidence, where, rule), caption.words(screening, rule), with_scale=True)


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Return a picture as PNG bytes."""
    return cv2.imencode(".png", image)[1].tobytes()


def drawn_size(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (rows, columns) in the proportions of a shape, the longer side brought to 512..1024 px."""
    longer = max(shape)
    factor = min(max(longer, MIN_SIDE_PX), MAX_SIDE_PX) / longer
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))


def scaled(gray: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a gray picture at another size (rows, columns); the very same one where it has that size."""
    if gray.shape == size:
        return gray
    how = cv2.INTER_CUBIC if size[0] > gray.shape[0] else cv2.INTER_AREA
    return np.asarray(cv2.resize(gray, (size[1], size[0]), interpolation=how), np.uint8)


def paint(
    gray: NDArray[np.uint8],
    cells: NDArray[np.float64],
    where: Placement,
    rule: DecisionRule,
    *,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Draw an evidence map over a gray picture.

    Args:
        gray: (rows, columns) uint8, as drawn.
        cells: (h, w) evidence, in units of the logit.
        where: the cells lie in the picture.
        rule: whose calibration and threshold give colour and line.
        out: (rows, columns, 3) uint8 to draw into; None for a new one.
    """
    excess = where.interpolate(_excess(cells, rule))
    image = shading.coloured(gray, excess, where.seen, out=out)
    shading.outline(image, excess, where.seen)
    return image


def _excess(cells: NDArray[np.float64], rule: DecisionRule) -> NDArray[np.float64]:
    """Return the calibrated log-odds of each cell above those of the threshold."""
    threshold = min(max(rule.operating_point.threshold, 1e-6), 1 - 1e-6)
    asked = math.log(threshold / (1.0 - threshold))
    return rule.calibration.slope * cells + (rule.calibration.intercept - asked)
