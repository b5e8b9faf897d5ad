"""The tables of the page, as rows of text.

rows = tables.point_rows(point)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgemed import statistics
from edgemed.training.evaluation.document import Calibrated, Comparison, Figure, PointResult, Subgroup
from edgemed.training.evaluation.whole import Evaluation
from edgemed.training.out_of_distribution import OodReport, OodSet

__all__ = [
    "Row",
    "calibration_rows",
    "comparison_rows",
    "flip_rows",
    "ood_rows",
    "percent",
    "point_rows",
    "ranking_rows",
    "subgroup_rows",
]

_NONE = "–"
_METHODS = {
    "none": "none: the bare logit",
    "in force": "in force",
    "platt": "Platt, refitted",
    "temperature": "temperature, refitted",
    "isotonic": "isotonic, refitted",
}
_METHOD_OF_RATES = {
    "sensitivity": "abnormals that alert",
    "specificity": "normals that do not",
    "ppv": "alerts that are abnormal, at the prevalence here",
    "npv": "others that are normal, at the prevalence here",
    "accuracy": "images decided rightly",
    "f1": "harmonic mean of sensitivity and PPV",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row: a name, what it means, and cells."""

    name: str
    meaning: str = ""
    cells: tuple[str, ...] = ()
    marked: bool = False


def percent(figure: Figure | None) -> str:
    """Return ``95.3 % [93.0, 96.9]``, or a dash."""
    if figure is None:
        return _NONE
    low, high = figure.ci95
    return f"{100 * figure.value:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def ranking_rows(evaluation: Evaluation) -> tuple[Row, ...]:
    """Return the figures that need no threshold: value, interval, interval by patient."""
    rows = [
        Row(
            name="AUC",
            meaning="chance that an abnormal image scores above a normal one",
            cells=_cells(evaluation.auc),
        ),
        Row(
            name="Average precision",
            meaning=f"area below the precision-recall curve; {evaluation.n_abnormal / evaluation.n:.3f} by chance",
            cells=_cells(evaluation.average_precision),
        ),
    ]
    return tuple(rows)


def point_rows(point: PointResult) -> tuple[Row, ...]:
    """Return the figures of an operating point: value, interval, interval by patient, counts."""
    return tuple(_point_rows(point))


def _point_rows(point: PointResult) -> Iterator[Row]:
    tp, fn, tn, fp = point.true_positives, point.false_negatives, point.true_negatives, point.false_positives
    counts = {
        "sensitivity": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "ppv": (tp, tp + fp),
        "npv": (tn, tn + fn),
        "accuracy": (tp + tn, tp + fn + tn + fp),
    }
    names = {"ppv": "PPV", "npv": "NPV", "f1": "F1"}
    for name, meaning in _METHOD_OF_RATES.items():
        held = " / ".join(map(str, counts[name])) if name in counts else ""
        shown = names.get(name, name.capitalize())
        yield Row(name=shown, meaning=meaning, cells=(*_cells(getattr(point, name)), held))
    for sign, name in (("+", "positive"), ("−", "negative")):
        ratio = getattr(point, f"likelihood_ratio_{name}")
        value, interval = (_NONE, _NONE) if ratio is None else str(ratio).split(" ", 1)
        meaning = f"factor on the odds of abnormality {'after' if sign == '+' else 'without'} an alert"
        yield Row(name=f"LR{sign}", meaning=meaning, cells=(value, interval.strip("[]"), "", ""))
    for at in point.at_prevalence:
        share = f"{100 * at.prevalence:g} %"
        yield Row(name=f"PPV at {share}", meaning=f"where {share} are abnormal", cells=(*_cells(at.ppv), ""))
        yield Row(name=f"NPV at {share}", meaning=f"where {share} are abnormal", cells=(*_cells(at.npv), ""))


def calibration_rows(tables: tuple[Calibrated, ...]) -> tuple[Row, ...]:
    """Return a row for each calibration: Brier score, its reliability and resolution, calibration error."""
    return tuple(
        Row(
            name=_METHODS[table.method],
            meaning=table.fitted_on,
            cells=(
                f"{table.expected_calibration_error:.4f}",
                f"{table.brier:.4f}",
                f"{table.brier_parts.reliability:.4f}",
                f"{table.brier_parts.resolution:.4f}",
            ),
            marked=table.method == "in force",
        )
        for table in tables
    )


def subgroup_rows(rows: tuple[Subgroup, ...]) -> tuple[Row, ...]:
    """Return a row for each subgroup; those that rest on few images are marked."""
    return tuple(
        Row(
            name=f"{row.attribute}: {'not known' if row.value is None else row.value}",
            cells=(
                str(row.n),
                str(row.n_abnormal),
                _NONE if row.auc is None else _plain(row.auc),
                percent(row.sensitivity),
                percent(row.specificity),
            ),
            marked=row.few,
        )
        for row in rows
    )


def comparison_rows(found: Comparison) -> tuple[Row, ...]:
    """Return both areas and their paired difference."""
    difference = found.difference
    shown = statistics.shown(difference.value, difference.ci95, form="+.4f").split(" ", 1)
    drawn = difference.ci95_by_patient
    by_patient = "" if drawn is None else f"{drawn[0]:+.4f}, {drawn[1]:+.4f}"
    return (
        Row(name="AUC, this model", cells=_cells(found.auc)),
        Row(name="AUC, the other model", cells=_cells(found.other_auc)),
        Row(
            name="Difference",
            meaning=f"the other minus this one, paired; p {found.p_value:.4f}",
            cells=(shown[0], shown[1].strip("[]"), by_patient),
        ),
    )


def flip_rows(found: Comparison) -> tuple[Row, ...]:
    """Return, for each operating point, how many images the two decide differently."""
    return tuple(
        Row(
            name=point.name,
            cells=(
                f"{point.threshold:.4f} / {point.other_threshold:.4f}",
                f"{point.flipped} of {found.n}",
                str(point.to_alert),
                str(point.to_clear),
                str(point.only_this_right),
                str(point.only_other_right),
                f"{point.p_value:.4f}",
            ),
        )
        for point in found.points
    )


def ood_rows(found: OodReport) -> tuple[Row, ...]:
    """Return a row for each set of images: count, share refused, by what, AUROC of the distance."""
    return tuple(_ood_row(one) for one in (found.in_domain, *found.sets))


def _ood_row(one: OodSet) -> Row:
    by = ", ".join(f"{count} {getattr(gate, 'value', gate)}" for gate, count in one.by.items())
    auroc = _NONE if one.auroc is None else _plain(one.auroc)
    return Row(name=one.name, cells=(str(one.n), percent(one.refused), by or _NONE, auroc))


def _cells(figure: Figure | None) -> tuple[str, str, str]:
    if figure is None:
        return _NONE, _NONE, ""
    drawn = figure.ci95_by_patient
    by_patient = "" if drawn is None else f"{drawn[0]:.4f}, {drawn[1]:.4f}"
    return f"{figure.value:.4f}", f"{figure.ci95[0]:.4f}, {figure.ci95[1]:.4f}", by_patient


def _plain(figure: Figure) -> str:
    return f"{figure.value:.3f} [{figure.ci95[0]:.3f}, {figure.ci95[1]:.3f}]"
