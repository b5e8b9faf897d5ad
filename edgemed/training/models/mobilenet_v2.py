"""MobileNetV2, cut at any block or whole, from Keras' own weights where they are given."""

from __future__ import annotations

from pathlib import Path

import keras
from keras import layers

from edgemed.errors import ConfigError
from edgemed.training.models import pretraining
from edgemed.training.models.blocks import convolution, evidence_head, plane_range, require_strides, rounded_channels

__all__ = ["MOBILENET_V2_CUTS", "mobilenet_v2"]

# Sandler et al. 2018, table 2: expansion, output channels, repeats, stride of the first.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
_BLOCKS = tuple(
    (expansion, channels, strides if repeat == 0 else 1)
    for expansion, channels, repeats, strides in _STAGES
    for repeat in range(repeats)
)
_WHOLE = "whole"

#: Names a network may be cut at: the end of each residual block, or not at all.
MOBILENET_V2_CUTS = (*(f"block_{index}" for index in range(1, len(_BLOCKS))), _WHOLE)


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
    """Return MobileNetV2 up to ``cut``, with an evidence head.

    Args:
        height: of the plane; a multiple of the stride at the cut (4 to 32), so that ``same`` padding equals the
            original's explicit padding.
        width: likewise.
        cut: the last block kept, one of `MOBILENET_V2_CUTS`.
        alpha: width multiplier of the original.
        outputs: K, number of logits.
        embedding: C, channels of the last convolution and length of the embedding.
        dropout: share of feature channels dropped while training, 0..1.
        pretrained: Keras weights of ``MobileNetV2(include_top=False)`` of the same alpha, or a ``.keras`` file of this
            network; None for random weights. The three-channel first kernel is summed over its input channels, which is
            the same function of a gray picture replicated to three channels.

    Raises:
        ConfigError: a size that is no multiple of the stride, an unknown cut, or weights of another network.

    Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018.
    """
    if cut not in MOBILENET_V2_CUTS:
        raise ConfigError(
            f"model.cut: expected one of {MOBILENET_V2_CUTS[0]}..{MOBILENET_V2_CUTS[-2]} or {_WHOLE}, got {cut!r}"
        )
    kept = _BLOCKS if cut == _WHOLE else _BLOCKS[: int(cut.removeprefix("block_")) + 1]
    require_strides(height, width, _stride(kept))
    plane = keras.Input((height, width, 1), name="plane")
    features = _backbone(plane, kept, alpha=alpha)
    if cut == _WHOLE:
        # The original widens its last layer with alpha, but never narrows it.
        last = 1280 if alpha <= 1.0 else rounded_channels(1280, alpha)
        features = layers.ReLU(6.0, name="out_relu")(convolution(features, last, name="Conv_1", batch_name="Conv_1_bn"))
    model = keras.Model(plane, evidence_head(features, outputs=outputs, embedding=embedding, dropout=dropout))
    if pretrained is not None:
        pretraining.start_mobilenet_v2(model, pretrained, alpha=alpha)
    return model


def _stride(blocks: tuple[tuple[int, int, int], ...]) -> int:
    total = 2
    for _, _, strides in blocks:
        total *= strides
    return total


def _backbone(plane: keras.KerasTensor, blocks: tuple[tuple[int, int, int], ...], *, alpha: float) -> keras.KerasTensor:
    x = plane_range(plane)
    x = convolution(x, rounded_channels(32, alpha), kernel=3, strides=2, name="Conv1", batch_name="bn_Conv1")
    x = layers.ReLU(6.0, name="Conv1_relu")(x)
    for index, (expansion, channels, strides) in enumerate(blocks):
        x = _block(x, index=index, expansion=expansion, channels=rounded_channels(channels, alpha), strides=strides)
    return x


def _block(x: keras.KerasTensor, *, index: int, expansion: int, channels: int, strides: int) -> keras.KerasTensor:
    """Return the inverted residual block, its layers named as in ``keras.applications``."""
    prefix = f"block_{index}_" if index else "expanded_conv_"
    source = x
    if index:
        x = convolution(x, expansion * source.shape[-1], name=prefix + "expand")
        x = layers.ReLU(6.0, name=prefix + "expand_relu")(x)
    x = layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False, name=prefix + "depthwise")(x)
    x = layers.BatchNormalization(epsilon=1e-3, momentum=0.99, name=prefix + "depthwise_BN")(x)
    x = layers.ReLU(6.0, name=prefix + "depthwise_relu")(x)
    x = convolution(x, channels, name=prefix + "project")
    if strides == 1 and source.shape[-1] == channels:
        x = layers.Add(name=prefix + "add")([source, x])
    return x
