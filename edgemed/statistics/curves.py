"""ROC and precision-recall curves as points, and the average precision with its interval.

A point is a threshold: scores at or above it alert. Equal scores share a point, so that no order of images matters.

    curve = statistics.roc_curve(labels, scores)
    estimate = statistics.average_precision(labels, scores)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgemed.statistics.estimate import Z95, Estimate, expit, labelled_scores, require_both
from edgemed.statistics.proportions import wilson_interval

__all__ = ["PrecisionRecallCurve", "RocCurve", "average_precision", "precision_recall_curve", "roc_curve"]


@dataclass(frozen=True, kw_only=True, eq=False)
class RocCurve:
    """Points of the ROC curve, thresholds falling; the first point is (0, 0) at infinity, the last is (1, 1).

    Attributes:
        thresholds, false_positive_rate, true_positive_rate: (k,) float64, read-only; the rates lie in [0, 1].
    """

    thresholds: NDArray[np.float64]
    false_positive_rate: NDArray[np.float64]
    true_positive_rate: NDArray[np.float64]

    def __post_init__(self) -> None:
        for values in (self.thresholds, self.false_positive_rate, self.true_positive_rate):
            values.setflags(write=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class PrecisionRecallCurve:
    """Points of the precision-recall curve, thresholds falling; no point is made up where nothing alerts.

    Attributes:
        thresholds, recall, precision: (k,) float64, read-only; recall rises to 1, precision ends at the prevalence.
    """

    thresholds: NDArray[np.float64]
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]

    def __post_init__(self) -> None:
        for values in (self.thresholds, self.recall, self.precision):
            values.setflags(write=False)


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> RocCurve:
    """Return the ROC curve, one point a distinct score and one before them.

    Args:
        labels: (n,), 0 normal and 1 abnormal; at least one of each.
        scores: (n,), finite, rising with abnormality.

    Raises:
        ValueError: a class is absent, or an argument is not as above.
    """
    truth, values = labelled_scores(labels, scores)
    require_both(truth)
    thresholds, hits, alarms = _counted(truth, values)
    return RocCurve(
        thresholds=np.concatenate([[np.inf], thresholds]),
        false_positive_rate=np.concatenate([[0.0], alarms / int((~truth).sum())]),
        true_positive_rate=np.concatenate([[0.0], hits / int(truth.sum())]),
    )


def precision_recall_curve(labels: ArrayLike, scores: ArrayLike) -> PrecisionRecallCurve:
    """Return the precision-recall curve, one point a distinct score.

    Args:
        labels: (n,), 0 normal and 1 abnormal; at least one abnormal.
        scores: (n,), finite, rising with abnormality.

    Raises:
        ValueError: no abnormal, or an argument is not as above.
    """
    truth, values = labelled_scores(labels, scores)
    _require_abnormal(truth)
    thresholds, hits, alarms = _counted(truth, values)
    return PrecisionRecallCurve(thresholds=thresholds, recall=hits / int(truth.sum()), precision=hits / (hits + alarms))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> Estimate:
    """Return the average precision with a 95 % interval on the logit scale.

    The value is the sum over points of precision times the rise in recall, which no interpolation flatters. The
    interval is expit(logit(value) +- z / sqrt(m * value * (1 - value))) with m abnormals; where the value is 1 it is
    Wilson's over m. It holds the prevalence of the data fixed: at another prevalence the figure is another.

    Args:
        labels: (n,), 0 normal and 1 abnormal; at least one abnormal.
        scores: (n,), finite, rising with abnormality.

    Raises:
        ValueError: no abnormal, or an argument is not as above.

    Source: Boyd, Eng and Page, "Area under the precision-recall curve: point estimates and confidence intervals",
    ECML PKDD 2013, section 3.3 (logit interval).
    """
    curve = precision_recall_curve(labels, scores)
    value = float(np.sum(np.diff(curve.recall, prepend=0.0) * curve.precision))
    abnormal = int(np.asarray(labels).astype(bool).sum())
    variance = value * (1.0 - value) / abnormal
    if value >= 1.0:
        return Estimate(value=1.0, ci95=wilson_interval(1.0, abnormal), variance=0.0)
    centre, margin = math.log(value / (1.0 - value)), Z95 / math.sqrt(abnormal * value * (1.0 - value))
    return Estimate(value=value, ci95=(expit(centre - margin), expit(centre + margin)), variance=variance)


def _counted(
    truth: NDArray[np.bool_], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct scores, falling, with the abnormals and normals at or above each."""
    order = np.argsort(-values, kind="stable")
    ordered, hits = values[order], np.cumsum(truth[order])
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    return ordered[last], hits[last], last + 1 - hits[last]


def _require_abnormal(truth: NDArray[np.bool_]) -> None:
    if not truth.any():
        raise ValueError("labels: expected at least one abnormal (1), got none; a recall needs abnormals")
