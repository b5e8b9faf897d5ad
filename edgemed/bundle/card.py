"""The model card of a bundle: what the converter wrote, and the test figures that evidence brings.

A card without evaluations stays as it is, byte for byte.

    card = card.with_evaluations(raw, {"evidence/test.json": evidence})
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

__all__ = ["with_evaluations"]


class _Figure(msgspec.Struct, frozen=True, kw_only=True):
    value: float
    ci95: tuple[float, float]

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.ci95[0]:.4f}, {self.ci95[1]:.4f}]"


class _Point(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    threshold: float
    sensitivity: _Figure | None
    specificity: _Figure | None
    accuracy: _Figure


class _Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The part of an ``evaluate --json`` document that the card shows; other keys are left aside."""

    backend: str
    split: str
    n: int
    n_abnormal: int
    auc: _Figure
    operating_points: tuple[_Point, ...]
    decisions: dict[str, int]
    interval: str
    unit: str


def with_evaluations(card: bytes, evidence: Mapping[str, bytes]) -> bytes:
    """Return a card with one section for each evaluation among the evidence, in the order of member names.

    Args:
        card: markdown, as the converter wrote it.
        evidence: JSON documents by member name; those that are no evaluation are left aside.
    """
    sections = []
    for name, raw in sorted(evidence.items()):
        try:
            found = msgspec.json.decode(raw, type=_Evaluation)
        except msgspec.DecodeError:
            continue  # parity, training and benchmark documents have sections or files of their own
        sections.append(_section(name, found))
    if not sections:
        return card
    return ("\n\n".join([card.decode("utf-8").rstrip("\n"), *sections]) + "\n").encode("utf-8")


def _section(name: str, found: _Evaluation) -> str:
    lines = [
        f"## Measured on {found.split} (`{name}`)",
        "",
        f"- {found.n} {found.unit}s, {found.n_abnormal} abnormal; int8 model on {found.backend}",
        f"- AUC {found.auc}",
    ]
    for point in found.operating_points:
        lines.append(
            f"- {point.name}, threshold {point.threshold:.4f}: sensitivity {_or_none(point.sensitivity)}, "
            f"specificity {_or_none(point.specificity)}, accuracy {point.accuracy}"
        )
    lines.append("- Decisions: " + ", ".join(f"{count} {kind}" for kind, count in found.decisions.items()))
    lines.append(f"- Intervals: {found.interval}")
    return "\n".join(lines)


def _or_none(figure: _Figure | None) -> str:
    return "no such images" if figure is None else str(figure)
