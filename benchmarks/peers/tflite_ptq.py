"""Stage: post-training quantization by the TFLite converter, full int8, from the Keras 3 float model.

python -m peers.tflite_ptq WORK SEED
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import kept
import machine
from peers import exchange, network


def main(work: Path, seed: int) -> None:
    settings, data = exchange.settings(work), kept.arrays(work / "data.npz")
    shared, folder = work / f"seed-{seed}", work / f"seed-{seed}" / "tflite-ptq"
    watch = machine.Stopwatch()
    model = network.build(keras, side=settings.side, batch=1)
    apart = exchange.load_network(shared / "float_weights.npz", model, data["validation_planes"])
    with watch.step("convert"):
        raw = int8_tflite(model, exchange.network_input(data["calibration"]))
    kept.write_bytes(folder / "model.tflite", raw)
    exchange.measured(folder, watch, ("keras", "tensorflow-cpu", "numpy"), rebuilt_float_difference=apart)


def int8_tflite(model: keras.Model, planes: np.ndarray) -> bytes:
    def representative() -> Iterator[list[np.ndarray]]:
        for plane in planes:
            yield [plane[np.newaxis]]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    return bytes(converter.convert())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
