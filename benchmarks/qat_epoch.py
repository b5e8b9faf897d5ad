"""One epoch of float and of quantization-aware training, timed on the Keras backend at hand: a stage of `qat_backends`.

KERAS_BACKEND=jax python -m qat_epoch RESULT.json IMAGES BATCH
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

import kept
import machine
from converters import qat
from edgemed.training import models

SEED, SIDE = 17, 160


def main(result: Path, images: int, batch: int) -> None:
    rng = np.random.default_rng(SEED)
    planes = rng.integers(0, 256, (images, SIDE, SIDE, 1)).astype(np.float32)
    labels = rng.integers(0, 2, (images, 1)).astype(np.float32)
    keras.utils.set_random_seed(SEED)
    model = models.mobilenet_v2(height=SIDE, width=SIDE, cut="block_12")
    twin = qat.quantization_aware(model, input_ranges={"plane": qat.PLANE_RANGE})
    qat.calibrate(twin, planes[:batch])
    watch = machine.Stopwatch()
    for name, network in (("float", model), ("quantized", twin)):
        _compile(network)
        with watch.step(f"{name}, first batch"):
            _epoch(network, planes[:batch], labels[:batch], batch)
        with watch.step(name):
            _epoch(network, planes, labels, batch)
    backend = keras.backend.backend()
    kept.write_json(
        result,
        {
            "backend": backend,
            "device": _device(backend),
            "version": _version(backend),
            "images": images,
            "batch": batch,
            "steps": watch.steps,
            "peak_mib": machine.peak_mib(),
        },
    )


def _compile(network: keras.Model) -> None:
    loss = {"logit": keras.losses.BinaryCrossentropy(from_logits=True), "evidence": None, "embedding": None}
    # XLA compiles depthwise convolutions to slow loops on a CPU; JAX knows nothing else.
    network.compile(optimizer=keras.optimizers.Adam(1e-4), loss=loss, jit_compile=keras.backend.backend() == "jax")


def _epoch(network: keras.Model, planes: np.ndarray, labels: np.ndarray, batch: int) -> None:
    network.fit(planes, {"logit": labels}, batch_size=batch, shuffle=False, verbose=0)


def _version(backend: str) -> str:
    return str(importlib.import_module(backend).__version__)


def _device(backend: str) -> str:
    """Return the accelerator that computes, or ``CPU``."""
    found: Any = None
    if backend == "jax":
        import jax

        found = jax.devices()[0]
        return "CPU" if found.platform == "cpu" else str(found.device_kind)
    if backend == "torch":
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(found[0])["device_name"] if found else "CPU"


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
