"""From a fake-quantized twin to an int8 TFLite file, checked to hold integers only.

raw = export.int8_tflite(twin, planes)
"""

from __future__ import annotations

from collections.abc import Mapping

import keras

from converters import elu, qat, tflite_converter
from converters.qat import Inputs

__all__ = ["int8_tflite"]

_FEW = 8  # inputs for a converter that insists on some


def int8_tflite(twin: keras.Model, inputs: Inputs) -> bytes:
    """Return the int8 TFLite file of a fake-quantized model: batch 1, int8 inputs and outputs, the names it gives them.

    Args:
        twin: trained or calibrated result of `converters.qat.quantization_aware`.
        inputs: as `converters.qat.calibrate` takes them, N >= 1. The converter insists on a representative set and
            gets the first few; the ranges of the twin win over it.

    Raises:
        ValueError: no input was given, or not as many of each.
        ConversionError: the converter refused the model, or a tensor is left that is not an integer.
    """
    qat.count(inputs)
    few = {name: array[:_FEW] for name, array in inputs.items()} if isinstance(inputs, Mapping) else inputs[:_FEW]
    return elu.through(twin, lambda model: tflite_converter.int8(model, few))
