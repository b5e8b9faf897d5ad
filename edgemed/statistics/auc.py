"""Area under the ROC curve with DeLong's variance, for one score and for two scores on the same images.

The area is the share of (abnormal, normal) pairs that the score ranks rightly, a tie counting one half.

Sources: DeLong, DeLong and Clarke-Pearson, Biometrics 44:837 (1988); the O(n log n) midranks of Sun and Xu, IEEE
Signal Processing Letters 21:1389 (2014).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgemed.statistics.estimate import Z95, Estimate, expit, labelled_scores
from edgemed.statistics.proportions import wilson_interval

__all__ = ["PairedEstimate", "auc", "delong", "influence", "paired_delong"]


@dataclass(frozen=True, kw_only=True)
class PairedEstimate:
    """Difference b - a in [-1, 1] on the same images, its 95 % interval, and the two-sided p-value of no difference."""

    difference: float
    ci95: tuple[float, float]
    p_value: float


@dataclass(frozen=True, kw_only=True, eq=False)
class _Components:
    """DeLong's structural components of k scores, as exact integers.

    Attributes:
        abnormal: (k, m) int64, twice the normals that rank below each abnormal, ties once: 0..2n.
        normal: (k, n) int64, twice the abnormals that rank above each normal, ties once: 0..2m.
    """

    abnormal: NDArray[np.int64]
    normal: NDArray[np.int64]

    @property
    def disjoint_pairs(self) -> int:
        return min(int(self.abnormal.shape[1]), int(self.normal.shape[1]))

    @property
    def areas(self) -> NDArray[np.float64]:
        areas: NDArray[np.float64] = self.abnormal.mean(axis=1) / (2 * self.normal.shape[1])
        return areas

    @property
    def covariance(self) -> NDArray[np.float64]:
        return _covariance_of_mean(self.abnormal, 2 * self.normal.shape[1]) + _covariance_of_mean(
            self.normal, 2 * self.abnormal.shape[1]
        )


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the ROC curve, ties counting one half.

    Args:
        labels: (n,), 0 normal and 1 abnormal; at least one of each.
        scores: (n,), finite, rising with abnormality.

    Raises:
        ValueError: a class is absent, or an argument is not as above.
    """
    return float(_components(labels, (scores,), at_least=1).areas[0])


def delong(labels: ArrayLike, scores: ArrayLike) -> Estimate:
    """Return the area with DeLong's variance and a 95 % interval on the logit scale.

    The interval is expit(logit(area) +- z * se / (area * (1 - area))): unlike the plain one, area +- z * se, it stays
    inside (0, 1) and keeps its coverage near 1, where screening models live (Pepe 2003, section 5.2.3). Where the
    variance is zero (the classes separate fully, or every score ties), DeLong says nothing; then the interval is
    Wilson's over min(m, n) disjoint pairs, which are independent trials of the same probability.

    Args:
        labels: (n,), 0 normal and 1 abnormal; at least two of each.
        scores: (n,), finite, rising with abnormality.

    Raises:
        ValueError: fewer than two of a class, or an argument is not as above.
    """
    components = _components(labels, (scores,), at_least=2)
    area, variance = float(components.areas[0]), float(components.covariance[0, 0])
    if variance == 0.0:
        interval = wilson_interval(area, components.disjoint_pairs)
    else:
        interval = _logit_interval(area, math.sqrt(variance))
    return Estimate(value=area, ci95=interval, variance=variance)


def paired_delong(labels: ArrayLike, scores_a: ArrayLike, scores_b: ArrayLike) -> PairedEstimate:
    """Return the difference of two areas on the same images, b - a, with DeLong's paired interval and test.

    The interval is difference +- z * se, clipped to [-1, 1]. Where the variance of the difference is zero: no
    difference gives (0, 0) and p = 1, because both scores rank every image alike; a constant difference is widened by
    what min(m, n) disjoint pairs leave open, and p is that of a sign test over them.

    Args:
        labels: (n,), 0 normal and 1 abnormal; at least two of each.
        scores_a: (n,), finite: the reference.
        scores_b: (n,), finite: what is compared with it, image by image.

    Raises:
        ValueError: fewer than two of a class, or an argument is not as above.
    """
    components = _components(labels, (scores_a, scores_b), at_least=2)
    difference = float(components.areas[1] - components.areas[0])
    # Variance of the difference from its own components: exact zero where the two agree.
    change = _Components(abnormal=_difference(components.abnormal), normal=_difference(components.normal))
    variance = float(change.covariance[0, 0])
    if variance == 0.0:
        return _without_variance(difference, components.disjoint_pairs)
    margin = Z95 * math.sqrt(variance)
    return PairedEstimate(
        difference=difference,
        ci95=(max(-1.0, difference - margin), min(1.0, difference + margin)),
        p_value=math.erfc(abs(difference) / math.sqrt(2.0 * variance)),
    )


def influence(labels: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """Return what each image adds to the estimated area's deviation, (n,): the sum of squares is DeLong's variance.

    Args:
        labels: (n,), 0 normal and 1 abnormal; at least two of each.
        scores: (n,), finite, rising with abnormality.

    Raises:
        ValueError: fewer than two of a class, or an argument is not as above.
    """
    components = _components(labels, (scores,), at_least=2)
    truth = np.asarray(labels).astype(np.bool_)
    found = np.empty(truth.size)
    for chosen, own, others in (
        (truth, components.abnormal[0], components.normal.shape[1]),
        (~truth, components.normal[0], components.abnormal.shape[1]),
    ):
        # Centred in integers, so that equal components leave no rounding dust.
        centred = (own.size * own - own.sum()) / (own.size * 2 * others)
        found[chosen] = centred / np.sqrt(own.size * (own.size - 1))
    return found


def _components(labels: ArrayLike, many_scores: tuple[ArrayLike, ...], *, at_least: int) -> _Components:
    checked = [labelled_scores(labels, scores) for scores in many_scores]
    truth = checked[0][0]
    fewest = min(int(truth.sum()), int((~truth).sum()))
    if fewest < at_least:
        raise ValueError(f"labels: expected at least {at_least} abnormal and {at_least} normal, got {fewest} of one")
    return _Components(
        abnormal=np.stack([_placements(scores[truth], scores) for _, scores in checked]),
        normal=np.stack([_placements(-scores[~truth], -scores) for _, scores in checked]),
    )


def _placements(own: NDArray[np.float64], everyone: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return twice the number of the other class below each of ``own``, in the order of ``own``; a tie counts once."""
    ordered, within = np.sort(everyone), np.sort(own)
    return _doubled_below(own, ordered) - _doubled_below(own, within)


def _doubled_below(values: NDArray[np.float64], ordered: NDArray[np.float64]) -> NDArray[np.int64]:
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")).astype(np.int64)


def _difference(pair: NDArray[np.int64]) -> NDArray[np.int64]:
    return pair[1:] - pair[:1]


def _covariance_of_mean(components: NDArray[np.int64], unit: int) -> NDArray[np.float64]:
    """Return the (k, k) covariance of the mean of components / unit; exactly zero where they do not vary."""
    count = components.shape[1]
    # Centred in integers, so that equal components leave no rounding dust.
    centred = (count * components - components.sum(axis=1, keepdims=True)) / (count * unit)
    covariance: NDArray[np.float64] = centred @ centred.T / (count * (count - 1))
    return covariance


def _logit_interval(area: float, error: float) -> tuple[float, float]:
    centre, margin = math.log(area / (1.0 - area)), Z95 * error / (area * (1.0 - area))
    return expit(centre - margin), expit(centre + margin)


def _without_variance(difference: float, pairs: int) -> PairedEstimate:
    if difference == 0.0:
        return PairedEstimate(difference=0.0, ci95=(0.0, 0.0), p_value=1.0)
    # Every disjoint pair showed this difference; a share of up to `unseen` may show any other in [-1, 1].
    unseen = 1.0 - wilson_interval(1.0, pairs)[0]
    centre = difference * (1.0 - unseen)
    interval = (max(-1.0, centre - unseen), min(1.0, centre + unseen))
    return PairedEstimate(difference=difference, ci95=interval, p_value=2.0 * 0.5**pairs)
