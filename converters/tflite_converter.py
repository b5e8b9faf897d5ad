"""The call of TensorFlow's TFLite converter: one static batch of 1, quiet, and its refusals in one line.

Every TFLite file that edgemed makes goes through here, whether its ranges come from training or from a calibration set.

    raw = tflite_converter.int8(model, planes)
    raw = tflite_converter.float16(model)
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from converters.qat import Inputs, batches
from edgemed import native_output, tflite
from edgemed.errors import ConversionError

__all__ = ["first_line", "float16", "float32", "int8"]

_LOGGER = logging.getLogger(__name__)


def int8(model: keras.Model, inputs: Inputs) -> bytes:
    """Return the int8 TFLite file of a model: batch 1, int8 inputs and outputs, the names it gives them.

    Args:
        model: functional or Sequential, float32 inputs; fake-quantized or plain.
        inputs: as `converters.qat.batches` takes them, N >= 1; they set the ranges of tensors that have none from
            training.

    Raises:
        ConversionError: the converter refused the model, or a tensor is left that is not an integer.
    """

    def representative() -> Iterator[list[NDArray[np.float32]]]:
        for one in batches(inputs, 1):
            yield [one[tensor.name] for tensor in model.inputs] if isinstance(one, dict) else [one]

    import tensorflow as tf

    converter = _converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    raw = _run(converter, model.name)
    _require_integers(raw, model.name)
    return raw


def float32(model: keras.Model) -> bytes:
    """Return the float32 TFLite file of a model: batch 1, the names it gives its input and outputs.

    Raises:
        ConversionError: the converter refused the model.
    """
    return _run(_converter(model), model.name)


def float16(model: keras.Model) -> bytes:
    """Return the TFLite file of a model with float16 weights, float32 input and outputs; batch 1, its own names.

    A back end without float16 arithmetic widens the weights and computes in float32.

    Raises:
        ConversionError: the converter refused the model.
    """
    import tensorflow as tf

    converter = _converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return _run(converter, model.name)


def _converter(model: keras.Model) -> Any:
    import tensorflow as tf

    return tf.lite.TFLiteConverter.from_keras_model(_batch_of_one(model))


def _batch_of_one(model: keras.Model) -> keras.Model:
    """Return a copy with a static batch of 1, as the device runs it."""
    inputs = [keras.Input(batch_shape=(1, *tensor.shape[1:]), name=tensor.name) for tensor in model.inputs]
    structure = inputs[0] if len(inputs) == 1 else keras.tree.pack_sequence_as(model.input, inputs)
    single = keras.models.clone_model(model, input_tensors=structure)
    single.set_weights(model.get_weights())
    return single


def _run(converter: Any, name: str) -> bytes:
    """Return what the converter makes, keeping to ourselves what it prints."""
    from tensorflow.lite.python import convert

    # The export prints to stdout and stderr, which belong to the caller; the warning says that ranges came from
    # training.
    with contextlib.redirect_stdout(io.StringIO()), native_output.to_log(_LOGGER), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return bytes(converter.convert())
        except (convert.ConverterError, ValueError, RuntimeError) as err:
            raise ConversionError(f"{name}: the TFLite converter refused the model: {_reason(err)}") from err


# As MLIR prints it: error: loc(callsite(fused["Erf:", "model/gate/Erf@__inference..."] ... 'tf.Erf' op is neither ...
_NO_TFLITE_FORM = re.compile(r"""fused\["\w+:", "([^"@]+)[^\n]*'tf\.(\w+)' op is neither""")


def _reason(err: Exception) -> str:
    """Return what a refusal is about: the operators that have no TFLite form, else the start of the message."""
    if found := dict(_NO_TFLITE_FORM.findall(str(err))):
        named = ", ".join(f"{operator} ({place})" for place, operator in sorted(found.items())[:5])
        return f"no TFLite operator computes {named}; replace those layers"
    return first_line(err)


def first_line(err: Exception) -> str:
    """Return the start of a message, or the error's class where it has none: some run to pages."""
    return next(iter(str(err).strip().splitlines()), type(err).__name__)[:300]


def _require_integers(raw: bytes, name: str) -> None:
    if left := tflite.float_tensors(tflite.read(raw, source=f"{name}.tflite")):
        names = ", ".join(tensor.name for tensor in left[:5])
        raise ConversionError(
            f"{name}: expected integer tensors only, got {len(left)} float ones: {names}; "
            "the layers that make them cannot be quantized"
        )
