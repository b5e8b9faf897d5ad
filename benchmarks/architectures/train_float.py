"""Stage: a few steps of float training on real planes, so that the network's activations are those of one in use.

python -m architectures.train_float WORK NAME DATA_FOLDER STEPS
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np

import kept
import xray
from architectures.networks import NETWORKS

SEED, BATCH = 17, 16
_MOMENTUM = 0.9  # of normalisations: the statistics of keras.applications would need thousands of steps
_PLANES = {"train": 1024, "validation": 256}  # of each split, the first of a seeded order


def main(work: Path, name: str, folder: Path, steps: int) -> None:
    network = NETWORKS[name]
    data = _planes(folder, network.side)
    kept.write_arrays(work / name / "data.npz", **data)
    keras.utils.set_random_seed(SEED)
    model = network.build()
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = _MOMENTUM
    network.compile(model, learning_rate=1e-3, steps=steps)
    order = np.random.default_rng(SEED).integers(0, len(data["train_planes"]), size=steps * BATCH)
    chosen = data["train_planes"][order]
    history = model.fit(
        _disturbed(network.inputs(chosen)) if network.reconstructs else network.inputs(chosen),
        network.targets(chosen, data["train_labels"][order]),
        batch_size=BATCH,
        shuffle=False,
        verbose=0,
    )
    aside = work / name / ".writing.keras"
    model.save(aside)
    aside.replace(work / name / "float.keras")
    kept.write_json(work / name / "float.json", {"steps": steps, "loss": history.history["loss"][-1]})


def _planes(folder: Path, side: int) -> dict[str, np.ndarray]:
    divided = xray.divided(folder, side=side, validation_fraction=0.25)
    rng, found = np.random.default_rng(SEED), {}
    for split, part in (("train", divided.train), ("validation", divided.validation)):
        chosen = rng.permutation(len(part.planes))[: _PLANES[split]]
        found |= {f"{split}_planes": part.planes[chosen], f"{split}_labels": part.labels[chosen]}
    return found


def _disturbed(inputs: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(SEED).normal(0.0, 16.0, inputs.shape).astype(np.float32)
    return np.clip(inputs + noise, 0.0, 255.0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
