"""Decision curves: what acting on a score is worth against acting on every patient or on none.

curve = statistics.decision_curve(labels, scores, np.linspace(0.01, 0.6, 60))
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgemed.statistics.estimate import labelled_scores, require_both, require_probabilities

__all__ = ["DecisionCurve", "decision_curve"]


@dataclass(frozen=True, kw_only=True, eq=False)
class DecisionCurve:
    """Net benefit against the probability from which on a clinician would act; acting on none is 0 everywhere.

    Attributes:
        thresholds: (k,) probabilities.
        model: (k,) net benefit of acting where the score is at or above the threshold, at most the prevalence.
        everyone: (k,) net benefit of acting on every patient.
        prevalence: the net benefit is of a population with this share of abnormals.
    """

    thresholds: NDArray[np.float64]
    model: NDArray[np.float64]
    everyone: NDArray[np.float64]
    prevalence: float

    def __post_init__(self) -> None:
        for values in (self.thresholds, self.model, self.everyone):
            values.setflags(write=False)


def decision_curve(
    labels: ArrayLike, scores: ArrayLike, thresholds: ArrayLike, *, prevalence: float | None = None
) -> DecisionCurve:
    """Return the net benefit of a calibrated score at each threshold.

    Net benefit = se * prevalence - (1 - sp) * (1 - prevalence) * t / (1 - t): true positives a patient, less the false
    ones weighted by the odds of the threshold.

    Args:
        labels: (n,), 0 normal and 1 abnormal; at least one of each.
        scores: (n,), probabilities in [0, 1].
        thresholds: (k,), above 0 and below 1.
        prevalence: above 0 and below 1; None takes that of the labels.

    Raises:
        ValueError: a class is absent, or an argument is not as above.

    Source: Vickers and Elkin, Medical Decision Making 26:565 (2006).
    """
    truth, values = labelled_scores(labels, scores)
    require_both(truth)
    require_probabilities(values)
    asked = np.asarray(thresholds, dtype=np.float64)
    if asked.ndim != 1 or not ((asked > 0.0) & (asked < 1.0)).all():
        raise ValueError("thresholds: expected an array (k,) of values above 0 and below 1")
    share = float(truth.mean()) if prevalence is None else prevalence
    if not 0.0 < share < 1.0:
        raise ValueError(f"prevalence: expected above 0 and below 1, got {share!r}")
    harm = (1.0 - share) * asked / (1.0 - asked)
    return DecisionCurve(
        thresholds=asked.copy(),
        model=share * _at_or_above(values[truth], asked) - harm * _at_or_above(values[~truth], asked),
        everyone=share - harm,
        prevalence=share,
    )


def _at_or_above(values: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of values at or above each threshold."""
    below = np.searchsorted(np.sort(values), thresholds, side="left")
    return np.asarray(1.0 - below / values.size, dtype=np.float64)
