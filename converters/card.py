"""The model card: what the model is for, on what it was trained, what was measured, and where it ends.

text = card.render(description, facts, rule, parity, tolerance)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from converters.mode import Mode
from converters.parity import Parity, Part, Point
from edgemed import statistics
from edgemed.bundle.manifest import ArtifactDocument
from edgemed.runtime.decision import Attained, DecisionRule, OperatingPoint
from edgemed.runtime.golden import Tolerance

__all__ = ["Facts", "render"]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller knows of data and training; also the document ``evidence/training.json``.

    Attributes:
        seed: of the training.
        division_seed: that divided the data; None in a document older than it, for ``seed`` did.
        licence, citation, limits: of the data.
        separation: in words, what train and validation do not share.
        origin: who trained the float model; of one from elsewhere nothing is known but its file.
        float_sha256: digest of the float model's file; None where it came as a value.
        pretrained_sha256: digest of the weights that training started from; None for random or unknown ones.
        pretrained_licence: of these weights; None where nobody has stated one.
        train_images, validation_images: and the digests of their names, labels and planes.
        history: (loss, validation AUC) of each float epoch.
        quantization_epochs: of the twin; 0 where none was trained.
        quantization_learning_rate: of the twin, at its highest; 0 likewise.
        versions: of Python and the libraries that trained.
        converter_versions: of the libraries that converted.
    """

    schema: int
    recipe: str
    seed: int
    division_seed: int | None = None
    licence: str
    citation: str
    limits: str
    separation: str
    origin: Literal["edgemed train", "elsewhere"]
    float_sha256: str | None
    pretrained_sha256: str | None
    pretrained_licence: str | None = None
    train_images: int
    train_digest: str
    validation_images: int
    validation_digest: str
    history: tuple[tuple[float, float], ...]
    best_epoch: int | None
    quantization_epochs: int
    quantization_learning_rate: float
    versions: dict[str, str]
    converter_versions: dict[str, str]


def render(
    description: ArtifactDocument,
    facts: Facts,
    rule: DecisionRule,
    parity: Parity,
    tolerance: Tolerance | None,
    *,
    adapted: Sequence[str] = (),
) -> str:
    """Return the card as markdown; ``adapted`` says what was changed in the float model beforehand."""
    return "\n".join(
        [
            f"# {description.name}",
            "",
            f"{description.intended_use}",
            "",
            f"- Task: {description.task}, {' / '.join(description.labels)}",
            f"- Modalities: {', '.join(description.modalities)}; body part: {description.body_part}",
            f"- Outputs: {', '.join(description.outputs)}",
            "",
            "## Data",
            "",
            f"{facts.citation}. Licence: {facts.licence}.",
            "",
            *_of_training(facts),
            "",
            f"Converted by {_of_mode(parity.mode, facts)}.",
            "",
            *(
                ["Before that the float model was adapted:", "", *(f"- {line}" for line in adapted), ""]
                if adapted
                else []
            ),
            "## Measured on validation",
            "",
            *_of_parity(rule, parity),
            "",
            "## Spread between back ends",
            "",
            *_of_tolerance(tolerance),
            "",
            "## Limits",
            "",
            facts.limits,
            "",
            "Research software: a score, never a diagnosis.",
            "",
        ]
    )


def _of_training(facts: Facts) -> list[str]:
    """Return who saw which images; of a model from elsewhere that is not known."""
    divided = f"validated on {facts.validation_images}. {facts.separation} Test images took no part."
    if facts.origin == "elsewhere":
        return [
            "The float model was trained elsewhere; whether it saw validation images then is not known here.",
            "",
            f"Converted with {facts.train_images} images, {divided}",
        ]
    return [f"Trained on {facts.train_images} images, {divided}", "", f"Training started from {_start(facts)}."]


def _of_mode(mode: Mode, facts: Facts) -> str:
    return {
        Mode.QAT: f"quantization-aware training, epochs: {facts.quantization_epochs}",
        Mode.PTQ: "calibration after training, without training it again",
        Mode.FLOAT16: "rounding its weights to float16",
        Mode.FLOAT32: "translation to TFLite, its numbers as trained",
    }[mode]


def _of_adapted(notes: Sequence[str]) -> list[str]:
    return ["Before that the float model was adapted:", "", *(f"- {line}" for line in notes), ""] if notes else []


def _of_parity(rule: DecisionRule, parity: Parity) -> list[str]:
    mode, found = parity.mode.value, parity.mcnemar
    return [
        f"The calibration was fitted on the operating part, {_images(parity.operating)}. The gate was judged on the "
        f"gate part, {_images(parity.gate)}. What keeps train and validation apart keeps them apart.",
        "",
        *(_of_point(point, active=point.name == rule.active) for point in rule.operating_points),
        f"- Indeterminate zone: scores {rule.indeterminate.low:.4f} to {rule.indeterminate.high:.4f}",
        "",
        "On the gate part:",
        "",
        f"- AUC float {parity.areas.of_float}, {mode} {parity.areas.converted}; difference "
        f"{parity.areas.difference:+}, margin {parity.margin:g}",
        f"- At that threshold: {_rates(parity.point_converted)}",
        f"- Float model at its own threshold: {_rates(parity.point_float)}",
        *_of_labels(parity),
        f"- Decisions that differ: {parity.flipped} of {parity.gate.n}, {parity.to_alert} to alert and "
        f"{parity.to_clear} to clear; right with float alone {found.only_float}, with {mode} alone "
        f"{found.only_converted}, McNemar p {found.p_value:.4f}",
        "",
        f"On all of validation, for information: AUC float {parity.whole.of_float}, {mode} {parity.whole.converted}; "
        f"difference {parity.whole.difference:+}.",
        "",
        "The float model's epoch was chosen on validation, if any was chosen. Figures on test images, where the bundle "
        "carries them, are in `evidence/`.",
    ]


def _of_point(point: OperatingPoint, *, active: bool) -> str:
    carried = {None: "", True: "; these images carry the claim", False: "; these images do not carry the claim"}
    confirmed = "" if point.confirmed is None else f"; on validation, as it ships: {_attained(point.confirmed)}"
    return (
        f"- Operating point {point.name}{', in force' if active else ''} ({point.criterion}): threshold "
        f"{point.threshold:.4f}; {_attained(point)}{carried[point.holds]}{confirmed}"
    )


def _attained(found: Attained) -> str:
    sensitivity = statistics.shown(found.sensitivity, found.sensitivity_ci95, form=".3f")
    specificity = statistics.shown(found.specificity, found.specificity_ci95, form=".3f")
    return f"sensitivity {sensitivity}, {found.n_abnormal} abnormal; specificity {specificity}, {found.n_normal} normal"


def _of_labels(parity: Parity) -> list[str]:
    if parity.labels is None:
        return []
    found = parity.labels
    return [
        f"- Most probable label: the same {found.agreed}; right with {parity.mode.value} {found.right_converted}, with "
        f"float {found.right_float}"
    ]


def _images(part: Part) -> str:
    groups = "" if part.n_groups is None else f", {part.n_groups} patients or groups of near-duplicates"
    return f"{part.n} images ({part.n_abnormal} abnormal{groups})"


def _rates(point: Point) -> str:
    return f"sensitivity {point.sensitivity}; specificity {point.specificity}"


def _of_tolerance(tolerance: Tolerance | None) -> list[str]:
    if tolerance is None:
        return ["Not measured in LSB: the model computes in floating point."]
    return [
        f"Reference: {tolerance.reference}.",
        "",
        "| back end | kernels | architecture | images | logit, LSB | score |",
        "|---|---|---|---|---|---|",
        *(
            f"| {entry.backend} | {entry.kernels.value} | {entry.architecture} | {entry.n} | {entry.logit_lsb} "
            f"| {entry.score:.4f} |"
            for entry in tolerance.entries
        ),
        "",
        "Architectures that are not listed were not measured.",
    ]


def _start(facts: Facts) -> str:
    if facts.pretrained_sha256 is None:
        return "random weights"
    licence = "" if facts.pretrained_licence is None else f", licence {facts.pretrained_licence}"
    return f"pretrained weights, {facts.pretrained_sha256}{licence}"
