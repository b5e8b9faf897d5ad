"""The model card of a bundle: what the converter wrote, and the figures that evaluations among the evidence bring.

A card without evaluations stays as it is, byte for byte.

    card = card.with_evaluations(raw, {"evidence/test.json": evidence})
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from edgemed import statistics

__all__ = [
    "AtPrevalence",
    "Calibrated",
    "Evaluation",
    "Figure",
    "OutOfDistribution",
    "Point",
    "Ratio",
    "Refused",
    "Several",
    "Subgroup",
    "evaluations",
    "with_evaluations",
]


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A value with its 95 % interval, and the one over whole patients where there is one."""

    value: float
    ci95: tuple[float, float]
    ci95_by_patient: tuple[float, float] | None = None

    def __str__(self) -> str:
        """Return the value as the card shows it."""
        return statistics.shown(self.value, self.ci95, by_patient=self.ci95_by_patient)


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """A likelihood ratio; None is without bound."""

    value: float | None
    ci95: tuple[float, float | None]

    def __str__(self) -> str:
        """Return the ratio as the card shows it."""
        return statistics.shown_ratio(self.value, self.ci95)


class AtPrevalence(msgspec.Struct, frozen=True, kw_only=True):
    """Predictive values in a population with a stated share of abnormals."""

    prevalence: float
    ppv: Figure | None
    npv: Figure | None


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """What one operating point attains; None where a class has no image, or in a document that does not say."""

    name: str
    threshold: float
    sensitivity: Figure | None
    specificity: Figure | None
    accuracy: Figure
    ppv: Figure | None = None
    npv: Figure | None = None
    f1: Figure | None = None
    likelihood_ratio_positive: Ratio | None = None
    likelihood_ratio_negative: Ratio | None = None
    at_prevalence: tuple[AtPrevalence, ...] = ()


class Calibrated(msgspec.Struct, frozen=True, kw_only=True):
    """How far the scores of one calibration are probabilities."""

    method: str
    brier: float
    expected_calibration_error: float


class Subgroup(msgspec.Struct, frozen=True, kw_only=True):
    """The images with one value of an attribute; ``few``: chance may explain any difference."""

    attribute: str
    value: str | None
    n: int
    n_abnormal: int
    few: bool
    auc: Figure | None
    sensitivity: Figure | None
    specificity: Figure | None


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A set of images and the share of them that got no score."""

    name: str
    n: int
    refused: Figure
    auroc: Figure | None = None


class OutOfDistribution(msgspec.Struct, frozen=True, kw_only=True):
    """Images that the model is meant for, and sets of others."""

    in_domain: Refused
    sets: tuple[Refused, ...]


class Several(msgspec.Struct, frozen=True, kw_only=True):
    """A model of several labels."""

    macro_auc: Figure
    accuracy: Figure


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The part of an ``evaluate --json`` document that a bundle needs; other keys are left aside.

    Everything with a default may be absent: earlier releases wrote less.

    Attributes:
        model, decision_version: what was evaluated; None in a document that does not say.
        n_groups: patients, where more than one image of a patient was evaluated.
        resamples: of whole patients; None where no patient has several images.
        cautions: what to know before relying on a figure, a sentence each.
    """

    model: str | None = None
    decision_version: int | None = None
    backend: str
    split: str
    n: int
    n_abnormal: int
    n_groups: int | None = None
    resamples: int | None = None
    auc: Figure
    operating_points: tuple[Point, ...]
    decisions: dict[str, int]
    interval: str
    unit: str
    average_precision: Figure | None = None
    calibrations: tuple[Calibrated, ...] = ()
    several: Several | None = None
    subgroups: tuple[Subgroup, ...] = ()
    out_of_distribution: OutOfDistribution | None = None
    cautions: tuple[str, ...] = ()


def evaluations(members: Mapping[str, bytes]) -> dict[str, Evaluation]:
    """Return the evaluations among a bundle's evidence, in the order of their names; anything else is left aside.

    Args:
        members: of a bundle, by name.
    """
    found = {}
    for name, raw in sorted(members.items()):
        if not name.startswith("evidence/"):
            continue
        try:
            found[name] = msgspec.json.decode(raw, type=Evaluation)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue  # parity, training and benchmark documents have sections or files of their own
    return found


def with_evaluations(card: bytes, members: Mapping[str, bytes]) -> bytes:
    """Return a card with one section for each evaluation among the evidence, in the order of member names.

    Args:
        card: markdown, as the converter wrote it.
        members: of the bundle, by name; those that are no evaluation are left aside.
    """
    sections = [_section(name, found) for name, found in evaluations(members).items()]
    if not sections:
        return card
    return ("\n\n".join([card.decode("utf-8").rstrip("\n"), *sections]) + "\n").encode("utf-8")


def _section(name: str, found: Evaluation) -> str:
    patients = "" if found.resamples is None else f" of {found.n_groups} patients"
    lines = [
        f"## Measured on {found.split} (`{name}`)",
        "",
        f"- {found.n} {found.unit}s{patients}, {found.n_abnormal} abnormal; int8 model on {found.backend}",
        f"- AUC {found.auc}",
    ]
    if found.average_precision is not None:
        lines.append(f"- Average precision {found.average_precision}, at the prevalence of these images")
    if found.several is not None:
        lines.append(f"- Labels: macro AUC {found.several.macro_auc}; accuracy {found.several.accuracy}")
    for point in found.operating_points:
        lines += _point(point)
    lines += [
        f"- Calibration {one.method}: ECE {one.expected_calibration_error:.4f}, Brier {one.brier:.4f}"
        for one in found.calibrations
        if one.method in ("none", "in force")
    ]
    lines.append("- Decisions: " + ", ".join(f"{count} {kind}" for kind, count in found.decisions.items()))
    lines.append(f"- Intervals: {found.interval}")
    lines += [f"- Caution: {sentence}" for sentence in found.cautions]
    return "\n".join([*lines, *_subgroups(found.subgroups), *_out_of_distribution(found.out_of_distribution)])


def _point(point: Point) -> list[str]:
    lines = [
        f"- {point.name}, threshold {point.threshold:.4f}: sensitivity {_or_none(point.sensitivity)}; "
        f"specificity {_or_none(point.specificity)}; accuracy {point.accuracy}"
    ]
    more = [
        ("PPV", point.ppv),
        ("NPV", point.npv),
        ("F1", point.f1),
        ("LR+", point.likelihood_ratio_positive),
        ("LR-", point.likelihood_ratio_negative),
    ]
    # What an earlier release did not write is no figure of no images.
    if point.f1 is not None:
        lines.append(
            f"- {point.name}, at the prevalence of these images: "
            + "; ".join(f"{short} {'no such images' if figure is None else figure}" for short, figure in more)
        )
    lines += [
        f"- {point.name}, where {100 * at.prevalence:g} % are abnormal: PPV {_or_none(at.ppv)}; NPV {_or_none(at.npv)}"
        for at in point.at_prevalence
    ]
    return lines


def _subgroups(rows: tuple[Subgroup, ...]) -> list[str]:
    if not rows:
        return []
    return [
        "",
        "| subgroup | images | abnormal | AUC | sensitivity | specificity |",
        "|---|---|---|---|---|---|",
        *(
            f"| {_cell(row.attribute)}: {_cell(row.value or 'not known')}{' (few)' if row.few else ''} | {row.n} "
            f"| {row.n_abnormal} | {_or_none(row.auc)} | {_or_none(row.sensitivity)} | {_or_none(row.specificity)} |"
            for row in rows
        ),
    ]


def _out_of_distribution(found: OutOfDistribution | None) -> list[str]:
    if found is None:
        return []
    return [
        "",
        "| images | count | refused | AUROC of the distance |",
        "|---|---|---|---|",
        *(
            f"| {_cell(one.name)} | {one.n} | {one.refused} | {'' if one.auroc is None else one.auroc} |"
            for one in (found.in_domain, *found.sets)
        ),
    ]


def _cell(text: str) -> str:
    """Return text from outside so that it stays in its cell."""
    return " ".join(text.replace("|", "/").split())


def _or_none(figure: Figure | None) -> str:
    return "no such images" if figure is None else str(figure)
