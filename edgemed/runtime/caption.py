"""The strip below an overlay: decision, score, operating point, colour scale, and what the picture is not for.

image = caption.below(image, screening)
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed.runtime import scale
from edgemed.runtime.decision import Decision
from edgemed.runtime.screening import Screening

__all__ = ["DISCLAIMER", "below"]

DISCLAIMER = "Research use only, not for diagnosis"
HEIGHT_PX, MIN_WIDTH_PX = 84, 512
_GROUND, _TEXT, _FAINT = (28, 24, 22), (240, 240, 240), (170, 165, 160)
_MARGIN_PX = 16
_BAR_PX = (150, 10)
# Blue first. Okabe and Ito 2008: told apart with any colour vision; the word stands beside the colour all the same.
_DECISION = {
    Decision.ALERT: (0, 94, 213),
    Decision.CLEAR: (178, 114, 0),
    Decision.INDETERMINATE: (0, 159, 230),
    Decision.REFUSED: (120, 120, 120),
}


def below(image: NDArray[np.uint8], screening: Screening) -> NDArray[np.uint8]:
    """Return the picture on a dark ground of at least 512 px width, with the strip under it.

    Args:
        image: (rows, columns, 3) uint8, blue first.
        screening: with a score and a threshold.
    """
    rows, columns = image.shape[:2]
    width = max(columns, MIN_WIDTH_PX)
    canvas = np.full((rows + HEIGHT_PX, width, 3), _GROUND, np.uint8)
    left = (width - columns) // 2
    canvas[:rows, left : left + columns] = image
    strip = canvas[rows:]
    _write_decision(strip, screening)
    _draw_scale(strip)
    return canvas


def _write_decision(strip: NDArray[np.uint8], screening: Screening) -> None:
    cv2.rectangle(strip, (0, 0), (5, HEIGHT_PX), _DECISION[screening.decision], cv2.FILLED)
    x = _MARGIN_PX
    _write(strip, f"{screening.decision.value.upper()}   score {screening.score:.2f}", (x, 28), 0.62, _TEXT)
    _write(strip, f"{screening.operating_point}, threshold {screening.threshold:.2f}", (x, 50), 0.42, _FAINT)
    _write(strip, DISCLAIMER, (x, 71), 0.42, _FAINT)


def _draw_scale(strip: NDArray[np.uint8]) -> None:
    """Draw the colour scale and what the outline means at the right end."""
    width, height = _BAR_PX
    left, top = strip.shape[1] - _MARGIN_PX - width, 30
    ramp = np.linspace(0.0, 1.0, width)[None].repeat(height, axis=0)
    strip[top : top + height, left : left + width] = scale.colours(ramp)
    _write(strip, "evidence above threshold", (left, top - 9), 0.38, _FAINT)
    _write(strip, "0", (left, top + height + 16), 0.38, _FAINT)
    _write(strip, f"{scale.TOP_LOG_ODDS:.0f} log-odds", (left + width - 68, top + height + 16), 0.38, _FAINT)
    _write(strip, "white line: threshold", (left, top + height + 33), 0.38, _FAINT)


def _write(strip: NDArray[np.uint8], text: str, at: tuple[int, int], size: float, colour: tuple[int, int, int]) -> None:
    cv2.putText(strip, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)
