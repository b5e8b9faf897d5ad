"""What the stages hand to each other: arrays and measurements in a work folder. NumPy only.

    WORK/data.npz                     planes and labels of train and validation, patients of validation, calibration
    WORK/seed-S/float_weights.npz     by layer name, and the float model's answers to the first validation planes
    WORK/seed-S/float.tflite
    WORK/seed-S/qat_epochs.npz        the batches of the quantized epochs, augmented, in order
    WORK/seed-S/METHOD/model.tflite
    WORK/seed-S/METHOD/measured.json  seconds, CPU seconds, peak memory, versions
    WORK/seed-S/METHOD/model.logits.npy  answers to validation, by LiteRT

A stage whose ``measured.json`` is there is not repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import kept
import machine

SAME_ANSWER = 1e-4  # largest difference of a float logit between two rebuilt networks
_PROBES = 64


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every stage of one run shares; kept in ``WORK/settings.json``."""

    side: int
    batch: int
    float_epochs: int
    qat_epochs: int
    qat_learning_rate: float
    calibration: int
    validation_fraction: float


def settings(work: Path) -> Settings:
    return Settings(**kept.read_json(work / "settings.json"))


def network_input(planes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return planes (N, H, W) as the network takes them: float32 (N, H, W, 1), grey levels 0..255."""
    return planes[..., np.newaxis].astype(np.float32)


def save_network(path: Path, model: Any, probes: NDArray[np.uint8]) -> None:
    """Write a Keras model's weights by layer name, and its answers to some planes."""
    named = {
        f"{layer.name}/{place}": value for layer in model.layers for place, value in enumerate(layer.get_weights())
    }
    kept.write_arrays(path, **named, _answers=_answers(model, probes))


def load_network(path: Path, model: Any, probes: NDArray[np.uint8]) -> float:
    """Give a rebuilt network its weights and return the largest difference of its answers; stop above 1e-4."""
    found = kept.arrays(path)
    for layer in model.layers:
        count = len(layer.get_weights())
        if count:
            layer.set_weights([found[f"{layer.name}/{place}"] for place in range(count)])
    difference = float(np.abs(_answers(model, probes) - found["_answers"]).max())
    if difference > SAME_ANSWER:
        raise SystemExit(f"rebuilt network: expected the float logits to {SAME_ANSWER}, got {difference:.2e} apart")
    return difference


def _answers(model: Any, probes: NDArray[np.uint8]) -> NDArray[np.float32]:
    size = model.input_shape[0] or _PROBES
    answers: NDArray[np.float32] = model.predict(network_input(probes[:_PROBES]), batch_size=size, verbose=0)[:, 0]
    return answers


def measured(folder: Path, watch: machine.Stopwatch, packages: tuple[str, ...], **facts: Any) -> None:
    """Write ``measured.json``: the last file of a method's stage."""
    kept.write_json(
        folder / "measured.json",
        {"steps": watch.steps, "peak_mib": machine.peak_mib(), "versions": versions(packages), **facts},
    )


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    return {name: metadata.version(name) for name in packages}
