"""The plots of an evaluation.

svg = plots.roc(abnormal, abnormality, evaluation.operating_points)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemed import statistics
from edgemed.pages import drawing
from edgemed.runtime.decision import DecisionRule
from edgemed.training.evaluation.document import Calibrated, DecisionCurve, Figure, PointResult

__all__ = ["decision_curve", "precision_recall", "reliability", "roc", "scores"]

_SIZE = (5.2, 4.6)
_MARKERS = "osD^v"
_BINS = 40
_RELIABILITY = {"none": ("before", drawing.ORANGE, "^", "--"), "in force": ("in force", drawing.BLUE, "o", "-")}


def roc(abnormal: NDArray[np.bool_], abnormality: NDArray[np.float64], points: Sequence[PointResult]) -> str:
    """Draw the ROC curve with the operating points and their intervals both ways."""
    curve = statistics.roc_curve(abnormal, abnormality)
    with drawing.axes(*_SIZE) as (figure, axes):
        axes.plot([0, 1], [0, 1], color=drawing.FAINT, linewidth=1, linestyle=":", label="chance")
        axes.plot(curve.false_positive_rate, curve.true_positive_rate, color=drawing.BLUE, linewidth=1.8)
        for marker, point in zip(_MARKERS, points, strict=False):
            if point.sensitivity is not None and point.specificity is not None:
                _cross(axes, _mirrored(point.specificity), point.sensitivity, marker, point)
        axes.set_xlabel("1 - specificity: normals that alert")
        axes.set_ylabel("sensitivity: abnormals that alert")
        _square(axes)
        axes.legend(loc="lower right", fontsize=9)
        return drawing.svg(figure)


def precision_recall(
    abnormal: NDArray[np.bool_], abnormality: NDArray[np.float64], points: Sequence[PointResult]
) -> str:
    """Draw precision against recall with the operating points and their intervals both ways."""
    curve = statistics.precision_recall_curve(abnormal, abnormality)
    with drawing.axes(*_SIZE) as (figure, axes):
        prevalence = float(abnormal.mean())
        axes.axhline(prevalence, color=drawing.FAINT, linewidth=1, linestyle=":", label="chance: the prevalence here")
        axes.plot(curve.recall, curve.precision, color=drawing.BLUE, linewidth=1.8)
        for marker, point in zip(_MARKERS, points, strict=False):
            if point.sensitivity is not None and point.ppv is not None:
                _cross(axes, point.sensitivity, point.ppv, marker, point)
        axes.set_xlabel("recall: abnormals that alert")
        axes.set_ylabel("precision: alerts that are abnormal")
        _square(axes)
        axes.legend(loc="lower left", fontsize=9)
        return drawing.svg(figure)


def reliability(tables: Sequence[Calibrated]) -> str:
    """Draw observed shares against foretold ones: the bare logit, the calibration in force, and how many images."""
    with drawing.axes(*_SIZE) as (figure, axes):
        axes.plot([0, 1], [0, 1], color=drawing.FAINT, linewidth=1, linestyle=":", label="calibrated")
        for table in tables:
            if table.method in _RELIABILITY:
                _reliability(axes, table)
        axes.set_xlabel("score: foretold share of abnormals")
        axes.set_ylabel("observed share of abnormals")
        _square(axes)
        axes.set_ylim(-0.1, 1.02)
        axes.legend(loc="lower center", bbox_to_anchor=(0.46, 1.0), ncols=3, fontsize=8.5, columnspacing=1.0)
        _counts(axes, tables)
        return drawing.svg(figure)


def decision_curve(curve: DecisionCurve, points: Sequence[PointResult]) -> str:
    """Draw the net benefit of the model, of acting on everyone and on none."""
    with drawing.axes(*_SIZE) as (figure, axes):
        axes.plot(curve.thresholds, curve.everyone, color=drawing.ORANGE, linestyle="--", label="act on everyone")
        axes.axhline(0.0, color=drawing.INK, linewidth=1, linestyle=":", label="act on none")
        axes.plot(curve.thresholds, curve.model, color=drawing.BLUE, linewidth=1.8, label="act on the score")
        for point in points:
            if point.active:
                axes.axvline(point.threshold, color=drawing.INK, linewidth=1, linestyle="-.", label=point.name)
        top = max(curve.prevalence, 0.05)
        axes.set_ylim(-0.12 * top, 1.08 * top)
        axes.set_xlim(0, 1)
        axes.set_xlabel("probability from which on one would act")
        axes.set_ylabel("net benefit: true positives a patient")
        axes.legend(loc="best", fontsize=9)
        return drawing.svg(figure)


def scores(abnormal: NDArray[np.bool_], values: NDArray[np.float64], rule: DecisionRule) -> str:
    """Draw how the scores of both classes lie, abnormals up and normals down, with thresholds and the zone."""
    with drawing.axes(7.6, 3.6) as (figure, axes):
        edges = np.linspace(0.0, 1.0, _BINS + 1)
        up, down = (np.histogram(values[chosen], edges)[0] for chosen in (abnormal, ~abnormal))
        width = {"width": 0.9 / _BINS, "align": "edge"}
        axes.bar(edges[:-1], up, color=drawing.ORANGE, label="abnormal", **width)
        axes.bar(
            edges[:-1],
            -down,
            facecolor="white",
            edgecolor=drawing.BLUE,
            hatch="////",
            linewidth=0.8,
            label="normal",
            **width,
        )
        zone = rule.indeterminate
        if zone.low < zone.high:
            axes.axvspan(zone.low, zone.high, color="#dddddd", zorder=0, label="indeterminate")
        for style, point in zip(("-", "--", "-.", ":"), rule.operating_points, strict=False):
            axes.axvline(point.threshold, color=drawing.INK, linewidth=1.2, linestyle=style, label=point.name)
        axes.axhline(0.0, color=drawing.INK, linewidth=0.8)
        # Most images lie at the two ends: a linear axis would hide the ones that matter.
        axes.set_yscale("symlog", linthresh=5)
        ticks = [tick for tick in (5, 10, 100, 1000, 10_000) if tick <= max(up.max(), down.max())]
        axes.set_yticks([*(-tick for tick in ticks), 0, *ticks])
        axes.set_yticks([], minor=True)
        axes.yaxis.set_major_formatter(lambda count, _: f"{abs(count):g}")
        axes.set_xlim(0, 1)
        axes.set_xlabel("score")
        axes.set_ylabel("images")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=5, fontsize=9)
        return drawing.svg(figure)


def _cross(axes: Any, across: Figure, up: Figure, marker: str, point: PointResult) -> None:
    axes.errorbar(
        [across.value],
        [up.value],
        xerr=_reach(across),
        yerr=_reach(up),
        fmt=marker,
        color=drawing.INK,
        markerfacecolor=drawing.ORANGE if point.active else "white",
        markersize=6,
        linewidth=1,
        capsize=3,
        label=f"{point.name}{', in force' if point.active else ''}",
        zorder=3,
    )


def _mirrored(figure: Figure) -> Figure:
    low, high = figure.ci95
    return Figure(value=1 - figure.value, ci95=(1 - high, 1 - low), ci95_by_patient=None)


def _reach(figure: Figure) -> list[list[float]]:
    low, high = figure.ci95
    return [[max(0.0, figure.value - low)], [max(0.0, high - figure.value)]]


def _square(axes: Any) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)


def _reliability(axes: Any, table: Calibrated) -> None:
    name, colour, marker, line = _RELIABILITY[table.method]
    held = list(_held(table))
    axes.errorbar(
        [foretold for foretold, _ in held],
        [observed.value for _, observed in held],
        yerr=np.concatenate([_reach(observed) for _, observed in held], axis=1),
        fmt=marker,
        linestyle=line,
        color=colour,
        markersize=5,
        linewidth=1.2,
        capsize=2.5,
        label=f"{name}, ECE {table.expected_calibration_error:.3f}",
    )


def _held(table: Calibrated) -> Iterator[tuple[float, Figure]]:
    for one in table.bins:
        if one.mean_score is not None and one.observed is not None:
            yield one.mean_score, one.observed


def _counts(axes: Any, tables: Sequence[Calibrated]) -> None:
    """Write how many images each bin of the calibration in force holds, along the lower edge."""
    for table in tables:
        if table.method == "in force":
            for one in table.bins:
                axes.text((one.low + one.high) / 2, -0.08, str(one.n), ha="center", fontsize=8, color=drawing.INK)
