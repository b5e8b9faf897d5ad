"""An estimate with its interval, and the labelled scores that estimates are made from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Z95", "Estimate", "expit", "labelled", "labelled_scores", "shown"]

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
