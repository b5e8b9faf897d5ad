"""Stage: quantization-aware training by TensorFlow Model Optimization on tf_keras, in its own environment.

    TF_USE_LEGACY_KERAS=1 python -m peers.tfmot_qat WORK SEED START

START ``as-documented``: quantize_model, then fit; activations start at a range of -6..6 that keeps 0.999 of itself a
step. START ``ranges-first``: the ranges are set from the calibration images before training, for which TFMOT has no
call. In both, the normalised plane is tracked as TFMOT tracks an input (all values seen): users who normalise outside
the graph, because it refuses Rescaling, get no less.
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import default_8bit_quantize_registry

import kept
import machine
from peers import exchange, network

FOLDERS = {"as-documented": "tfmot", "ranges-first": "tfmot-ranges-first"}


class TrackedAsInput(default_8bit_quantize_registry.Default8BitConvQuantizeConfig):
    """TFMOT's configuration of a convolution, its output tracked as an input is."""

    def __init__(self) -> None:
        super().__init__(["kernel"], ["activation"], False)
        self.activation_quantizer = tfmot.quantization.keras.quantizers.AllValuesQuantizer(
            num_bits=8, per_axis=False, symmetric=False, narrow_range=False
        )

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds it: nothing."""
        return {}


def main(work: Path, seed: int, start: str) -> None:
    settings, data = exchange.settings(work), kept.arrays(work / "data.npz")
    shared, folder = work / f"seed-{seed}", work / f"seed-{seed}" / FOLDERS[start]
    watch = machine.Stopwatch()
    tf_keras.utils.set_random_seed(seed)
    model = network.build(tf_keras, side=settings.side)
    apart = exchange.load_network(shared / "float_weights.npz", model, data["validation_planes"])
    with watch.step("train"):
        twin = quantization_aware(model)
        epochs = kept.arrays(shared / "qat_epochs.npz")
        steps = len(epochs["planes"]) * math.ceil(epochs["planes"].shape[1] / settings.batch)
        network.compile_for_qat(tf_keras, twin, learning_rate=settings.qat_learning_rate, steps=steps)
        if start == "ranges-first":
            set_ranges(twin, exchange.network_input(data["calibration"]), settings.batch)
        fit(twin, epochs, settings.batch)
    with watch.step("convert"):
        raw = int8_tflite(twin)
    kept.write_bytes(folder / "model.tflite", raw)
    packages = ("tensorflow-model-optimization", "tf_keras", "tensorflow-cpu", "numpy")
    exchange.measured(folder, watch, packages, rebuilt_float_difference=apart)


def quantization_aware(model: Any) -> Any:
    """Return TFMOT's quantize_model(model), but for how the output of the layer ``range`` is tracked."""

    def annotated(layer: Any) -> Any:
        chosen = TrackedAsInput() if layer.name == "range" else None
        return tfmot.quantization.keras.quantize_annotate_layer(layer, quantize_config=chosen)

    marked = tf_keras.models.clone_model(model, clone_function=annotated)
    with tfmot.quantization.keras.quantize_scope({"TrackedAsInput": TrackedAsInput}):
        twin = tfmot.quantization.keras.quantize_apply(marked)
    twin.get_layer("quant_range").trainable = False  # as in the float network; TFMOT forgets it
    return twin


def fit(twin: Any, epochs: dict[str, np.ndarray], batch: int) -> None:
    for place, (planes, labels, weights) in enumerate(
        zip(epochs["planes"], epochs["labels"], epochs["weights"], strict=True)
    ):
        history = twin.fit(
            exchange.network_input(planes), labels, sample_weight=weights, batch_size=batch, shuffle=False, verbose=0
        )
        print(f"tfmot epoch {place + 1}/{len(epochs['planes'])}: loss {history.history['loss'][-1]:.4f}", flush=True)


def set_ranges(twin: Any, planes: np.ndarray, batch: int) -> None:
    """Set every activation range to the mean of what batches of calibration planes show, through TFMOT's own tracking.

    The tracked variables are read back after each batch: new = old + 0.001 * (batch - old) gives the batch's range.
    """
    tracked = [weight for weight in twin.weights if _is_activation_range(weight)]
    seen = {id(weight): [] for weight in tracked}
    norms = [layer for layer in twin.submodules if isinstance(layer, tf_keras.layers.BatchNormalization)]
    statistics = [[value.numpy() for value in (norm.moving_mean, norm.moving_variance)] for norm in norms]
    for start in range(0, len(planes), batch):
        before = [weight.numpy() for weight in tracked]
        twin(planes[start : start + batch], training=True)
        for weight, old in zip(tracked, before, strict=True):
            seen[id(weight)].append(old + (weight.numpy() - old) / 0.001)
            weight.assign(old)
    for weight in tracked:
        mean = float(np.mean(seen[id(weight)]))
        weight.assign(min(mean, 0.0) if weight.name.endswith("_min:0") else max(mean, 0.0))
    for norm, (mean, variance) in zip(norms, statistics, strict=True):
        norm.moving_mean.assign(mean)
        norm.moving_variance.assign(variance)


def _is_activation_range(weight: Any) -> bool:
    name = weight.name.split(":")[0]
    return name.endswith(("_min", "_max")) and not any(part in name for part in ("kernel", "quantize_layer", "range"))


def int8_tflite(twin: Any) -> bytes:
    converter = tf.lite.TFLiteConverter.from_keras_model(twin)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    return bytes(converter.convert())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
