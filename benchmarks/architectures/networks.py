"""The networks: the zoo's, two of keras.applications as anyone builds them, and a U-Net.

Each is a value that says what it takes and what it is trained to answer, so that one code trains and converts all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from edgemed.training import models


@dataclass(frozen=True, kw_only=True)
class Network:
    """One architecture.

    Attributes:
        side: pixels of the plane.
        channels: of its input: 1, or 3 for a replicated plane.
        input_range: lowest and highest value of its input; grey levels 0..255 are mapped on it.
        reconstructs: trained to give the plane back, in 0..1, from a noisy one; else to tell abnormal from normal.
    """

    label: str
    side: int
    channels: int
    input_range: tuple[float, float]
    reconstructs: bool
    build: Callable[[], keras.Model]

    def inputs(self, planes: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return planes (N, H, W) as the network takes them: float32 (N, H, W, channels)."""
        low, high = self.input_range
        values = planes.astype(np.float32) / 255 * (high - low) + low
        return np.repeat(values[..., np.newaxis], self.channels, axis=-1)

    def targets(self, planes: NDArray[np.uint8], labels: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return what training asks for."""
        if self.reconstructs:
            return planes[..., np.newaxis].astype(np.float32) / 255
        return labels[:, np.newaxis].astype(np.float32)

    def compile(self, model: keras.Model, *, learning_rate: float, steps: int) -> None:
        """Compile with Adam under a warm-up and a cosine to zero; only the logit of several outputs is trained."""
        loss: Any = keras.losses.MeanSquaredError()
        if not self.reconstructs:
            loss = keras.losses.BinaryCrossentropy(from_logits=True)
        if isinstance(model.output, dict):
            loss = {name: loss if name == "logit" else None for name in model.output}
        # XLA compiles depthwise convolutions to slow loops on a CPU.
        model.compile(optimizer=_adam(learning_rate, steps), loss=loss, jit_compile=False)


def _adam(learning_rate: float, steps: int) -> keras.optimizers.Optimizer:
    warmup = steps // 5
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate / 20, decay_steps=steps - warmup, warmup_target=learning_rate, warmup_steps=warmup
    )
    # Clipped: EfficientNet from random weights runs away otherwise.
    return keras.optimizers.Adam(schedule, clipnorm=1.0)


def _zoo() -> keras.Model:
    return models.mobilenet_v2(height=160, width=160, cut="block_12")


def _mobilenet_v2() -> keras.Model:
    return keras.applications.MobileNetV2(
        input_shape=(96, 96, 3), alpha=0.35, weights=None, classes=1, classifier_activation=None
    )


def _efficientnet_b0() -> keras.Model:
    return keras.applications.EfficientNetB0(
        input_shape=(64, 64, 3), weights=None, classes=1, classifier_activation=None
    )


def _unet() -> keras.Model:
    plane = x = keras.Input((96, 96, 1), name="plane")
    x = layers.Rescaling(1 / 255, name="range")(x)
    skipped = []
    for depth, channels in enumerate((16, 32, 64)):
        x = _twice(x, channels, name=f"down_{depth}")
        skipped.append(x)
        x = layers.MaxPooling2D(name=f"pool_{depth}")(x)
    x = _twice(x, 128, name="bottom")
    for depth, channels in ((2, 64), (1, 32)):
        x = layers.Conv2DTranspose(channels, 2, strides=2, name=f"up_{depth}")(x)
        x = layers.Concatenate(name=f"join_{depth}")([skipped[depth], x])
        x = _twice(x, channels, name=f"merge_{depth}")
    x = layers.UpSampling2D(interpolation="bilinear", name="up_0")(x)
    x = layers.Concatenate(name="join_0")([skipped[0], x])
    x = _twice(x, 16, name="merge_0")
    return keras.Model(plane, layers.Conv2D(1, 1, name="mask")(x), name="unet")


def _twice(x: keras.KerasTensor, channels: int, *, name: str) -> keras.KerasTensor:
    for place in "ab":
        x = layers.Conv2D(channels, 3, padding="same", use_bias=False, name=f"{name}_{place}")(x)
        x = layers.BatchNormalization(name=f"{name}_{place}_norm")(x)
        x = layers.ReLU(name=f"{name}_{place}_relu")(x)
    return x


NETWORKS = {
    "zoo": Network(
        label="zoo MobileNetV2 to block 12, 160 px",
        side=160,
        channels=1,
        input_range=(0.0, 255.0),
        reconstructs=False,
        build=_zoo,
    ),
    "mobilenet-v2-0.35": Network(
        label="keras.applications MobileNetV2 0.35, 96 px",
        side=96,
        channels=3,
        input_range=(-1.0, 1.0),
        reconstructs=False,
        build=_mobilenet_v2,
    ),
    "efficientnet-b0": Network(
        label="keras.applications EfficientNetB0, 64 px",
        side=64,
        channels=3,
        input_range=(0.0, 255.0),
        reconstructs=False,
        build=_efficientnet_b0,
    ),
    "unet": Network(
        label="U-Net, 96 px", side=96, channels=1, input_range=(0.0, 255.0), reconstructs=True, build=_unet
    ),
}
