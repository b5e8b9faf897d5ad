"""What the families share: the change of range, a convolution with its normalisation, and the evidence head."""

from __future__ import annotations

import keras
from keras import layers

from edgemed.errors import ConfigError

__all__ = ["convolution", "evidence_head", "is_head", "plane_range", "require_strides", "rounded_channels"]

_HEAD = ("head", "head_BN", "evidence")


def plane_range(plane: keras.KerasTensor) -> keras.KerasTensor:
    """Return grey levels 0..255 as -1..1, by 1/128 and -1.

    Both are exact in int8: grey level p becomes the integer p - 128 with scale 1/128 and zero point 0.
    """
    return layers.Rescaling(1 / 128, offset=-1.0, name="range")(plane)


def convolution(
    x: keras.KerasTensor, channels: int, *, name: str, batch_name: str = "", kernel: int = 1, strides: int = 1
) -> keras.KerasTensor:
    """Return a convolution without bias and its batch normalisation, ``name`` and ``name_BN``."""
    x = layers.Conv2D(channels, kernel, strides=strides, padding="same", use_bias=False, name=name)(x)
    return layers.BatchNormalization(epsilon=1e-3, momentum=0.99, name=batch_name or name + "_BN")(x)


def evidence_head(
    features: keras.KerasTensor, *, outputs: int, embedding: int, dropout: float
) -> dict[str, keras.KerasTensor]:
    """Return the three outputs of the contract over the last features; the logit is the evidence's spatial mean."""
    x = convolution(features, embedding, name="head")
    x = layers.ReLU(6.0, name="head_relu")(x)
    pooled = layers.GlobalAveragePooling2D(name="embedding")(x)
    x = layers.SpatialDropout2D(dropout, name="head_dropout")(x)
    evidence = layers.Conv2D(outputs, 1, name="evidence")(x)
    logit = layers.GlobalAveragePooling2D(name="logit")(evidence)
    return {"logit": logit, "evidence": evidence, "embedding": pooled}


def is_head(layer_name: str) -> bool:
    """Return whether a layer of a zoo model belongs to the evidence head, not to the backbone."""
    return layer_name in _HEAD


def rounded_channels(channels: int, alpha: float) -> int:
    """Return alpha times the channels as the nearest multiple of 8 that loses at most 10 %, as the originals do."""
    rounded = max(8, int(channels * alpha + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels * alpha else rounded


def require_strides(height: int, width: int, strides: int) -> None:
    """Return when every strided layer of a network halves an even side.

    Raises:
        ConfigError: a side is no multiple of the network's stride.
    """
    if height % strides or width % strides:
        raise ConfigError(
            f"model: expected a height and width that are multiples of {strides}, the stride of this network, got "
            f"{height} x {width}; change the preprocessing's size, or keep fewer blocks"
        )
