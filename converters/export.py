"""From a fake-quantized twin to an int8 TFLite file, checked to hold integers only.

raw = export.int8_tflite(twin, planes)
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from converters import qat
from edgemed import native_output, tflite
from edgemed.errors import ConversionError

__all__ = ["int8_tflite"]

_LOGGER = logging.getLogger(__name__)


def int8_tflite(twin: keras.Model, planes: NDArray[np.uint8]) -> bytes:
    """Return the int8 TFLite file of a fake-quantized model: batch 1, int8 input and outputs, the names it gives them.

    Args:
        twin: trained or calibrated result of `converters.qat.quantization_aware`.
        planes: (N, H, W) uint8, N >= 1. The converter insists on a representative set and gets the first 8; the ranges
            of the twin win over it.

    Raises:
        ValueError: no plane was given.
        ConversionError: the converter refused the model, or a tensor is left that is not an integer.
    """
    if len(planes) == 0:
        raise ValueError("planes: expected at least one, got none")
    raw = _converted(_batch_of_one(twin), planes)
    model = tflite.read(raw, source=f"{twin.name}.tflite")
    if left := tflite.float_tensors(model):
        names = ", ".join(tensor.name for tensor in left[:5])
        raise ConversionError(
            f"{twin.name}: expected integer tensors only, got {len(left)} float ones: {names}; "
            "the layers that make them have no quantizer"
        )
    return raw


def _batch_of_one(twin: keras.Model) -> keras.Model:
    """Return a copy with a static batch of 1, as the device runs it."""
    plane = keras.Input(batch_shape=(1, *twin.input_shape[1:]), name=twin.input.name)
    single = keras.models.clone_model(twin, input_tensors=plane)
    single.set_weights(twin.get_weights())
    return single


def _converted(single: keras.Model, planes: NDArray[np.uint8]) -> bytes:
    import tensorflow as tf

    def representative() -> Iterator[list[NDArray[np.float32]]]:
        for stack in qat.batches(planes[:8], 1):
            yield [stack]

    converter = tf.lite.TFLiteConverter.from_keras_model(single)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    # The export prints to stdout and stderr, which belong to the caller; the warning says that the ranges came from
    # training.
    with contextlib.redirect_stdout(io.StringIO()), native_output.to_log(_LOGGER), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        return bytes(_run(converter, single.name))


def _run(converter: Any, name: str) -> Any:
    from tensorflow.lite.python import convert

    try:
        return converter.convert()
    except (convert.ConverterError, ValueError, RuntimeError) as err:
        raise ConversionError(f"{name}: the TFLite converter refused the model: {_first_line(err)}") from err


def _first_line(err: Exception) -> str:
    """Return the start of a message, or the error's class where it has none: the converter's run to pages."""
    return next(iter(str(err).strip().splitlines()), type(err).__name__)[:300]
