"""The model zoo: small Keras networks that keep the model contract and Edge TPU's operator set.

Input plane: float32 (batch, H, W, 1) with grey levels 0..255, as `edgemed.imaging.preprocess` makes them; the change of
range is the graph's first layer. Outputs by name: ``logit`` (batch, K), ``evidence`` (batch, h, w, K) whose spatial
mean is the logit, ``embedding`` (batch, C).

    model = models.mobilenet_v2(height=160, width=160, cut="block_12_add", pretrained=path)
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import layers

from edgemed.errors import ConfigError

__all__ = ["MOBILENET_V2_CUTS", "mobilenet_v2"]

# Sandler et al. 2018, table 2: expansion, output channels, repeats, stride of the first.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
_BLOCKS = sum(stage[2] for stage in _STAGES)

#: Names a network may be cut at: the end of each residual block.
MOBILENET_V2_CUTS = tuple(f"block_{index}" for index in range(1, _BLOCKS))


def mobilenet_v2(
    *,
    height: int,
    width: int,
    cut: str,
    alpha: float = 1.0,
    outputs: int = 1,
    embedding: int = 128,
    dropout: float = 0.2,
    pretrained: Path | None = None,
) -> keras.Model:
    """Return MobileNetV2 up to the block ``cut``, with an evidence head.

    Args:
        height: of the plane; a multiple of 32, so that ``same`` padding equals the original's explicit padding.
        width: likewise.
        cut: the last block kept, one of `MOBILENET_V2_CUTS`.
        alpha: width multiplier of the original.
        outputs: K, number of logits.
        embedding: C, channels of the last convolution and length of the embedding.
        dropout: share of feature channels dropped while training, 0..1.
        pretrained: Keras weights of ``MobileNetV2(include_top=False)`` of the same alpha; None for random weights.
            The three-channel first kernel is summed over its input channels, which is the same function of a gray
            picture replicated to three channels.

    Raises:
        ConfigError: a size that is no multiple of 32, an unknown cut, or weights of another network.

    Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018.
    """
    if height % 32 or width % 32:
        raise ConfigError(f"model: expected a height and width that are multiples of 32, got {height} x {width}")
    if cut not in MOBILENET_V2_CUTS:
        raise ConfigError(f"model.cut: expected one of {MOBILENET_V2_CUTS[0]}..{MOBILENET_V2_CUTS[-1]}, got {cut!r}")
    plane = keras.Input((height, width, 1), name="plane")
    features = _backbone(plane, alpha=alpha, last=int(cut.removeprefix("block_")))
    model = keras.Model(plane, _evidence_head(features, outputs=outputs, embedding=embedding, dropout=dropout))
    if pretrained is not None:
        _load_pretrained(model, pretrained, alpha=alpha)
    return model


def _backbone(plane: keras.KerasTensor, *, alpha: float, last: int) -> keras.KerasTensor:
    # 1/128 and -1 are exact in int8: grey level p becomes the integer p - 128 with scale 1/128 and zero point 0.
    x = layers.Rescaling(1 / 128, offset=-1.0, name="range")(plane)
    x = _convolution(x, _channels(32, alpha), kernel=3, strides=2, name="Conv1", batch_name="bn_Conv1")
    x = layers.ReLU(6.0, name="Conv1_relu")(x)
    index = 0
    for expansion, channels, repeats, strides in _STAGES:
        for repeat in range(repeats):
            if index <= last:
                x = _block(
                    x,
                    index=index,
                    expansion=expansion,
                    channels=_channels(channels, alpha),
                    strides=strides if repeat == 0 else 1,
                )
            index += 1
    return x


def _block(x: keras.KerasTensor, *, index: int, expansion: int, channels: int, strides: int) -> keras.KerasTensor:
    """Return the inverted residual block, its layers named as in ``keras.applications``."""
    prefix = f"block_{index}_" if index else "expanded_conv_"
    source = x
    if index:
        x = _convolution(x, expansion * source.shape[-1], name=prefix + "expand")
        x = layers.ReLU(6.0, name=prefix + "expand_relu")(x)
    x = layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False, name=prefix + "depthwise")(x)
    x = layers.BatchNormalization(epsilon=1e-3, momentum=0.99, name=prefix + "depthwise_BN")(x)
    x = layers.ReLU(6.0, name=prefix + "depthwise_relu")(x)
    x = _convolution(x, channels, name=prefix + "project")
    if strides == 1 and source.shape[-1] == channels:
        x = layers.Add(name=prefix + "add")([source, x])
    return x


def _convolution(
    x: keras.KerasTensor, channels: int, *, name: str, batch_name: str = "", kernel: int = 1, strides: int = 1
) -> keras.KerasTensor:
    x = layers.Conv2D(channels, kernel, strides=strides, padding="same", use_bias=False, name=name)(x)
    return layers.BatchNormalization(epsilon=1e-3, momentum=0.99, name=batch_name or name + "_BN")(x)


def _channels(channels: int, alpha: float) -> int:
    """Round to the nearest multiple of 8 that loses at most 10 %, as the original does."""
    rounded = max(8, int(channels * alpha + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels * alpha else rounded


def _evidence_head(
    features: keras.KerasTensor, *, outputs: int, embedding: int, dropout: float
) -> dict[str, keras.KerasTensor]:
    x = _convolution(features, embedding, name="head")
    x = layers.ReLU(6.0, name="head_relu")(x)
    pooled = layers.GlobalAveragePooling2D(name="embedding")(x)
    x = layers.SpatialDropout2D(dropout, name="head_dropout")(x)
    evidence = layers.Conv2D(outputs, 1, name="evidence")(x)
    logit = layers.GlobalAveragePooling2D(name="logit")(evidence)
    return {"logit": logit, "evidence": evidence, "embedding": pooled}


def _load_pretrained(model: keras.Model, path: Path, *, alpha: float) -> None:
    """Copy the weights of every layer that the original has under the same name."""
    original = keras.applications.MobileNetV2(input_shape=(96, 96, 3), alpha=alpha, include_top=False, weights=None)
    try:
        original.load_weights(path)
    except (OSError, ValueError) as err:
        raise ConfigError(
            f"{path.name}: expected Keras weights of MobileNetV2 with alpha {alpha} and no top, got another file; "
            "give the file with --pretrained, or train from random weights with --from-scratch"
        ) from err
    names = {layer.name for layer in original.layers}
    for layer in model.layers:
        if layer.name not in names or not layer.weights:
            continue
        weights = original.get_layer(layer.name).get_weights()
        if layer.name == "Conv1":
            weights = [np.sum(weights[0], axis=2, keepdims=True)]
        layer.set_weights(weights)
