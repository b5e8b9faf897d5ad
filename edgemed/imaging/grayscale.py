"""The DICOM grayscale pipeline as one table: stored value -> modality -> VOI -> brightness.

Rules: a frame has at most 2^16 different stored values, so the pipeline runs once over all of them in float64 and
pixels only look up. The result uses the full range of its type: uint8 for up to 8 bits stored, uint16 above.

    table = grayscale.table(bits=12, signed=False, modality=None, voi=Window(center=2048.0, width=4096.0))
    pixels = table[stored]

Sources: DICOM PS3.3 C.11.1 (modality LUT), C.11.2 (VOI LUT), C.7.6.3.1.2 (MONOCHROME1), PS3.4 N.2 (order).
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemed.imaging.frame import Pixels

__all__ = ["LookUp", "Rescale", "VoiFunction", "Window", "table"]


class VoiFunction(enum.Enum):
    """VOI LUT Function (0028,1056)."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


@dataclass(frozen=True, kw_only=True)
class Rescale:
    """value = slope * stored + intercept; slope is not 0, both finite."""

    slope: float
    intercept: float

    def __post_init__(self) -> None:
        if self.slope == 0 or not (math.isfinite(self.slope) and math.isfinite(self.intercept)):
            raise ValueError("RescaleSlope, RescaleIntercept: expected finite numbers and a slope other than 0")


@dataclass(frozen=True, kw_only=True, eq=False)
class LookUp:
    """A modality or VOI LUT: ``values[clip(round(x) - first, 0, n - 1)]``, values of ``bits`` significant bits."""

    first: int
    bits: int
    values: NDArray[np.uint16]

    def __post_init__(self) -> None:
        if not 8 <= self.bits <= 16 or self.values.size == 0:
            raise ValueError("LUTDescriptor: expected 8 to 16 bits and at least one entry")
        self.values.setflags(write=False)

    def at(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the entries that belong to ``x``, any shape, in float64."""
        index = np.clip(np.rint(x) - self.first, 0, self.values.size - 1).astype(np.intp)
        found: NDArray[np.uint16] = self.values.take(index)
        return found.astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class Window:
    """Window centre c and width w: which values become black and which white."""

    center: float
    width: float
    function: VoiFunction = VoiFunction.LINEAR

    def __post_init__(self) -> None:
        least = 1.0 if self.function is VoiFunction.LINEAR else 0.0
        usable = math.isfinite(self.center) and math.isfinite(self.width) and self.width >= least and self.width > 0
        if not usable:
            raise ValueError(
                "WindowCenter, WindowWidth: expected finite numbers, and a width of at least 1 (LINEAR) or above 0"
            )

    def at(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return brightness in [0, 1]: PS3.3 C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID), C.11.2.1.3.2 (EXACT).

        LINEAR: clip((x - (c - 0.5)) / (w - 1) + 0.5); for w = 1 a step at c - 0.5.
        LINEAR_EXACT: clip((x - c) / w + 0.5). SIGMOID: 1 / (1 + exp(-4 (x - c) / w)).
        """
        if self.function is VoiFunction.SIGMOID:
            # exp overflows past 709; 1 / (1 + e^700) is 0 in any image.
            exponent = np.clip(-4.0 * (x - self.center) / self.width, -700.0, 700.0)
            return np.asarray(1.0 / (1.0 + np.exp(exponent)), dtype=np.float64)
        if self.function is VoiFunction.LINEAR_EXACT:
            return np.clip((x - self.center) / self.width + 0.5, 0.0, 1.0)
        if self.width == 1.0:
            return (x > self.center - 0.5).astype(np.float64)
        return np.clip((x - (self.center - 0.5)) / (self.width - 1.0) + 0.5, 0.0, 1.0)


def table(
    *, bits: int, signed: bool, modality: Rescale | LookUp | None, voi: Window | LookUp | None, inverted: bool = False
) -> Pixels:
    """Return brightness for each stored bit pattern: (2^bits,), uint8 when bits <= 8, else uint16 of 16 bits.

    brightness = floor(top * y + 0.5), top = 255 or 65535, y in [0, 1] from the VOI; without one, y is the place
    of the value between the least and the greatest that this depth can hold, so that frames keep their exposure.
    ``inverted`` (MONOCHROME1, where the least value is white) takes 1 - y.

    Args:
        bits: BitsStored, 8..16.
        signed: patterns from 2^(bits - 1) on are negative, two's complement.
        modality: applied first.
        voi: applied to the result.
        inverted: least is white.
    """
    patterns = np.arange(1 << bits, dtype=np.int64)
    stored = np.where(patterns >> (bits - 1) == 1, patterns - (1 << bits), patterns) if signed else patterns
    values, low, high = _modality(stored.astype(np.float64), modality)
    y = _voi(values, voi, low, high)
    if inverted:
        y = 1.0 - y
    top = 255 if bits <= 8 else 65535
    levels = np.floor(top * y + 0.5)
    return levels.astype(np.uint8) if bits <= 8 else levels.astype(np.uint16)


def _modality(
    stored: NDArray[np.float64], modality: Rescale | LookUp | None
) -> tuple[NDArray[np.float64], float, float]:
    """Return the values after the modality step, and the least and greatest that are possible."""
    if isinstance(modality, LookUp):
        return modality.at(stored), 0.0, float((1 << modality.bits) - 1)
    values = stored if modality is None else modality.slope * stored + modality.intercept
    return values, float(values.min()), float(values.max())


def _voi(values: NDArray[np.float64], voi: Window | LookUp | None, low: float, high: float) -> NDArray[np.float64]:
    if isinstance(voi, LookUp):
        return np.minimum(voi.at(values) / ((1 << voi.bits) - 1), 1.0)
    if voi is not None:
        return voi.at(values)
    return np.clip((values - low) / (high - low), 0.0, 1.0)
