"""Stage: edgemed's post-training quantization, as ``edgemed convert --mode ptq`` does it.

Biases are corrected, then the TFLite converter sets the ranges.

python -m peers.ptq_ours WORK SEED
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras

import kept
import machine
from converters import bias_correction, calibration, ptq
from peers import exchange, network


def main(work: Path, seed: int) -> None:
    settings, data = exchange.settings(work), kept.arrays(work / "data.npz")
    shared, folder = work / f"seed-{seed}", work / f"seed-{seed}" / "edgemed-ptq"
    watch = machine.Stopwatch()
    model = network.build(keras, side=settings.side)
    apart = exchange.load_network(shared / "float_weights.npz", model, data["validation_planes"])
    with watch.step("convert"):
        chosen = calibration.of(data["calibration"], name="train")
        raw = ptq.int8_tflite(bias_correction.corrected(model, chosen), chosen)
    kept.write_bytes(folder / "model.tflite", raw)
    exchange.measured(folder, watch, ("keras", "tensorflow-cpu", "numpy"), rebuilt_float_difference=apart)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
