"""Stage: edgemed's quantization-aware training. The one file that touches its interface.

python -m peers.qat_ours WORK SEED
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import keras
import numpy as np

import kept
import machine
from converters import export, qat
from peers import exchange, network


def main(work: Path, seed: int) -> None:
    settings, data = exchange.settings(work), kept.arrays(work / "data.npz")
    shared, folder = work / f"seed-{seed}", work / f"seed-{seed}" / "edgemed-qat"
    watch = machine.Stopwatch()
    keras.utils.set_random_seed(seed)
    model = network.build(keras, side=settings.side)
    apart = exchange.load_network(shared / "float_weights.npz", model, data["validation_planes"])
    with watch.step("train"):
        twin = qat.quantization_aware(model, input_ranges={"plane": qat.PLANE_RANGE})
        qat.calibrate(twin, data["calibration"])
        epochs = kept.arrays(shared / "qat_epochs.npz")
        steps = len(epochs["planes"]) * math.ceil(epochs["planes"].shape[1] / settings.batch)
        network.compile_for_qat(keras, twin, learning_rate=settings.qat_learning_rate, steps=steps)
        fit(twin, epochs, settings.batch)
    with watch.step("convert"):
        raw = export.int8_tflite(twin, data["calibration"])
    kept.write_bytes(folder / "model.tflite", raw)
    exchange.measured(folder, watch, ("keras", "tensorflow-cpu", "numpy"), rebuilt_float_difference=apart)


def fit(twin: keras.Model, epochs: dict[str, np.ndarray], batch: int) -> None:
    for place, (planes, labels, weights) in enumerate(
        zip(epochs["planes"], epochs["labels"], epochs["weights"], strict=True)
    ):
        history = twin.fit(
            exchange.network_input(planes), labels, sample_weight=weights, batch_size=batch, shuffle=False, verbose=0
        )
        print(f"edgemed epoch {place + 1}/{len(epochs['planes'])}: loss {history.history['loss'][-1]:.4f}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
