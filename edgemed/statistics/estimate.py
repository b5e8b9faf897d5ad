"""An estimate with its interval, and the labelled scores that estimates are made from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Z95",
    "Estimate",
    "expit",
    "labelled",
    "labelled_scores",
    "require_both",
    "require_probabilities",
    "shown",
    "shown_ratio",
]

Z95 = 1.959963984540054
"""Two-sided 95 % point of the standard normal distribution."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure in [0, 1] with its two-sided 95 % interval (low, high) and the variance of the estimator."""

    value: float
    ci95: tuple[float, float]
    variance: float


def shown(
    value: float,
    ci95: tuple[float, float],
    *,
    by_patient: tuple[float, float] | None = None,
    form: str = ".4f",
) -> str:
    """Return ``0.9830 [0.9707, 0.9901]``, followed by ``, by patient [0.9650, 0.9934]`` where there is one.

    Args:
        value: the figure.
        ci95: its interval, (low, high).
        by_patient: its interval with patients as independent.
        form: format of each number, e.g. ``+.4f`` for a difference.
    """
    text = f"{value:{form}} [{ci95[0]:{form}}, {ci95[1]:{form}}]"
    return text if by_patient is None else f"{text}, by patient [{by_patient[0]:{form}}, {by_patient[1]:{form}}]"


def shown_ratio(value: float | None, ci95: tuple[float, float | None]) -> str:
    """Return ``14.6 [6.72, 31.8]`` for a ratio >= 0 with its interval; None is without bound."""
    value_shown, low, high = map(_significant, (value, *ci95))
    return f"{value_shown} [{low}, {high}]"


def _significant(value: float | None) -> str:
    """Return three digits or more, never an exponent."""
    if value is None:
        return "unbounded"
    if value >= 100.0:
        return f"{value:.0f}"
    return f"{value:.3g}" if value >= 1e-4 or value == 0.0 else "below 0.0001"


def expit(value: float) -> float:
    """Return 1 / (1 + exp(-value)) of any finite value, without overflow."""
    return 1.0 / (1.0 + math.exp(-value)) if value >= 0 else math.exp(value) / (1.0 + math.exp(value))


def labelled(labels: ArrayLike) -> NDArray[np.bool_]:
    """Return labels as (n,) bool, True for abnormal.

    Raises:
        ValueError: not one-dimensional, empty, or a value other than 0 and 1.
    """
    given = np.asarray(labels)
    if given.ndim != 1 or given.size == 0:
        raise ValueError(f"labels: expected a non-empty array of shape (n,), got shape {given.shape}")
    if not np.isin(given, (0, 1)).all():
        raise ValueError("labels: expected 0 (normal) and 1 (abnormal) only, got other values")
    return given.astype(np.bool_)


def labelled_scores(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return labels as (n,) bool and scores as (n,) finite float64.

    Raises:
        ValueError: labels as `labelled` refuses them, another length, or a score that is NaN or infinite.
    """
    truth = labelled(labels)
    values = np.asarray(scores, dtype=np.float64)
    if values.shape != truth.shape:
        raise ValueError(f"scores: expected shape {truth.shape} like the labels, got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("scores: expected finite numbers, got NaN or infinity")
    return truth, values


def require_both(truth: NDArray[np.bool_]) -> None:
    """Check that labels, as `labelled` returns them, hold both classes.

    Raises:
        ValueError: a class is absent.
    """
    abnormal = int(truth.sum())
    if not 0 < abnormal < truth.size:
        raise ValueError(f"labels: expected both classes, got {abnormal} abnormal and {truth.size - abnormal} normal")


def require_probabilities(scores: NDArray[np.float64]) -> None:
    """Check that finite scores, (n,) with n at least 1, lie in [0, 1].

    Raises:
        ValueError: one does not.
    """
    if scores.min() < 0.0 or scores.max() > 1.0:
        raise ValueError("scores: expected values in [0, 1], got a value outside")
