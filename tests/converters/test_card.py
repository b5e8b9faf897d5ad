from __future__ import annotations

import msgspec
import pytest

from converters import card
from converters.parity import Area, Parity
from edgemed.bundle.manifest import ArtifactDocument
from edgemed.runtime.golden import Entry, Tolerance
from edgemed.runtime.interpreter import Kernels
from tests.runtime import tiny

DESCRIPTION = ArtifactDocument(
    name="tiny",
    task="classify",
    intended_use="Tests.",
    modalities=("US",),
    body_part="PHANTOM",
    labels=("plain", "blob"),
    targets=("generic-x86-64",),
    outputs=("logit",),
)
FACTS = card.Facts(
    schema=1,
    recipe="tiny",
    seed=3,
    licence="CC BY 4.0",
    citation="Nobody 2024",
    limits="One phantom.",
    separation="Validation shares no patient with train.",
    pretrained_sha256=None,
    train_images=64,
    train_digest="sha256:" + "0" * 64,
    validation_images=40,
    validation_digest="sha256:" + "1" * 64,
    history=((0.5, 0.9),),
    best_epoch=0,
    quantization_epochs=1,
    versions={"python": "3.11.0"},
    converter_versions={"tensorflow": "2.21.0"},
)
PARITY = Parity(
    schema=1,
    split="validation",
    n=40,
    n_abnormal=20,
    auc_float=Area(value=0.95, ci95=(0.9, 0.98)),
    auc_int8=Area(value=0.94, ci95=(0.89, 0.97)),
    difference=Area(value=-0.01, ci95=(-0.02, 0.003)),
    margin=0.05,
    threshold_float=0.4,
    threshold_int8=0.41,
    flipped=2,
    passed=True,
)
TOLERANCE = Tolerance(
    schema=1,
    reference="litert/xnnpack/x86-64",
    entries=(
        Entry(
            backend="litert",
            kernels=Kernels.REFERENCE,
            architecture="x86-64",
            n=40,
            plane_gray=0,
            logit_lsb=2,
            score=0.0123,
        ),
    ),
)


def _rendered(**changes: object) -> str:
    return card.render(
        DESCRIPTION, msgspec.structs.replace(FACTS, **changes), tiny.rule(tiny.model()), PARITY, TOLERANCE
    )


@pytest.mark.parametrize(
    "line",
    [
        "- Task: classify, plain / blob",
        "Trained on 64 images, validated on 40. Validation shares no patient with train. Test images took no part.",
        "Training started from random weights.",
        "- AUC float 0.9500 [0.9000, 0.9800], int8 0.9400 [0.8900, 0.9700]; difference -0.0100 [-0.0200, +0.0030], "
        "margin 0.05",
        "- Decisions that differ, float and int8 each at its own threshold: 2 of 40",
        "| litert | reference | x86-64 | 40 | 2 | 0.0123 |",
        "One phantom.",
    ],
)
def test_card_states_what_was_measured(line: str) -> None:
    assert line in _rendered().splitlines()


def test_separation_is_the_recipes_own() -> None:
    text = _rendered(separation="Validation shares no near-duplicate with train; patients are not known.")
    assert "no near-duplicate with train; patients are not known. Test images" in text
    assert "no patient" not in text


def test_pretrained_weights_are_named_by_their_digest() -> None:
    digest = "sha256:" + "a" * 64
    assert f"Training started from pretrained weights, {digest}." in _rendered(pretrained_sha256=digest)
