"""Grey-level histograms of every split, one panel a label, drawn for the contact sheet."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed.training.inspection.document import Levels

__all__ = ["curves"]

_HEIGHT_PX = 190
_PANEL_PX = 500
_MARGIN_PX = 18
_TITLE_PX = 24
_COLOURS = ((180, 90, 20), (30, 140, 230), (40, 40, 200), (80, 160, 60), (160, 60, 160))
_INK, _FRAME = (40, 40, 40), (200, 200, 200)


def curves(levels: Sequence[Levels], *, width: int) -> NDArray[np.uint8]:
    """Return a picture ``width`` pixels wide: share of the pixels (up) by grey level (right), a colour a split."""
    labels = list(dict.fromkeys(one.label for one in levels))
    splits = list(dict.fromkeys(one.split for one in levels))
    in_a_row = max(1, width // _PANEL_PX)
    rows = max(1, -(-len(labels) // in_a_row))
    canvas = np.full((rows * _HEIGHT_PX, width, 3), 255, np.uint8)
    for place, label in enumerate(labels):
        top, left = place // in_a_row * _HEIGHT_PX, place % in_a_row * _PANEL_PX
        panel = canvas[top : top + _HEIGHT_PX, left : left + _PANEL_PX]
        _panel(panel, label, [one for one in levels if one.label == label], splits)
    return canvas


def _panel(panel: NDArray[np.uint8], label: str, levels: Sequence[Levels], splits: Sequence[str]) -> None:
    bottom, right = panel.shape[0] - _MARGIN_PX, panel.shape[1] - _MARGIN_PX
    cv2.rectangle(panel, (_MARGIN_PX, _TITLE_PX), (right, bottom), _FRAME, 1)
    _write(panel, label[:16], (_MARGIN_PX, 16), _INK)
    _write(panel, "0", (_MARGIN_PX, bottom + 14), _INK)
    _write(panel, "grey level 255", (right - 96, bottom + 14), _INK)
    highest = max(max(one.histogram) for one in levels) or 1.0
    for one in levels:
        colour = _COLOURS[splits.index(one.split) % len(_COLOURS)]
        x = np.linspace(_MARGIN_PX, right, len(one.histogram))
        y = bottom - np.array(one.histogram) / highest * (bottom - _TITLE_PX - 4)
        points = np.stack([x, y], axis=1).round().astype(np.int32)
        cv2.polylines(panel, [points], isClosed=False, color=colour, thickness=1, lineType=cv2.LINE_AA)
        _write(panel, f"{one.split[:10]} ({one.images})", (right - 112 * (len(levels) - levels.index(one)), 16), colour)


def _write(panel: NDArray[np.uint8], text: str, place: tuple[int, int], colour: tuple[int, int, int]) -> None:
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(panel, plain, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)
