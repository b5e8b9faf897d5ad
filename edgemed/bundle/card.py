"""The model card of a bundle: what the converter wrote, and the test figures that evidence brings.

A card without evaluations stays as it is, byte for byte.

    card = card.with_evaluations(raw, {"evidence/test.json": evidence})
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from edgemed import statistics

__all__ = ["Evaluation", "Figure", "Point", "evaluations", "with_evaluations"]


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A value with its 95 % interval, and the one over whole patients where there is one."""

    value: float
    ci95: tuple[float, float]
    ci95_by_patient: tuple[float, float] | None = None

    def __str__(self) -> str:
        """Return the value as the card shows it."""
        return statistics.shown(self.value, self.ci95, by_patient=self.ci95_by_patient)


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """What one operating point attains; None where a class has no image."""

    name: str
    threshold: float
    sensitivity: Figure | None
    specificity: Figure | None
    accuracy: Figure


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The part of an ``evaluate --json`` document that a bundle needs; other keys are left aside.

    Attributes:
        model, decision_version: what was evaluated; None in a document that does not say.
        n_groups: patients, where more than one image of a patient was evaluated.
        resamples: of whole patients; None where no patient has several images.
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


def evaluations(evidence: Mapping[str, bytes]) -> dict[str, Evaluation]:
    """Return the evaluations among JSON documents, in the order of their names; anything else is left aside.

    Args:
        evidence: JSON documents by member name.
    """
    found = {}
    for name, raw in sorted(evidence.items()):
        try:
            found[name] = msgspec.json.decode(raw, type=Evaluation)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue  # parity, training and benchmark documents have sections or files of their own
    return found


def with_evaluations(card: bytes, evidence: Mapping[str, bytes]) -> bytes:
    """Return a card with one section for each evaluation among the evidence, in the order of member names.

    Args:
        card: markdown, as the converter wrote it.
        evidence: JSON documents by member name; those that are no evaluation are left aside.
    """
    sections = [_section(name, found) for name, found in evaluations(evidence).items()]
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
    for point in found.operating_points:
        lines.append(
            f"- {point.name}, threshold {point.threshold:.4f}: sensitivity {_or_none(point.sensitivity)}; "
            f"specificity {_or_none(point.specificity)}; accuracy {point.accuracy}"
        )
    lines.append("- Decisions: " + ", ".join(f"{count} {kind}" for kind, count in found.decisions.items()))
    lines.append(f"- Intervals: {found.interval}")
    return "\n".join(lines)


def _or_none(figure: Figure | None) -> str:
    return "no such images" if figure is None else str(figure)
