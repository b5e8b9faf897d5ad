"""Stage: a saved float network to int8 by quantization-aware training, timed, with its peak memory and its error.

python -m architectures.convert WORK NAME STEPS
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

import kept
import machine
from architectures.networks import NETWORKS, Network
from converters import export, qat, tflite_converter
from edgemed import tflite

SEED, BATCH, CALIBRATION, PROBES = 17, 16, 256, 64


def main(work: Path, name: str, steps: int) -> None:
    network, folder, watch = NETWORKS[name], work / name, machine.Stopwatch()
    data = kept.arrays(folder / "data.npz")
    model = keras.models.load_model(folder / "float.keras", compile=False)
    calibration, probes = network.inputs(data["train_planes"][:CALIBRATION]), data["validation_planes"][:PROBES]
    with watch.step("quantize and calibrate"):
        twin = qat.quantization_aware(model, input_ranges={model.inputs[0].name: network.input_range})
        qat.calibrate(twin, calibration)
    with watch.step("convert"):
        calibrated = export.int8_tflite(twin, calibration)
    before = snr_db(model, calibrated, network.inputs(probes))
    with watch.step("train"):
        loss = train(twin, network, data, steps)
    raw = export.int8_tflite(twin, calibration)
    peak = machine.peak_mib()
    kept.write_bytes(folder / "int8.tflite", raw)
    found = tflite.read(raw, source=f"{name}.tflite")
    kept.write_json(
        folder / "measured.json",
        {
            "parameters": model.count_params(),
            "size_bytes": len(raw),
            "operators": len(found.operators),
            "float_tensors": len(tflite.float_tensors(found)),
            "steps": watch.steps,
            "qat_steps": steps,
            "qat_loss": loss,
            "peak_mib": peak,
            "snr_db_calibrated": before,
            "snr_db_converter": snr_db(model, tflite_converter.int8(model, calibration), network.inputs(probes)),
            "snr_db_trained": snr_db(qat.float_model(twin), raw, network.inputs(probes)),
        },
    )


def train(twin: keras.Model, network: Network, data: dict[str, NDArray[Any]], steps: int) -> float:
    network.compile(twin, learning_rate=1e-4, steps=steps)
    chosen = np.random.default_rng(SEED + 1).integers(0, len(data["train_planes"]), size=steps * BATCH)
    planes, labels = data["train_planes"][chosen], data["train_labels"][chosen]
    history = twin.fit(
        network.inputs(planes), network.targets(planes, labels), batch_size=BATCH, shuffle=False, verbose=0
    )
    return float(history.history["loss"][-1])


def snr_db(model: keras.Model, raw: bytes, inputs: NDArray[np.float32]) -> dict[str, float]:
    """Return, by output, 10 log10(sum (f - mean f)^2 / sum (f - q)^2): f of the float model, q of the int8 file."""
    answers = model.predict(inputs, batch_size=BATCH, verbose=0)
    expected = answers if isinstance(answers, dict) else {model.output_names[0]: answers}
    got = answers_of(raw, inputs)
    if len(expected) == 1 and len(got) == 1:  # a lone output may carry another name in the file
        got = dict(zip(expected, got.values(), strict=True))
    return {name: round(_ratio_db(values, got[name]), 2) for name, values in expected.items()}


def _ratio_db(expected: NDArray[Any], got: NDArray[Any]) -> float:
    values = expected.astype(np.float64)
    error = float(np.sum((values - got) ** 2))
    # Of the variation alone: a bias that every image shares is no signal.
    return 10 * math.log10(float(np.sum((values - values.mean()) ** 2)) / error) if error else math.inf


def answers_of(raw: bytes, inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Return every output of an int8 file in real units, by name of its signature, first axis N."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=raw, num_threads=1).get_signature_runner()
    ((source, detail),) = runner.get_input_details().items()
    scale, zero_point = detail["quantization"]
    parts = []
    for one in inputs:
        stored = np.clip(np.round(one / scale) + zero_point, -128, 127).astype(np.int8)
        parts.append(runner(**{source: stored[np.newaxis]}))
    details = runner.get_output_details()
    found = {}
    for name in parts[0]:
        scale, zero_point = details[name]["quantization"]
        found[name] = (np.concatenate([part[name] for part in parts]).astype(np.float64) - zero_point) * scale
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
