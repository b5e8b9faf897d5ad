"""Tensors as values: scale and zero point, both directions, and the look-up tables of the input.

    q = Quantization(scale=0.5, zero_point=-3)
    tensors.dequantize(tensors.quantize(values, q), q)

Source: TensorFlow Lite 8-bit quantization specification, r = S * (q - Z).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Quantization", "TensorSpec", "dequantize", "input_table", "quantize", "real_table"]


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """Scale (> 0, finite) and zero point (-128..127) of one int8 tensor."""

    scale: float
    zero_point: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale: expected a finite number above 0, got {self.scale!r}")
        if not -128 <= self.zero_point <= 127:
            raise ValueError(f"zero_point: expected -128..127, got {self.zero_point!r}")


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """Name in the signature, static shape, numpy dtype name, and quantization (None for a float tensor).

    A float32 tensor of a model is in real units; grey levels 0..255 for its plane.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantization: Quantization | None


def quantize(values: NDArray[np.floating], q: Quantization) -> NDArray[np.int8]:
    """Map real values to the integers that stand for them, saturating at the ends.

    Args:
        values: any shape, finite, in the unit the model was trained on.
        q: scale > 0; zero point in -128..127.

    Returns:
        Same shape: clip(round(values / scale) + zero_point, -128, 127); ties away from zero.

    Raises:
        ValueError: a value is NaN or infinite.

    Source: TensorFlow Lite 8-bit quantization specification, r = S * (q - Z).
    """
    real = np.asarray(values, dtype=np.float64)
    if not np.isfinite(real).all():
        raise ValueError("values: expected finite numbers, got NaN or infinity")
    scaled = real / q.scale
    rounded = np.copysign(np.floor(np.abs(scaled) + 0.5), scaled)
    integers: NDArray[np.int8] = np.clip(rounded + q.zero_point, -128, 127).astype(np.int8)
    return integers


def dequantize(values: NDArray[np.int8], q: Quantization) -> NDArray[np.float64]:
    """Return scale * (values - zero_point) in float64, same shape."""
    # int8 minus int8 overflows: widen first.
    real: NDArray[np.float64] = (values.astype(np.int32) - q.zero_point) * np.float64(q.scale)
    return real


def input_table(q: Quantization) -> NDArray[np.int8]:
    """Return the (256,) int8 table that maps a plane's grey level to the input tensor's integer."""
    table = quantize(np.arange(256, dtype=np.float64), q)
    table.setflags(write=False)
    return table


def real_table() -> NDArray[np.float32]:
    """Return the (256,) float32 table that maps a plane's grey level to a float input tensor: the level itself."""
    table = np.arange(256, dtype=np.float32)
    table.setflags(write=False)
    return table
