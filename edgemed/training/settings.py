"""How a float model is trained, as the recipe's parts ``fit`` and ``distillation`` say it.

Everything that is off by default changes nothing: a recipe written before an option existed trains as it did.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = ["Count", "Distillation", "Fit", "Rate", "ScoreCalibration"]

Rate = Annotated[float, Meta(gt=0.0, le=1.0)]
Count = Annotated[int, Meta(ge=1, le=100_000)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]


class Fit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Float training: AdamW, linear warm-up, then a cosine to zero.

    Attributes:
        label_smoothing: share of each label's weight that is spread over all labels.
        loss: on the logits; ``focal`` gives less weight to images that are right already.
        focal_gamma: how much less; 0 is cross-entropy.
        balance: ``labels`` gives every label the same weight over an epoch, ``none`` every image. ``sampled`` shows as
            many images of each label as the rarest one has, drawn anew each epoch: shorter by what an epoch leaves out.
        mixup: shape of the Beta distribution that the share of a second picture is drawn from; 0 turns it off.
        cutmix: likewise, of a rectangle's area that is taken from a second picture. With both, each batch draws one.
        mixed: probability that a batch is mixed at all.
        ema: share of the averaged weights that one step keeps; they are what is validated and saved. 0 turns it off.
        backbone_lr: learning rate of everything before the evidence head, as a share of the head's; 0 freezes it.
        frozen_below: layers before the first whose name starts so keep their weights and their normalisation's
            statistics; a step then costs about half. None trains all.
        precision: of the layers' arithmetic; weights stay float32, and so does the model that is saved.
        select: which epoch is saved: of the highest validation AUC (the lower loss decides a tie), of the lowest
            validation loss, or the last.
    """

    seed: Annotated[int, Meta(ge=0, lt=1 << 31)]
    epochs: Count
    batch: Count
    learning_rate: Rate
    warmup_epochs: Annotated[float, Meta(ge=0.0)]
    weight_decay: Share
    label_smoothing: Annotated[float, Meta(ge=0.0, lt=0.5)]
    loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    focal_gamma: Annotated[float, Meta(ge=0.0, le=10.0)] = 2.0
    balance: Literal["labels", "sampled", "none"] = "labels"
    mixup: Annotated[float, Meta(ge=0.0, le=10.0)] = 0.0
    cutmix: Annotated[float, Meta(ge=0.0, le=10.0)] = 0.0
    mixed: Share = 1.0
    ema: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.0
    backbone_lr: Share = 1.0
    frozen_below: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    select: Literal["auc", "loss", "last"] = "auc"


class Distillation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Learning from the answers of larger models beside the labels.

    Attributes:
        teachers: run folders or ``.keras`` files, relative to the working directory, where none are given on the
            command line; their probabilities are averaged.
        temperature: both sides' logits are divided by it before they are compared.
        weight: share of the loss that the teachers have; the labels have the rest.
    """

    teachers: Annotated[tuple[str, ...], Meta(max_length=32)] = ()
    temperature: Annotated[float, Meta(gt=0.0, le=100.0)] = 1.0
    weight: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.5


class ScoreCalibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a conversion fits scores and thresholds on, beside validation as it is.

    Attributes:
        views: copies of each validation image, changed as ``augmentation`` changes a train image. Validation was taken
            like train; what a unit of another hospital takes is more like its copies.
    """

    views: Annotated[int, Meta(ge=0, le=16)] = 0
