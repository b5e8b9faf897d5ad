"""The network that a recipe names, as a Keras model.

model = families.build(recipe.model, height=160, width=160, outputs=1, pretrained=path)
"""

from __future__ import annotations

from pathlib import Path

import keras

from edgemed.training.models.ds_cnn import ds_cnn
from edgemed.training.models.mobilenet_v2 import mobilenet_v2
from edgemed.training.network import MobileNetV2, Network

__all__ = ["build"]


def build(network: Network, *, height: int, width: int, outputs: int, pretrained: Path | None = None) -> keras.Model:
    """Return an uncompiled model of the contract.

    Args:
        network: of a recipe; where its weights lie is for the caller to find.
        height: of the plane.
        width: of the plane.
        outputs: K, number of logits.
        pretrained: weights to start from; None for random ones.

    Raises:
        ConfigError: the network cannot have this plane, or the weights are of another network.
    """
    if isinstance(network, MobileNetV2):
        return mobilenet_v2(
            height=height,
            width=width,
            cut=network.cut,
            alpha=network.alpha,
            outputs=outputs,
            embedding=network.embedding,
            dropout=network.dropout,
            pretrained=pretrained,
        )
    return ds_cnn(
        height=height,
        width=width,
        alpha=network.alpha,
        depth=network.depth,
        stem_strides=network.stem_strides,
        residual=network.residual,
        outputs=outputs,
        embedding=network.embedding,
        dropout=network.dropout,
        pretrained=pretrained,
    )
