"""Maps from a model's logit to a probability: Platt scaling, temperature scaling, isotonic regression.

fitted = statistics.platt(logits, labels)
scores = fitted.scores(logits)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgemed.statistics.estimate import labelled_scores, require_both

__all__ = ["IsotonicRegression", "PlattScaling", "TemperatureScaling", "isotonic", "platt", "sigmoid", "temperature"]

_STEPS = 100


class PlattScaling(NamedTuple):
    """Score = 1 / (1 + exp(-(slope * logit + intercept))), slope > 0."""

    slope: float
    intercept: float

    def scores(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Return the score of each logit, same shape, in [0, 1]."""
        return sigmoid(self.slope * np.asarray(logits, np.float64) + self.intercept)


@dataclass(frozen=True, kw_only=True)
class TemperatureScaling:
    """Score = 1 / (1 + exp(-logit / temperature)), temperature > 0; a logit of 0 keeps the score one half."""

    temperature: float

    def scores(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Return the score of each logit, same shape, in [0, 1]."""
        return sigmoid(np.asarray(logits, np.float64) / self.temperature)


@dataclass(frozen=True, kw_only=True, eq=False)
class IsotonicRegression:
    """A rising function, linear between its knots and flat beyond them.

    Attributes:
        logits: (k,) strictly rising, read-only.
        values: (k,) in [0, 1], not falling, read-only.
    """

    logits: NDArray[np.float64]
    values: NDArray[np.float64]

    def __post_init__(self) -> None:
        self.logits.setflags(write=False)
        self.values.setflags(write=False)

    def scores(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Return the score of each logit, same shape, in [0, 1]."""
        return np.asarray(np.interp(np.asarray(logits, np.float64), self.logits, self.values), np.float64)


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
    truth, values = _both_classes(labels, logits)
    centre, spread = float(values.mean()), float(values.std())
    if spread == 0.0:
        raise ValueError("logits: expected different values, got one value for every image")
    targets = _targets(truth)
    design = np.stack([(values - centre) / spread, np.ones_like(values)], axis=1)
    start = np.array([0.0, np.log(targets.mean() / (1.0 - targets.mean()))])
    slope, intercept = map(float, _newton(design, targets, start))
    if slope <= 0.0:
        raise ValueError("logits: expected to rise with abnormality, got a falling or flat fit; check labels and model")
    return PlattScaling(slope / spread, intercept - slope * centre / spread)


def temperature(logits: ArrayLike, labels: ArrayLike) -> TemperatureScaling:
    """Return the temperature that fits logits to labels best, by Newton's method with Platt's targets.

    Args:
        logits: (n,), finite log-odds of abnormality; not all zero.
        labels: (n,), 0 normal and 1 abnormal; at least one of each.

    Returns:
        The minimum of the same cross-entropy as in `platt`, over 1 / temperature alone.

    Raises:
        ValueError: a class is absent, the logits are all zero, or they fall with abnormality (1 / temperature <= 0).

    Source: Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017, section 4.2; for
    one logit.
    """
    truth, values = _both_classes(labels, logits)
    spread = float(np.sqrt(np.mean(values * values)))
    if spread == 0.0:
        raise ValueError("logits: expected values other than zero, got zero for every image")
    inverse = float(_newton((values / spread)[:, None], _targets(truth), np.zeros(1))[0]) / spread
    if inverse <= 0.0:
        raise ValueError("logits: expected to rise with abnormality, got a falling or flat fit; check labels and model")
    return TemperatureScaling(temperature=1.0 / inverse)


def isotonic(logits: ArrayLike, labels: ArrayLike) -> IsotonicRegression:
    """Return the rising function of the logit with the least squared error to the labels, by pooling violators.

    Args:
        logits: (n,), finite; equal ones are one point.
        labels: (n,), 0 normal and 1 abnormal; at least one of each.

    Returns:
        Knots at the first and last logit of each pooled block.

    Raises:
        ValueError: a class is absent, or an argument is not as above.

    Source: Ayer et al., Annals of Mathematical Statistics 26:641 (1955); as calibration Zadrozny and Elkan, KDD 2002.
    """
    truth, values = _both_classes(labels, logits)
    points, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    means = np.bincount(place.reshape(-1), weights=truth) / counts
    starts, fitted = _pooled(means, counts)
    ends = np.append(starts[1:], len(points)) - 1
    # A block of one point is one knot.
    knots = np.unique(np.concatenate([starts, ends]))
    block = np.searchsorted(starts, knots, side="right") - 1
    return IsotonicRegression(logits=points[knots], values=np.clip(fitted[block], 0.0, 1.0))


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 / (1 + exp(-logit)), same shape; never overflows."""
    half: NDArray[np.float64] = np.tanh(logits / 2.0)
    return (1.0 + half) / 2.0


def _both_classes(labels: ArrayLike, logits: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    truth, values = labelled_scores(labels, logits)
    require_both(truth)
    return truth, values


def _targets(truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    abnormal, normal = int(truth.sum()), int((~truth).sum())
    return np.where(truth, (abnormal + 1.0) / (abnormal + 2.0), 1.0 / (normal + 2.0))


def _pooled(means: NDArray[np.float64], counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return where each block of the pool-adjacent-violators solution starts, and its value."""
    starts: list[int] = []
    values: list[float] = []
    weights: list[int] = []
    for i, (mean, count) in enumerate(zip(means.tolist(), counts.tolist(), strict=True)):
        start = i
        while values and values[-1] >= mean:
            start, before, weight = starts.pop(), values.pop(), weights.pop()
            mean, count = (mean * count + before * weight) / (count + weight), count + weight  # noqa: PLW2901
        starts.append(start)
        values.append(mean)
        weights.append(count)
    return np.array(starts, dtype=np.int64), np.array(values)


def _newton(
    design: NDArray[np.float64], targets: NDArray[np.float64], start: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Minimise the convex cross-entropy of ``design @ point``, halving a step that does not descend."""
    point = start
    for _ in range(_STEPS):
        scores = sigmoid(design @ point)
        gradient = design.T @ (scores - targets)
        if np.abs(gradient).max() < 1e-10 * targets.size:
            break
        weights = scores * (1.0 - scores)
        # 1e-12 keeps the matrix invertible where every score is saturated.
        step = np.linalg.solve((design * weights[:, None]).T @ design + 1e-12 * np.eye(len(point)), gradient)
        point = _descended(lambda at: _cross_entropy(design @ at, targets), point, step.astype(np.float64))
    return point


def _descended(
    loss: Callable[[NDArray[np.float64]], float], point: NDArray[np.float64], step: NDArray[np.float64]
) -> NDArray[np.float64]:
    before = loss(point)
    for halving in range(40):
        candidate = point - step * 0.5**halving
        if loss(candidate) <= before:
            return candidate
    return point


def _cross_entropy(logits: NDArray[np.float64], targets: NDArray[np.float64]) -> float:
    return float(np.sum(np.logaddexp(0.0, logits) - targets * logits))
