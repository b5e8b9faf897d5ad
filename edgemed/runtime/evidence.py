"""The evidence map drawn over its frame: where the score came from, as a picture for the person who reads it.

The map's mean is the logit, so it explains the score exactly; its place in the picture is approximate: a cell stands
for the patch of the plane at its place in the grid, while the network looked further around, and the map is
interpolated between cells. Colour shows by how much the evidence of a place exceeds what the decision threshold asks
for, in log-odds and on a scale that is the same in every picture; the line runs where it just reaches it; what was
cropped away before inference is dimmed.

    image = evidence.overlay(frame, screening, preprocessing=preprocessing, rule=rule)
    raw = evidence.encode_png(image)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed.imaging import geometry, intensity
from edgemed.imaging.frame import Frame
from edgemed.imaging.preprocess import Preprocessing
from edgemed.imaging.steps import CropBorder, Resize
from edgemed.runtime import caption, scale
from edgemed.runtime.decision import DecisionRule
from edgemed.runtime.screening import Screening

__all__ = ["encode_png", "on_frame", "overlay"]

MIN_SIDE_PX, MAX_SIDE_PX = 512, 1024
_STRONGEST_ALPHA = 0.5
_UNSEEN_BRIGHTNESS = 0.55


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """How one axis of the frame lies in the plane, in pixels of each."""

    frame_start: int
    frame_length: int
    plane_start: int
    plane_length: int
    plane_size: int

    def cells(self, count: int, frame_size: int, drawn_size: int) -> NDArray[np.float32]:
        """Return, for each drawn pixel, where it lies among ``count`` cells; NaN outside what the model saw."""
        frame = (np.arange(drawn_size) + 0.5) * frame_size / drawn_size
        seen = (frame >= self.frame_start) & (frame <= self.frame_start + self.frame_length)
        plane = self.plane_start + (frame - self.frame_start) * self.plane_length / self.frame_length
        cells = plane * count / self.plane_size - 0.5
        return np.where(seen, cells, np.nan).astype(np.float32)


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
    gray = _display(intensity.to_8_bits(frame.pixels, bits=frame.bits))
    placed = on_frame(screening.evidence, frame.pixels.shape, preprocessing, size=gray.shape)
    excess = _excess(placed, rule)
    image = _outlined(_coloured(gray, excess), excess)
    return caption.below(image, screening)


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Return a picture as PNG bytes."""
    return cv2.imencode(".png", image)[1].tobytes()


def on_frame(
    evidence: NDArray[np.float64],
    frame_shape: tuple[int, ...],
    preprocessing: Preprocessing,
    *,
    size: tuple[int, ...],
) -> NDArray[np.float32]:
    """Return the evidence (h, w) interpolated to where it lies in the frame.

    Args:
        evidence: one value per cell; the cells divide the plane evenly.
        frame_shape: (rows, columns) of the frame.
        preprocessing: that led to the plane.
        size: (rows, columns) to return, a scaled copy of the frame.

    Returns:
        ``size`` in units of the logit; NaN where the frame was cropped away.
    """
    vertical, horizontal = _axes(frame_shape, preprocessing)
    y = vertical.cells(evidence.shape[0], frame_shape[0], size[0])
    x = horizontal.cells(evidence.shape[1], frame_shape[1], size[1])
    map_x, map_y = np.meshgrid(np.nan_to_num(x, nan=0.0), np.nan_to_num(y, nan=0.0))
    values = cv2.remap(evidence.astype(np.float32), map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    outside = np.isnan(y)[:, None] | np.isnan(x)[None, :]
    return np.where(outside, np.float32(np.nan), np.asarray(values, np.float32))


def _axes(frame_shape: tuple[int, ...], preprocessing: Preprocessing) -> tuple[_Axis, _Axis]:
    """Follow the crops and the resize of the steps along both axes."""
    start, length = [0, 0], list(frame_shape)
    placed = [(0, preprocessing.height), (0, preprocessing.width)]
    for step in preprocessing.steps:
        if isinstance(step, CropBorder):
            kept = geometry.crop_border(np.empty(length, np.uint8), step.fraction).shape
            start = [s + (old - new) // 2 for s, old, new in zip(start, length, kept, strict=True)]
            length = list(kept)
        elif isinstance(step, Resize) and step.fit == "letterbox":
            size = (preprocessing.height, preprocessing.width)
            inner = geometry.fitted_size(*length, height=size[0], width=size[1])
            placed = [((whole - part) // 2, part) for whole, part in zip(size, inner, strict=True)]
    sizes = (preprocessing.height, preprocessing.width)
    vertical, horizontal = (
        _Axis(
            frame_start=start[i],
            frame_length=length[i],
            plane_start=placed[i][0],
            plane_length=placed[i][1],
            plane_size=sizes[i],
        )
        for i in (0, 1)
    )
    return vertical, horizontal


def _display(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bring the longer side to 512..1024 px, proportions kept."""
    longer = max(gray.shape)
    factor = min(max(longer, MIN_SIDE_PX), MAX_SIDE_PX) / longer
    if factor == 1:
        return gray
    rows, columns = (max(1, round(side * factor)) for side in gray.shape)
    how = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(gray, (columns, rows), interpolation=how), np.uint8)


def _excess(placed: NDArray[np.float32], rule: DecisionRule) -> NDArray[np.float64]:
    """Return the calibrated log-odds of each place above those of the threshold; NaN stays."""
    threshold = min(max(rule.operating_point.threshold, 1e-6), 1 - 1e-6)
    asked = math.log(threshold / (1.0 - threshold))
    return rule.calibration.slope * placed.astype(np.float64) + rule.calibration.intercept - asked


def _coloured(gray: NDArray[np.uint8], excess: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colour the gray picture by the excess; the weaker, the more transparent; dim what was not seen."""
    strength = np.clip(np.nan_to_num(excess) / scale.TOP_LOG_ODDS, 0.0, 1.0)
    alpha = (_STRONGEST_ALPHA * np.sqrt(strength))[..., None]
    ground = gray * np.where(np.isnan(excess), _UNSEEN_BRIGHTNESS, 1.0)
    return np.asarray(np.round(ground[..., None] * (1 - alpha) + scale.colours(strength) * alpha), np.uint8)


def _outlined(image: NDArray[np.uint8], excess: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Draw the line where the excess is 0, light over dark so that it shows on any ground."""
    seen = np.asarray(~np.isnan(excess), np.uint8)
    inside = np.asarray(np.nan_to_num(excess, nan=-1.0) >= 0, np.uint8)
    contours, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    width = max(1, max(image.shape) // 640)
    margin = 2 * (width + 3) + 1
    # The edge of what was seen is no line of the map: keep clear of it.
    core = cv2.erode(seen, np.ones((margin, margin), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    for colour, thickness in ((0.0, width + 2), (255.0, width)):
        line = cv2.drawContours(np.zeros_like(seen), contours, -1, 255, thickness, cv2.LINE_AA)
        alpha = (np.asarray(line * core, np.float64) / 255)[..., None]
        image = np.asarray(np.round(image * (1 - alpha) + colour * alpha), np.uint8)
    return image
