from __future__ import annotations

import msgspec
import pytest

from converters import card
from converters.mode import Mode
from converters.parity import TopLabel
from edgemed.bundle.manifest import ArtifactDocument
from edgemed.runtime.decision import Attained
from edgemed.runtime.golden import Entry, Tolerance
from edgemed.runtime.interpreter import Kernels
from tests.converters.test_parity import PARITY
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
    origin="edgemed train",
    float_sha256="sha256:" + "2" * 64,
    pretrained_sha256=None,
    train_images=64,
    train_digest="sha256:" + "0" * 64,
    validation_images=40,
    validation_digest="sha256:" + "1" * 64,
    history=((0.5, 0.9),),
    best_epoch=0,
    quantization_epochs=1,
    quantization_learning_rate=0.001,
    versions={"python": "3.11.0"},
    converter_versions={"tensorflow": "2.21.0"},
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
        "Converted by quantization-aware training, epochs: 1.",
        "The calibration was fitted on the operating part, 120 images (60 abnormal, 40 patients or groups of "
        "near-duplicates). The gate was judged on the gate part, 100 images (50 abnormal). What keeps train and "
        "validation apart keeps them apart.",
        "- Operating point rule-out, in force (sensitivity >= 0.95): threshold 0.5000; sensitivity 0.960 [0.900, "
        "0.990], 50 abnormal; specificity 0.900 [0.800, 0.950], 50 normal",
        "- AUC float 0.9500 [0.9000, 0.9800], qat 0.9480 [0.8900, 0.9700]; difference -0.0020 [-0.0080, +0.0040], "
        "margin 0.01",
        "- At that threshold: sensitivity 0.940 [0.838, 0.979], 47 of 50; specificity 0.880 [0.762, 0.944], 44 of 50",
        "- Float model at its own threshold: sensitivity 0.960 [0.865, 0.989], 48 of 50; specificity 0.900 [0.786, "
        "0.957], 45 of 50",
        "- Decisions that differ: 4 of 100, 1 to alert and 3 to clear; right with float alone 3, with qat alone 1, "
        "McNemar p 0.6250",
        "| litert | reference | x86-64 | 40 | 2 | 0.0123 |",
        "One phantom.",
    ],
)
def test_card_states_what_was_measured(line: str) -> None:
    assert line in _rendered().splitlines()


def test_point_says_whether_its_claim_is_carried_and_confirmed() -> None:
    rule = tiny.rule(tiny.model())
    confirmed = Attained(
        sensitivity=0.9,
        sensitivity_ci95=(0.7, 0.97),
        specificity=0.8,
        specificity_ci95=(0.6, 0.9),
        n_abnormal=20,
        n_normal=30,
    )
    point = msgspec.structs.replace(rule.operating_point, holds=False, confirmed=confirmed)
    text = card.render(DESCRIPTION, FACTS, msgspec.structs.replace(rule, operating_points=(point,)), PARITY, TOLERANCE)
    assert (
        "50 normal; these images do not carry the claim; on validation, as it ships: sensitivity 0.900 [0.700, 0.970], "
        "20 abnormal; specificity 0.800 [0.600, 0.900], 30 normal\n"
    ) in text


def test_labels_of_both_models_are_compared() -> None:
    share = PARITY.point_float.sensitivity
    labels = TopLabel(agreed=share, right_float=share, right_converted=PARITY.point_converted.sensitivity)
    text = card.render(
        DESCRIPTION, FACTS, tiny.rule(tiny.model()), msgspec.structs.replace(PARITY, labels=labels), TOLERANCE
    )
    assert (
        "- Most probable label: the same 0.960 [0.865, 0.989], 48 of 50; right with qat 0.940 [0.838, 0.979], 47 of "
        "50, with float 0.960 [0.865, 0.989], 48 of 50"
    ) in text.splitlines()


def test_separation_is_the_recipes_own() -> None:
    text = _rendered(separation="Validation shares no near-duplicate with train; patients are not known.")
    assert "no near-duplicate with train; patients are not known. Test images" in text
    assert "no patient" not in text


def test_pretrained_weights_are_named_by_their_digest() -> None:
    digest = "sha256:" + "a" * 64
    assert f"Training started from pretrained weights, {digest}." in _rendered(pretrained_sha256=digest)


def test_model_from_elsewhere_is_not_said_to_have_been_trained_here() -> None:
    lines = _rendered(origin="elsewhere").splitlines()
    assert "The float model was trained elsewhere; whether it saw validation images then is not known here." in lines
    assert (
        "Converted with 64 images, validated on 40. Validation shares no patient with train. Test images took no part."
        in lines
    )
    assert not any(line.startswith(("Trained on", "Training started")) for line in lines)


def test_float_model_has_no_spread_in_lsb() -> None:
    parity = msgspec.structs.replace(PARITY, mode=Mode.FLOAT16)
    text = card.render(DESCRIPTION, FACTS, tiny.rule(tiny.model()), parity, None)
    assert "Converted by rounding its weights to float16." in text.splitlines()
    assert "Not measured in LSB: the model computes in floating point." in text.splitlines()
    assert "not listed" not in text
