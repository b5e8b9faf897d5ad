"""The model card: what the model is for, on what it was trained, what was measured, and where it ends.

text = card.render(description, facts, rule, parity, tolerance)
"""

from __future__ import annotations

import msgspec

from converters.parity import Parity
from edgemed.bundle.manifest import ArtifactDocument
from edgemed.runtime.decision import DecisionRule
from edgemed.runtime.golden import Tolerance

__all__ = ["Facts", "render"]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller knows of data and training; also the document ``evidence/training.json``.

    Attributes:
        licence, citation, limits: of the data.
        separation: in words, what train and validation do not share.
        pretrained_sha256: digest of the weights that training started from; None for random ones.
        train_images, validation_images: and the digests of their names, labels and planes.
        history: (loss, validation AUC) of each float epoch.
        quantization_epochs: of the twin.
        versions: of Python and the libraries that trained.
        converter_versions: of the libraries that converted.
    """

    schema: int
    recipe: str
    seed: int
    licence: str
    citation: str
    limits: str
    separation: str
    pretrained_sha256: str | None
    train_images: int
    train_digest: str
    validation_images: int
    validation_digest: str
    history: tuple[tuple[float, float], ...]
    best_epoch: int | None
    quantization_epochs: int
    versions: dict[str, str]
    converter_versions: dict[str, str]


def render(
    description: ArtifactDocument, facts: Facts, rule: DecisionRule, parity: Parity, tolerance: Tolerance
) -> str:
    """Return the card as markdown."""
    point = rule.operating_point
    lines = [
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
        f"Trained on {facts.train_images} images, validated on {facts.validation_images}. {facts.separation} Test "
        "images took no part.",
        "",
        f"Training started from {_start(facts)}.",
        "",
        "## Measured on validation",
        "",
        f"- AUC float {parity.auc_float}, int8 {parity.auc_int8}; difference "
        f"{parity.difference:+}, margin {parity.margin}",
        f"- Decisions that differ, float and int8 each at its own threshold: {parity.flipped} of {parity.n}",
        f"- Operating point {point.name} ({point.criterion}): threshold {point.threshold:.4f}, sensitivity "
        f"{_share(point.sensitivity, point.sensitivity_ci95)} of {point.n_abnormal}, specificity "
        f"{_share(point.specificity, point.specificity_ci95)} of {point.n_normal}",
        f"- Indeterminate zone: scores {rule.indeterminate.low:.4f} to {rule.indeterminate.high:.4f}",
        "",
        "Validation also chose the epoch and the threshold: these figures flatter. Figures on test images, where the "
        "bundle carries them, are in `evidence/`.",
        "",
        "## Spread between back ends",
        "",
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
        "",
        "## Limits",
        "",
        facts.limits,
        "",
        "Research software: a score, never a diagnosis.",
        "",
    ]
    return "\n".join(lines)


def _start(facts: Facts) -> str:
    return "random weights" if facts.pretrained_sha256 is None else f"pretrained weights, {facts.pretrained_sha256}"


def _share(value: float, ci95: tuple[float, float]) -> str:
    return f"{value:.3f} [{ci95[0]:.3f}, {ci95[1]:.3f}]"
