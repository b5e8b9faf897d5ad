"""Stage: fine-tune the float network in Keras 3 and export it; an interrupted run goes on after its last whole epoch.

No epoch is picked by validation: the last one stands.

    python -m peers.train_float WORK SEED PRETRAINED
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

import kept
import machine
import xray
from edgemed.training.augment import Augmentation
from edgemed.training.batches import Batches
from peers import exchange, network

Epoch = tuple[np.ndarray, np.ndarray, np.ndarray]


def epoch_arrays(data: dict[str, np.ndarray], augmentation: Augmentation, *, seed: int, epoch: int, size: int) -> Epoch:
    """Return one epoch's planes (n, H, W) uint8, labels (n, 1) and weights (n,), augmented, in training order."""
    parts = Batches(data["train_planes"], data["train_labels"], augmentation, seed=seed, epoch=epoch, size=size)
    batches = [parts[place] for place in range(len(parts))]
    planes = np.concatenate([np.asarray(batch[0])[..., 0].astype(np.uint8) for batch in batches])
    labels = np.concatenate([batch[1]["logit"] for batch in batches])
    return planes, labels, np.concatenate([batch[2]["logit"] for batch in batches])


def main(work: Path, seed: int, pretrained: Path) -> None:
    settings, data = exchange.settings(work), kept.arrays(work / "data.npz")
    folder = work / f"seed-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    augmentation = xray.augmentation()
    watch = machine.Stopwatch()
    keras.utils.set_random_seed(seed)
    model, done = _begun(folder, settings, pretrained, steps=_steps(settings, data))
    for epoch in range(done, settings.float_epochs):
        with watch.step(f"epoch {epoch + 1}"):
            planes, labels, weights = epoch_arrays(data, augmentation, seed=seed, epoch=epoch, size=settings.batch)
            history = model.fit(
                exchange.network_input(planes),
                labels,
                sample_weight=weights,
                batch_size=settings.batch,
                shuffle=False,
                verbose=0,
            )
        print(f"float epoch {epoch + 1}/{settings.float_epochs}: loss {history.history['loss'][-1]:.4f}", flush=True)
        _keep(model, folder, epoch)
    _save_qat_epochs(folder, settings, data, augmentation, seed=seed)
    exchange.save_network(folder / "float_weights.npz", model, data["validation_planes"])
    kept.write_bytes(folder / "float.tflite", float_tflite(folder, settings, data["validation_planes"]))
    exchange.measured(folder / "float", watch, ("keras", "tensorflow-cpu", "numpy"))


def _steps(settings: exchange.Settings, data: dict[str, np.ndarray]) -> int:
    return settings.float_epochs * math.ceil(len(data["train_labels"]) / settings.batch)


def _begun(folder: Path, settings: exchange.Settings, pretrained: Path, *, steps: int) -> tuple[Any, int]:
    """Return the model and how many epochs it has behind it."""
    whole = sorted(folder.glob("checkpoint-*.keras"))
    if whole:
        return keras.models.load_model(whole[-1]), int(whole[-1].stem.split("-")[1]) + 1
    model = network.build(keras, side=settings.side)
    _start_from(model, pretrained, side=settings.side)
    warmup = steps // (2 * settings.float_epochs)
    schedule = keras.optimizers.schedules.CosineDecay(
        2.5e-5, decay_steps=steps - warmup, warmup_target=5e-4, warmup_steps=warmup
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(schedule, weight_decay=0.02, clipnorm=1.0),
        loss=keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=network.LABEL_SMOOTHING),
        jit_compile=False,
    )
    return model, 0


def _start_from(model: Any, pretrained: Path, *, side: int) -> None:
    original = keras.applications.MobileNetV2(input_shape=(side, side, 3), include_top=False, weights=None)
    original.load_weights(pretrained)
    for layer in original.layers:
        if layer.weights:
            model.get_layer(layer.name).set_weights(layer.get_weights())


def _keep(model: Any, folder: Path, epoch: int) -> None:
    aside = folder / f".writing-{epoch:04d}.keras"
    model.save(aside)
    aside.replace(folder / f"checkpoint-{epoch:04d}.keras")
    for older in folder.glob("checkpoint-*.keras"):
        if older.name != f"checkpoint-{epoch:04d}.keras":
            older.unlink()


def _save_qat_epochs(
    folder: Path, settings: exchange.Settings, data: dict[str, np.ndarray], augmentation: Augmentation, *, seed: int
) -> None:
    """Write the pictures that every quantization-aware training sees, in order: epochs after the float ones."""
    parts = [
        epoch_arrays(data, augmentation, seed=seed, epoch=settings.float_epochs + epoch, size=settings.batch)
        for epoch in range(settings.qat_epochs)
    ]
    planes, labels, weights = (np.stack([part[place] for part in parts]) for place in range(3))
    kept.write_arrays(folder / "qat_epochs.npz", planes=planes, labels=labels, weights=weights)


def float_tflite(folder: Path, settings: exchange.Settings, probes: np.ndarray) -> bytes:
    """Return the float model as TFLite, batch 1: the reference, and what ai-edge-quantizer starts from."""
    import tensorflow as tf

    single = network.build(keras, side=settings.side, batch=1)
    exchange.load_network(folder / "float_weights.npz", single, probes)
    return bytes(tf.lite.TFLiteConverter.from_keras_model(single).convert())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
