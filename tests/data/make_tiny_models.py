"""Make ``tiny_int8.tflite``, the few-kilobyte full int8 model that tests run and read, and its float originals.

Each keeps the model contract: input (1, 16, 16, 1), outputs ``logit`` (1, 1), ``evidence`` (1, 4, 4, 1) and
``embedding`` (1, 8), the logit being the spatial mean of the evidence. ``tiny_labels_int8.tflite`` has three logits and
maps instead, one for each of three labels. ``tiny_float32.tflite`` and
``tiny_float16.tflite``, the latter with weights in float16, take and give float32. Weights are random with a fixed
seed: it screens nothing.

    python tests/data/make_tiny_models.py [FOLDER]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

SEED = 7
SHAPE = (16, 16, 1)


def tiny_model(labels: int = 1) -> keras.Model:
    """Return the float model; its input is the plane, 0..255, and each of its logits lies on both sides of 0."""
    keras.utils.set_random_seed(SEED)
    layers = keras.layers
    he = keras.initializers.HeNormal
    plane = layers.Input(SHAPE, batch_size=1, name="plane")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(plane)
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", kernel_initializer=he())(x)
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", activation="relu", depthwise_initializer=he())(x)
    features = layers.Conv2D(8, 1, activation="relu", kernel_initializer=he())(x)
    head = layers.Conv2D(labels, 1, kernel_initializer=he())
    evidence = head(features)
    outputs = {
        "logit": layers.GlobalAveragePooling2D(name="logit")(evidence),
        "evidence": layers.Identity(name="evidence")(evidence),
        "embedding": layers.GlobalAveragePooling2D(name="embedding")(features),
    }
    model = keras.Model(plane, outputs)
    head.bias.assign(-np.mean([model(one[None])["logit"][0] for one in planes(64)], axis=0))
    return model


def planes(count: int) -> np.ndarray:
    """Return ``count`` seeded planes of blobs and noise, (count, 16, 16, 1) float32 in 0..255."""
    rng = np.random.default_rng(SEED)
    coarse = rng.uniform(0, 255, (count, 4, 4, 1)).repeat(4, axis=1).repeat(4, axis=2)
    return np.clip(coarse + rng.normal(0, 20, (count, *SHAPE)), 0, 255).round().astype(np.float32)


def int8_model(model: keras.Model) -> bytes:
    """Return the model as a full int8 TFLite file, input and outputs included."""
    import tensorflow as tf

    def representative() -> Iterator[list[np.ndarray]]:
        for plane in planes(64):
            yield [plane[None]]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def float_model(model: keras.Model, *, half: bool) -> bytes:
    """Return the model as a float TFLite file, its weights in float16 where ``half`` is given."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if half:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    return bytes(converter.convert())


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    made = tiny_model()
    (folder / "tiny_int8.tflite").write_bytes(int8_model(made))
    (folder / "tiny_labels_int8.tflite").write_bytes(int8_model(tiny_model(3)))
    (folder / "tiny_float32.tflite").write_bytes(float_model(made, half=False))
    (folder / "tiny_float16.tflite").write_bytes(float_model(made, half=True))
