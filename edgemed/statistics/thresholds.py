"""The threshold for a stated sensitivity or specificity, or at which both are alike, on calibrated scores.

Every threshold between the same two distinct scores decides alike; the one midway is returned, so that no image lies on
it. Below the lowest score the neighbour is 0, above the highest it is 1.

    threshold = statistics.threshold_for_specificity(labels, scores, 0.95)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgemed.statistics.estimate import labelled_scores, require_both, require_probabilities

__all__ = ["threshold_for_sensitivity", "threshold_for_specificity", "threshold_of_equal_error"]


def threshold_for_sensitivity(labels: ArrayLike, scores: ArrayLike, sensitivity: float) -> float:
    """Return the highest threshold that still reaches a sensitivity on this data, between two scores.

    Only where two neighbours leave no number between them (or the lowest score is 0) is it the upper one itself.

    Args:
        labels: (n,), 0 normal and 1 abnormal; at least one abnormal.
        scores: (n,), calibrated, in [0, 1].
        sensitivity: asked, in (0, 1]; attained is the next share of the abnormals at or above it.

    Raises:
        ValueError: no abnormal, or an argument is not as above.
    """
    truth, values = _calibrated(labels, scores)
    if not truth.any():
        raise ValueError("labels: expected at least one abnormal (1), got none; a sensitivity needs abnormals")
    if not 0.0 < sensitivity <= 1.0:
        raise ValueError(f"sensitivity: expected above 0 and at most 1, got {sensitivity!r}")
    abnormal = np.sort(values[truth])[::-1]
    reached = np.arange(1, abnormal.size + 1) / abnormal.size >= sensitivity
    return _just_below(float(abnormal[int(np.argmax(reached))]), values)


def threshold_for_specificity(labels: ArrayLike, scores: ArrayLike, specificity: float) -> float:
    """Return the lowest threshold that reaches a specificity on this data, between two scores.

    Where the highest score is 1 and a normal's, no threshold in [0, 1] keeps it below: then 1 is returned.

    Args:
        labels: (n,), 0 normal and 1 abnormal; at least one normal.
        scores: (n,), calibrated, in [0, 1].
        specificity: asked, in (0, 1]; attained is the next share of the normals at or above it.

    Raises:
        ValueError: no normal, or an argument is not as above.
    """
    truth, values = _calibrated(labels, scores)
    if truth.all():
        raise ValueError("labels: expected at least one normal (0), got none; a specificity needs normals")
    if not 0.0 < specificity <= 1.0:
        raise ValueError(f"specificity: expected above 0 and at most 1, got {specificity!r}")
    normal = np.sort(values[~truth])
    reached = np.arange(1, normal.size + 1) / normal.size >= specificity
    cleared = float(normal[int(np.argmax(reached))])
    if cleared == 1.0:
        return 1.0
    above = values[values > cleared]
    return _just_below(float(above.min()) if above.size else 1.0, np.array([cleared]))


def threshold_of_equal_error(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the threshold at which sensitivity and specificity differ least, between two scores.

    Among equals the lowest, which misses fewest. Not Youden's (Cancer 3:32, 1950): the maximum of a sum is flat, and
    its empirical place converges with the cube root of n only; a crossing is steep.

    Args:
        labels: (n,), 0 normal and 1 abnormal; at least one of each.
        scores: (n,), calibrated, in [0, 1].

    Raises:
        ValueError: a class is absent, or an argument is not as above.

    Source: Hsieh and Turnbull, Annals of Statistics 24:25 (1996).
    """
    truth, values = _calibrated(labels, scores)
    require_both(truth)
    abnormal, normal = np.sort(values[truth]), np.sort(values[~truth])
    candidates = np.unique(values)
    hits = abnormal.size - np.searchsorted(abnormal, candidates, side="left").astype(np.int64)
    cleared = np.searchsorted(normal, candidates, side="left").astype(np.int64)
    # In whole numbers: rates that are equal must compare so.
    apart = np.abs(hits * normal.size - cleared * abnormal.size)
    return _just_below(float(candidates[int(np.argmin(apart))]), values)


def _calibrated(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    truth, values = labelled_scores(labels, scores)
    require_probabilities(values)
    return truth, values


def _just_below(upper: float, values: NDArray[np.float64]) -> float:
    """Return the middle between ``upper`` and the next value below it, or ``upper`` where nothing lies between."""
    below = values[values < upper]
    lower = float(below.max()) if below.size else 0.0
    midway = lower + (upper - lower) / 2
    return midway if lower < midway < upper else upper
