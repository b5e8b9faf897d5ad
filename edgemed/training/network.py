"""The networks a recipe may name, as values: which family, how wide, how deep, and which weights they start from.

    model: {family: ds_cnn, alpha: 0.25, depth: 13, embedding: 64, dropout: 0.2}

`edgemed.training.models.build` makes the Keras model; nothing here needs Keras.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

__all__ = ["DsCnn", "MobileNetV2", "Network"]


class _Zoo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="family"):
    """What every family has.

    Attributes:
        alpha: width multiplier of the family's original.
        embedding: channels of the last convolution, and length of the embedding.
        dropout: share of the embedding's channels that is dropped while training.
        pretrained: weights to start from, relative to the data folder: the family's own file, a ``.keras`` file of the
            same network, or a run folder; None for random weights.
        pretrained_sha256: digest of that file; None to take any.
        pretrained_licence: of that file, for the bill of materials; None where nobody has stated one.
    """

    alpha: Annotated[float, Meta(gt=0.0, le=2.0)]
    embedding: Annotated[int, Meta(ge=8, le=1280)]
    dropout: Annotated[float, Meta(ge=0.0, lt=1.0)]
    pretrained: str | None = None
    pretrained_sha256: str | None = None
    pretrained_licence: str | None = None


class MobileNetV2(_Zoo, frozen=True, kw_only=True, tag="mobilenet_v2"):
    """MobileNetV2 up to a block.

    Attributes:
        cut: the last block kept, ``block_1`` to ``block_16``; ``whole`` keeps the 1280-channel convolution as well.
    """

    cut: str


class DsCnn(_Zoo, frozen=True, kw_only=True, tag="ds_cnn"):
    """A depthwise-separable network in the proportions of MobileNetV1.

    Attributes:
        depth: how many of its 13 blocks are kept.
        stem_strides: 1 keeps twice the resolution, for planes below about 64 pixels.
        residual: blocks that change neither size nor channels add their input.
    """

    depth: Annotated[int, Meta(ge=1, le=13)]
    stem_strides: Literal[1, 2] = 2
    residual: bool = False


Network: TypeAlias = MobileNetV2 | DsCnn
