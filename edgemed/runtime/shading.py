"""Evidence as colour and line over a gray picture, for the eye, the gray print, and any colour vision.

Colour shows by how much the evidence of a place exceeds what the threshold asks for, in log-odds and on a scale that is
the same in every picture. The line runs where it just reaches it; ticks on the line point to where there is more, and a
cross marks where there is most, so that nothing is told by colour alone. Line and cross are light over dark, and show
on any ground.

    image = shading.coloured(gray, excess, seen)
    shading.outline(image, excess, seen)
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed.runtime import scale

__all__ = ["coloured", "outline"]

_STRONGEST_ALPHA = 0.5
_UNSEEN_BRIGHTNESS = 0.55
_TOP, _UNSEEN = 254, 255  # levels: 0..254 rise with the excess, the last is of places that the model did not see
_TICK_PX, _TICK_EVERY_PX, _CROSS_PX = 5, 26, 13
_EVEN = 1e-3  # log-odds; interpolation leaves less than that of differences where there are none
_DARK, _LIGHT = (0, 0, 0), (255, 255, 255)


def coloured(
    gray: NDArray[np.uint8],
    excess: NDArray[np.float32],
    seen: NDArray[np.uint8],
    *,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Colour a gray picture by the excess; the weaker, the more transparent; dim what was not seen.

    Args:
        gray: (rows, columns) uint8.
        excess: of the same shape, log-odds above the threshold's.
        seen: of the same shape, 1 where the model looked.
        out: (rows, columns, 3) uint8 to draw into; None for a new one.
    """
    levels = cv2.convertScaleAbs(np.clip(excess, 0.0, scale.TOP_LOG_ODDS), alpha=_TOP / scale.TOP_LOG_ODDS)
    levels[seen == 0] = _UNSEEN
    ground = cv2.multiply(gray, cv2.LUT(levels, _GROUND), scale=1.0 / 255.0)
    image = cv2.applyColorMap(levels, _COLOUR)
    return np.asarray(cv2.add(image, cv2.cvtColor(ground, cv2.COLOR_GRAY2BGR), dst=out), np.uint8)


def outline(image: NDArray[np.uint8], excess: NDArray[np.float32], seen: NDArray[np.uint8]) -> None:
    """Draw line, ticks and cross into a picture (rows, columns, 3), at a width that suits its size."""
    inside = np.asarray((excess >= 0.0) & (seen != 0), np.uint8)
    contours, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    unit = max(1, max(image.shape) // 640)
    border = _border(seen, width=unit + 3)
    before = image.copy()
    ticks = [tick for contour in contours for tick in _ticks(np.asarray(contour[:, 0], np.int32), excess, border, unit)]
    for colour, thickness in ((_DARK, unit + 2), (_LIGHT, unit)):
        cv2.drawContours(image, contours, -1, colour, thickness, cv2.LINE_AA)
        cv2.polylines(image, ticks, isClosed=False, color=colour, thickness=thickness, lineType=cv2.LINE_AA)
    # The edge of what was seen is no line of the map.
    cv2.copyTo(before, border, image)
    _cross(image, excess, seen, unit)


def _border(seen: NDArray[np.uint8], *, width: int) -> NDArray[np.uint8]:
    """Return 1 within ``width`` px of the edge of what was seen, and outside it."""
    around = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    core = cv2.erode(seen, around, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(core == 0, np.uint8)


def _ticks(
    contour: NDArray[np.int32], excess: NDArray[np.float32], border: NDArray[np.uint8], unit: int
) -> list[NDArray[np.int32]]:
    """Return short lines from a closed contour (n, 2) of x, y, each towards the higher side."""
    if len(contour) < _TICK_EVERY_PX * unit:
        return []
    at = contour[:: _TICK_EVERY_PX * unit]
    # Across the chord over some pixels: single steps of a contour have eight directions only.
    chord = (np.roll(contour, -4, axis=0) - np.roll(contour, 4, axis=0))[:: _TICK_EVERY_PX * unit]
    length = np.maximum(np.hypot(chord[:, 0], chord[:, 1]), 1e-6)
    normal = np.stack([-chord[:, 1], chord[:, 0]], axis=1) / length[:, None] * (_TICK_PX * unit + 1)
    ends = [np.rint(at + sign * normal).astype(np.int32) for sign in (1, -1)]
    values = [_sampled(excess, end) for end in ends]
    higher = np.where((values[0] >= values[1])[:, None], ends[0], ends[1])
    return [np.stack(pair) for pair in zip(at, higher, strict=True) if not border[pair[0][1], pair[0][0]]]


def _sampled(values: NDArray[np.float32], points: NDArray[np.int32]) -> NDArray[np.float32]:
    rows, columns = values.shape
    return values[np.clip(points[:, 1], 0, rows - 1), np.clip(points[:, 0], 0, columns - 1)]


def _cross(image: NDArray[np.uint8], excess: NDArray[np.float32], seen: NDArray[np.uint8], unit: int) -> None:
    """Mark the place of the most evidence, if it exceeds the threshold; an even map has none."""
    lowest, highest, _, at = cv2.minMaxLoc(excess, mask=seen)
    if highest <= 0.0 or highest - lowest < _EVEN:
        return
    for colour, thickness in ((_DARK, unit + 2), (_LIGHT, unit)):
        cv2.drawMarker(image, at, colour, cv2.MARKER_CROSS, _CROSS_PX * unit + thickness, thickness, cv2.LINE_AA)


def _tables() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return, for each level, the share of 255 that is left of the gray picture, and the colour that is added."""
    strength = np.arange(_TOP + 1) / _TOP
    alpha = _STRONGEST_ALPHA * np.sqrt(strength)
    ground = np.append(255.0 * (1.0 - alpha), 255.0 * _UNSEEN_BRIGHTNESS)
    colour = np.zeros((256, 1, 3))
    colour[: _TOP + 1] = scale.colours(strength[:, None]) * alpha[:, None, None]
    return np.rint(ground).astype(np.uint8), np.rint(colour).astype(np.uint8)


_GROUND, _COLOUR = _tables()
