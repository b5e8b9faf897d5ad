"""A model's outputs as real numbers, and how far two models' answers lie apart.

    read = outputs.reader(spec)
    real = read(tensor)
    outputs.lsb_apart(real, reference, quantization)

A float model may answer NaN or infinity, which no int8 model can: that is refused where it is read.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgemed import tensors
from edgemed.errors import BundleError, InferenceError
from edgemed.runtime.interpreter import Tensor
from edgemed.tensors import Quantization, TensorSpec

__all__ = ["lsb_apart", "quantization", "reader"]


def reader(spec: TensorSpec) -> Callable[[Tensor], NDArray[np.float64]]:
    """Return what turns an output into real numbers in float64: chosen once, so that no frame pays for the choice.

    The function raises `InferenceError` where a float output is NaN or infinite.

    Raises:
        BundleError: the output is int8 without one scale and zero point.
    """
    if spec.dtype == "float32":
        return functools.partial(_finite, name=spec.name)
    return functools.partial(tensors.dequantize, q=quantization(spec))


def quantization(spec: TensorSpec) -> Quantization:
    """Return the scale and zero point of an int8 tensor.

    Raises:
        BundleError: it has none, or several.
    """
    if spec.quantization is None:
        raise BundleError(f"model: {spec.name}: expected one scale and zero point, got none; convert to full int8")
    return spec.quantization


def lsb_apart(real: NDArray[np.float64], reference: NDArray[np.int8], q: Quantization) -> int:
    """Return the largest difference from an int8 reference, in its LSB, rounded up.

    What lies beyond the reference's range counts as its end: the reference could not have said more.

    Args:
        real: answers of any model, in real units.
        reference: the reference's answers, of the same shape.
        q: scale and zero point of the reference.
    """
    lowest, highest = tensors.dequantize(np.array([-128, 127], np.int8), q)
    apart = np.abs(np.clip(real, lowest, highest) - tensors.dequantize(reference, q)).max() / q.scale
    # Equal scales give whole numbers but for the last bits of the division.
    return math.ceil(round(float(apart), 3))


def _finite(values: Tensor, *, name: str) -> NDArray[np.float64]:
    """Return a float output in float64; NaN would be no score, and neither an alert nor clear."""
    real = values.astype(np.float64)
    if not np.isfinite(real).all():
        raise InferenceError(f"model: output {name}: expected finite numbers, got NaN or infinity")
    return real
