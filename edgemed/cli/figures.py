"""An evaluation as lines of text.

output.fields(figures.lines(evaluation))
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgemed.training.evaluation.document import Comparison, Figure, PointResult, Several, Subgroup
    from edgemed.training.evaluation.whole import Evaluation
    from edgemed.training.out_of_distribution import OodReport

__all__ = ["lines"]

_SHARES = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "f1")
_SHORT = {"likelihood_ratio_positive": "LR+", "likelihood_ratio_negative": "LR-"}


def lines(result: Evaluation) -> list[tuple[str, str]]:
    """Return names and values, one a line."""
    return list(_all(result))


def _all(result: Evaluation) -> Iterator[tuple[str, str]]:
    yield _subject(result)
    yield "recipe", f"{result.recipe}, seed {result.seed}"
    patients = "" if result.resamples is None else f" of {result.n_groups} patients"
    yield (
        "images",
        f"{result.n} {result.split}{patients}, {result.n_abnormal} abnormal; {result.unscored} not scored",
    )
    yield "AUC", str(result.auc)
    yield "avg. precision", str(result.average_precision)
    yield "Brier, ECE", f"{result.brier:.4f}, {result.expected_calibration_error:.4f}"
    for table in result.calibrations:
        if table.method != "in force":
            yield f"  {table.method}", f"{table.brier:.4f}, {table.expected_calibration_error:.4f}"
    yield "thresholds", result.thresholds
    for point in result.operating_points:
        yield from _point(point)
    if result.several is not None:
        yield from _several(result.several)
    for row in result.subgroups:
        yield _subgroup(row)
    if result.comparison is not None:
        yield from _comparison(result.comparison)
    if result.out_of_distribution is not None:
        yield from _out_of_distribution(result.out_of_distribution)
    yield "decisions", ", ".join(f"{count} {name}" for name, count in result.decisions.items())
    yield "intervals", result.interval
    for caution in result.cautions:
        yield "note", caution


def _subject(result: Evaluation) -> tuple[str, str]:
    subject = result.subject
    version = "" if subject.version is None else f" {subject.version}"
    return subject.kind, f"{subject.name}{version} on {result.backend}"


def _point(point: PointResult) -> Iterator[tuple[str, str]]:
    active = ", in force" if point.active else ""
    yield point.name, f"threshold {point.threshold:.4f}, {point.criterion}{active}"
    for name in _SHARES:
        yield f"  {name}", _or_none(getattr(point, name))
    for name, short in _SHORT.items():
        ratio = getattr(point, name)
        yield f"  {short}", "no such images" if ratio is None else str(ratio)
    for at in point.at_prevalence:
        yield f"  at {at.prevalence:g}", f"ppv {_or_none(at.ppv)}; npv {_or_none(at.npv)}"


def _several(found: Several) -> Iterator[tuple[str, str]]:
    yield "labels", f"macro AUC {found.macro_auc}, accuracy {found.accuracy}"
    for name, auc in found.one_vs_rest.items():
        yield f"  {name}", f"AUC against the rest {auc}"
    for name, row in zip(found.labels, found.confusion, strict=True):
        given = ", ".join(f"{count} {other}" for other, count in zip(found.labels, row, strict=True))
        yield f"  true {name}", f"called {given}"


def _subgroup(row: Subgroup) -> tuple[str, str]:
    value = "not known" if row.value is None else row.value
    few = "; FEW" if row.few else ""
    return (
        f"{row.attribute}={value}",
        f"{row.n} images, {row.n_abnormal} abnormal{few}; AUC {_or_none(row.auc)}; sensitivity "
        f"{_or_none(row.sensitivity)}; specificity {_or_none(row.specificity)}",
    )


def _comparison(found: Comparison) -> Iterator[tuple[str, str]]:
    from edgemed import statistics

    difference = statistics.shown(
        found.difference.value, found.difference.ci95, by_patient=found.difference.ci95_by_patient, form="+.4f"
    )
    yield "compared with", f"{found.other.kind} {found.other.name}, {found.n} images: AUC {found.other_auc}"
    yield "  difference", f"{difference}, p {found.p_value:.4f}"
    for point in found.points:
        yield (
            f"  {point.name}",
            f"{point.flipped} decided differently, {point.to_alert} to alert and {point.to_clear} to clear; right "
            f"alone: {point.only_this_right} this, {point.only_other_right} the other, McNemar p {point.p_value:.4f}",
        )


def _out_of_distribution(found: OodReport) -> Iterator[tuple[str, str]]:
    yield "refused", "images from elsewhere, share that got no score; AUROC of the distance alone"
    for one in (found.in_domain, *found.sets):
        auroc = "" if one.auroc is None else f"; AUROC {one.auroc}"
        yield f"  {one.name}", f"{one.refused} of {one.n}{auroc}"


def _or_none(figure: Figure | None) -> str:
    return "no such images" if figure is None else str(figure)
