"""From a fake-quantized twin to an int8 TFLite file, checked to hold integers only.

raw = export.int8_tflite(twin, planes)
"""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray

from converters import tflite_converter

__all__ = ["int8_tflite"]

_FEW = 8  # planes for a converter that insists on some


def int8_tflite(twin: keras.Model, planes: NDArray[np.uint8]) -> bytes:
    """Return the int8 TFLite file of a fake-quantized model: batch 1, int8 input and outputs, the names it gives them.

    Args:
        twin: trained or calibrated result of `converters.qat.quantization_aware`.
        planes: (N, H, W) uint8, N >= 1. The converter insists on a representative set and gets the first few; the
            ranges of the twin win over it.

    Raises:
        ValueError: no plane was given.
        ConversionError: the converter refused the model, or a tensor is left that is not an integer.
    """
    if len(planes) == 0:
        raise ValueError("planes: expected at least one, got none")
    return tflite_converter.int8(twin, planes[:_FEW])
