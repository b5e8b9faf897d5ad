"""The colour scale of evidence: one scale for every picture, so that two pictures can be compared.

colours = scale.colours(strength)
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["TOP_LOG_ODDS", "colours"]

TOP_LOG_ODDS = 12.0
"""Excess over the threshold, in calibrated log-odds, that has the strongest colour; more looks the same."""

# Viridis rises evenly in lightness and is told apart with any colour vision; its dark start would only dim the picture.
_FIRST = 80


def colours(strength: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the colour, blue first, of each strength in [0, 1]: shape (..., 3) for a 2-D input."""
    levels = np.asarray(np.round(_FIRST + (255 - _FIRST) * strength), np.uint8)
    return np.asarray(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS), np.uint8)
