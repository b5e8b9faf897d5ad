"""Small int8 TFLite models with symmetric activations: what a Jetson target's training makes, operator by operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras import layers

from converters.qat import ActivationQuantizer

SIDE = 12


def ranged(value: Any, limit: float) -> Any:
    """Fake-quantize over the range that int8 with zero point 0 and scale limit / 127 has."""
    return ActivationQuantizer(fixed=(-limit * 128 / 127, limit))(value)


def image(channels: int = 3, *, height: int = SIDE, width: int = SIDE - 1, limit: float = 4.0) -> tuple[Any, Any]:
    """Return an input (1, height, width, channels) and what follows its quantizer."""
    fed = layers.Input((height, width, channels), batch_size=1, name="plane")
    return fed, ranged(fed, limit)


def model(build: Callable[[Any], Mapping[str, Any]], **shape: Any) -> keras.Model:
    """Return the model of ``build``, which takes the quantized image and returns its outputs, quantized, by name."""
    keras.utils.set_random_seed(11)
    fed, quantized = image(**shape)
    outputs = {name: layers.Identity(name=name)(value) for name, value in build(quantized).items()}
    return keras.Model(fed, outputs)


def samples(model: keras.Model, count: int) -> np.ndarray:
    """Return seeded inputs (count, 1, H, W, C) float32, a little beyond the range of the input's quantizer."""
    return np.random.default_rng(3).uniform(-4.4, 4.4, (count, *model.input_shape)).astype(np.float32)


def tflite(model: keras.Model, *, quantize: bool = True) -> bytes:
    """Return the model as full int8 TFLite, or as float32."""
    import tensorflow as tf

    def representative() -> Iterator[list[np.ndarray]]:
        for sample in samples(model, 4):
            yield [sample]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if quantize:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
    return bytes(converter.convert())
