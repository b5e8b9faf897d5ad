"""How far scores are probabilities: Brier score and its parts, calibration error, reliability table.

for bin in statistics.reliability(labels, scores):
    print(bin.low, bin.high, bin.n, bin.mean_score, bin.observed)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgemed.statistics.estimate import Estimate, labelled_scores, require_probabilities
from edgemed.statistics.proportions import wilson

__all__ = [
    "BrierParts",
    "ReliabilityBin",
    "brier",
    "brier_parts",
    "expected_calibration_error",
    "reliability",
]


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """The images whose score lies in [low, high), in the last bin also at 1.

    Attributes:
        n: images; a bin without any has no mean and no share.
        mean_score: what was foretold.
        observed: the share of abnormals, with Wilson's 95 % interval.
    """

    low: float
    high: float
    n: int
    mean_score: float | None
    observed: Estimate | None


@dataclass(frozen=True, kw_only=True)
class BrierParts:
    """Brier score = reliability - resolution + uncertainty, exactly.

    Attributes:
        reliability: mean squared gap of score and observed share over the bins; 0 is calibrated.
        resolution: how far the score sets images apart, what it does inside the bins included; higher is better.
        uncertainty: prevalence * (1 - prevalence), what a constant score leaves.
    """

    reliability: float
    resolution: float
    uncertainty: float


def brier(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the mean squared difference of score and label, 0 (perfect) to 1; scores in [0, 1].

    Raises:
        ValueError: an argument is not as above. Source: Brier, Monthly Weather Review 78:1 (1950).
    """
    truth, values = _probabilities(labels, scores)
    return float(np.mean((values - truth) ** 2))


def brier_parts(labels: ArrayLike, scores: ArrayLike, bins: int = 10) -> BrierParts:
    """Return what the Brier score is made of, over equal-width bins of the score.

    Args:
        labels: (n,), 0 normal and 1 abnormal.
        scores: (n,), in [0, 1].
        bins: at least 1, as in `expected_calibration_error`.

    Raises:
        ValueError: an argument is not as above.

    Source: Murphy, Journal of Applied Meteorology 12:595 (1973); the two terms that scores inside one bin add, counted
    to the resolution here: Stephenson, Coelho and Jolliffe, Weather and Forecasting 23:752 (2008).
    """
    truth, values = _probabilities(labels, scores)
    place, counts = _places(values, bins)
    held = counts > 0
    foretold = np.bincount(place, weights=values, minlength=bins)[held] / counts[held]
    observed = np.bincount(place, weights=truth, minlength=bins)[held] / counts[held]
    weights, prevalence = counts[held] / values.size, float(truth.mean())
    gap = float(np.sum(weights * (foretold - observed) ** 2))
    uncertainty = prevalence * (1.0 - prevalence)
    whole = float(np.mean((values - truth) ** 2))
    return BrierParts(reliability=gap, resolution=gap + uncertainty - whole, uncertainty=uncertainty)


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
    truth, values = _probabilities(labels, scores)
    place, _ = _places(values, bins)
    gaps = np.bincount(place, weights=values - truth, minlength=bins)
    return float(np.abs(gaps).sum() / values.size)


def reliability(labels: ArrayLike, scores: ArrayLike, bins: int = 10) -> tuple[ReliabilityBin, ...]:
    """Return what the scores of each equal-width bin foretell and what was observed, lowest bin first.

    Args:
        labels: (n,), 0 normal and 1 abnormal.
        scores: (n,), in [0, 1].
        bins: at least 1, as in `expected_calibration_error`, whose value these bins give.

    Raises:
        ValueError: an argument is not as above.
    """
    truth, values = _probabilities(labels, scores)
    place, counts = _places(values, bins)
    foretold = np.bincount(place, weights=values, minlength=bins)
    abnormal = np.bincount(place, weights=truth, minlength=bins).astype(np.int64)
    return tuple(
        ReliabilityBin(
            low=k / bins,
            high=(k + 1) / bins,
            n=int(counts[k]),
            mean_score=float(foretold[k] / counts[k]) if counts[k] else None,
            observed=wilson(int(abnormal[k]), int(counts[k])) if counts[k] else None,
        )
        for k in range(bins)
    )


def _places(values: NDArray[np.float64], bins: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the bin of each score, and how many images each bin holds."""
    if bins < 1:
        raise ValueError(f"bins: expected at least 1, got {bins}")
    place = np.minimum((values * bins).astype(np.int64), bins - 1)
    return place, np.bincount(place, minlength=bins)


def _probabilities(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    truth, values = labelled_scores(labels, scores)
    require_probabilities(values)
    return truth.astype(np.float64), values
