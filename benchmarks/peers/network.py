"""The network under comparison, built by whichever Keras is handed in: Keras 3 or tf_keras.

MobileNetV2 of keras.applications, whole, alpha 1.0, on a gray plane of levels 0..255. A fixed 1x1 convolution takes the
plane to three channels in -1..1: normalisation and replication in one layer that every peer quantizes by itself
(TFMOT refuses Rescaling). The graph is flat, as TFMOT asks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# Of keras.applications is 0.999: statistics would lag behind for thousands of steps.
_MOMENTUM = 0.99
# Of the float training and of every quantization-aware one: another loss would move the model by itself.
LABEL_SMOOTHING = 0.05


def build(keras: Any, *, side: int, batch: int | None = None) -> Any:
    """Return the network: float32 plane (batch, side, side, 1) to a logit (batch, 1), random weights."""
    plane = keras.Input(shape=(side, side, 1), batch_size=batch, name="plane")
    to_range = keras.layers.Conv2D(3, 1, name="range", trainable=False)
    backbone = keras.applications.MobileNetV2(
        input_shape=(side, side, 3), input_tensor=to_range(plane), include_top=False, weights=None
    )
    to_range.set_weights([np.full((1, 1, 1, 3), 1 / 127.5, np.float32), np.full(3, -1.0, np.float32)])
    pooled = keras.layers.GlobalAveragePooling2D(name="pooled")(backbone.output)
    model = keras.Model(plane, keras.layers.Dense(1, name="logit")(pooled), name="mobilenet_v2_gray")
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = _MOMENTUM
    return model


def compile_for_qat(keras: Any, model: Any, *, learning_rate: float, steps: int) -> None:
    """Compile with what every quantization-aware training uses: Adam, a cosine to zero, the float training's loss."""
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, decay_steps=steps)
    model.compile(
        optimizer=keras.optimizers.Adam(schedule),
        loss=keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=LABEL_SMOOTHING),
        # XLA compiles depthwise convolutions to slow loops on a CPU.
        jit_compile=False,
    )
