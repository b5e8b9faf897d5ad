"""How far scores are probabilities, and Platt scaling that makes them so."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgemed.statistics.estimate import labelled_scores

__all__ = ["PlattScaling", "brier", "expected_calibration_error", "platt"]

_STEPS = 100


class PlattScaling(NamedTuple):
    """Score = 1 / (1 + exp(-(slope * logit + intercept))), slope > 0."""

    slope: float
    intercept: float


def brier(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the mean squared difference of score and label, 0 (perfect) to 1; scores in [0, 1].

    Raises:
        ValueError: an argument is not as above. Source: Brier, Monthly Weather Review 78:1 (1950).
    """
    truth, values = _probabilities(labels, scores)
    return float(np.mean((values - truth) ** 2))


def expected_calibration_error(labels: ArrayLike, scores: ArrayLike, bins: int = 10) -> float:
    """Return the mean gap of score and observed share over equal-width bins, weighted by their counts.

    Args:
        labels: (n,), 0 normal and 1 abnormal.
        scores: (n,), in [0, 1].
        bins: at least 1; bin k holds [k / bins, (k + 1) / bins), the last one also 1.

    Returns:
        sum over bins of |sum of scores - sum of labels| / n, 0 (calibrated) to 1.

    Raises:
        ValueError: an argument is not as above.

    Source: Naeini, Cooper and Hauskrecht, AAAI 2015, for the score of the abnormal class.
    """
    if bins < 1:
        raise ValueError(f"bins: expected at least 1, got {bins}")
    truth, values = _probabilities(labels, scores)
    place = np.minimum((values * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(place, weights=values - truth, minlength=bins)
    return float(np.abs(gaps).sum() / values.size)


def platt(logits: ArrayLike, labels: ArrayLike) -> PlattScaling:
    """Return the slope and intercept that fit logits to labels best, by Newton's method with Platt's targets.

    Args:
        logits: (n,), finite, rising with abnormality; not all equal.
        labels: (n,), 0 normal and 1 abnormal; at least one of each.

    Returns:
        The minimum of the cross-entropy against the targets (N1 + 1) / (N1 + 2) and 1 / (N0 + 2), which stay off 0
        and 1 so that separated classes keep a finite slope.

    Raises:
        ValueError: a class is absent, the logits are all equal, or they fall with abnormality (slope <= 0).

    Source: Platt 1999; the safeguarded Newton iteration of Lin, Lin and Weng, Machine Learning 68:267 (2007).
    """
    truth, values = labelled_scores(labels, logits)
    abnormal = int(truth.sum())
    normal = truth.size - abnormal
    if not abnormal or not normal:
        raise ValueError(f"labels: expected both classes, got {abnormal} abnormal and {normal} normal")
    centre, spread = float(values.mean()), float(values.std())
    if spread == 0.0:
        raise ValueError("logits: expected different values, got one value for every image")
    targets = np.where(truth, (abnormal + 1.0) / (abnormal + 2.0), 1.0 / (normal + 2.0))
    slope, intercept = _newton((values - centre) / spread, targets)
    if slope <= 0.0:
        raise ValueError("logits: expected to rise with abnormality, got a falling or flat fit; check labels and model")
    return PlattScaling(slope / spread, intercept - slope * centre / spread)


def _newton(values: NDArray[np.float64], targets: NDArray[np.float64]) -> tuple[float, float]:
    """Minimise the convex cross-entropy over (slope, intercept), halving a step that does not descend."""
    point = np.array([0.0, np.log(targets.mean() / (1.0 - targets.mean()))])
    design = np.stack([values, np.ones_like(values)], axis=1)
    for _ in range(_STEPS):
        scores = _sigmoid(design @ point)
        gradient = design.T @ (scores - targets)
        if np.abs(gradient).max() < 1e-10 * values.size:
            break
        weights = scores * (1.0 - scores)
        # 1e-12 keeps the matrix invertible where every score is saturated.
        step = np.linalg.solve((design * weights[:, None]).T @ design + 1e-12 * np.eye(2), gradient)
        point = _descended(design, targets, point, step.astype(np.float64))
    return float(point[0]), float(point[1])


def _descended(
    design: NDArray[np.float64], targets: NDArray[np.float64], point: NDArray[np.float64], step: NDArray[np.float64]
) -> NDArray[np.float64]:
    loss = _cross_entropy(design @ point, targets)
    for halving in range(40):
        candidate = point - step * 0.5**halving
        if _cross_entropy(design @ candidate, targets) <= loss:
            return candidate
    return point


def _cross_entropy(logits: NDArray[np.float64], targets: NDArray[np.float64]) -> float:
    return float(np.sum(np.logaddexp(0.0, logits) - targets * logits))


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    half: NDArray[np.float64] = np.tanh(logits / 2.0)  # never overflows
    return (1.0 + half) / 2.0


def _probabilities(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    truth, values = labelled_scores(labels, scores)
    if values.min() < 0.0 or values.max() > 1.0:
        raise ValueError("scores: expected values in [0, 1], got a value outside")
    return truth.astype(np.float64), values
