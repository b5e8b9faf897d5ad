"""A depthwise-separable network in MobileNetV1's proportions: about 50 to 300 thousand parameters at alpha 0.25.

Plain 3 x 3 depthwise and 1 x 1 convolutions with ReLU; optional additions. Small planes keep their resolution with
``stem_strides=1``: 28 x 28 ends as 4 x 4 after 10 blocks.
"""

from __future__ import annotations

from pathlib import Path

import keras
from keras import layers

from edgemed.errors import ConfigError
from edgemed.training.models import pretraining
from edgemed.training.models.blocks import convolution, evidence_head, plane_range, rounded_channels

__all__ = ["ds_cnn"]

# Howard et al. 2017, table 1: output channels and stride of each depthwise-separable block.
_BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *((512, 1),) * 5,
    (1024, 2),
    (1024, 1),
)


def ds_cnn(
    *,
    height: int,
    width: int,
    alpha: float = 0.25,
    depth: int = 13,
    stem_strides: int = 2,
    residual: bool = False,
    outputs: int = 1,
    embedding: int = 64,
    dropout: float = 0.2,
    pretrained: Path | None = None,
) -> keras.Model:
    """Return the first ``depth`` depthwise-separable blocks with an evidence head.

    Args:
        height: of the plane, at least the network's stride; it need not be a multiple of it.
        width: likewise.
        alpha: width multiplier of MobileNetV1.
        depth: blocks kept, 1..13.
        stem_strides: of the first convolution, 1 or 2.
        residual: blocks that change neither size nor channels add their input before the ReLU.
        outputs: K, number of logits.
        embedding: C, channels of the last convolution and length of the embedding.
        dropout: share of feature channels dropped while training, 0..1.
        pretrained: an npz of MobileNetV1 of width 0.25 (MLPerf Tiny's visual wake words), or a ``.keras`` file of this
            network; None for random weights.

    Raises:
        ConfigError: a plane smaller than the stride, or weights of another network.

    Source: Howard et al., "MobileNets", arXiv:1704.04861, 2017.
    """
    kept = _BLOCKS[:depth]
    stride = stem_strides * 2 ** sum(strides == 2 for _, strides in kept)
    if min(height, width) < stride:
        raise ConfigError(
            f"model: expected a height and width of {stride} at least, the stride of this network, got "
            f"{height} x {width}; lower model.depth or model.stem_strides"
        )
    plane = keras.Input((height, width, 1), name="plane")
    x = convolution(plane_range(plane), rounded_channels(32, alpha), kernel=3, strides=stem_strides, name="stem")
    x = layers.ReLU(name="stem_relu")(x)
    for index, (channels, strides) in enumerate(kept, start=1):
        x = _block(x, index=index, channels=rounded_channels(channels, alpha), strides=strides, residual=residual)
    model = keras.Model(plane, evidence_head(x, outputs=outputs, embedding=embedding, dropout=dropout))
    if pretrained is not None:
        pretraining.start_ds_cnn(model, pretrained)
    return model


def _block(x: keras.KerasTensor, *, index: int, channels: int, strides: int, residual: bool) -> keras.KerasTensor:
    prefix, source = f"block_{index}_", x
    x = layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False, name=prefix + "depthwise")(x)
    x = layers.BatchNormalization(epsilon=1e-3, momentum=0.99, name=prefix + "depthwise_BN")(x)
    x = layers.ReLU(name=prefix + "depthwise_relu")(x)
    x = convolution(x, channels, name=prefix + "pointwise")
    if residual and strides == 1 and source.shape[-1] == channels:
        x = layers.Add(name=prefix + "add")([source, x])
    return layers.ReLU(name=prefix + "pointwise_relu")(x)
