"""Percentile bootstrap intervals for any figure of labelled scores, by image or by patient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgemed.statistics.estimate import Estimate, labelled_scores

__all__ = ["bootstrap"]

Statistic = Callable[[NDArray[np.bool_], NDArray[np.float64]], float]


def bootstrap(
    labels: ArrayLike,
    scores: ArrayLike,
    statistic: Statistic,
    *,
    rng: np.random.Generator,
    resamples: int = 2000,
    groups: ArrayLike | None = None,
) -> Estimate:
    """Return a statistic with its stratified percentile interval; the same generator state gives the same result.

    Args:
        labels: (n,), 0 normal and 1 abnormal.
        scores: (n,), finite.
        statistic: called with (labels, scores) of a resample, returns one number.
        rng: seeded by the caller.
        resamples: at least 100; the 2.5 and 97.5 percentiles of that many values are the interval.
        groups: (n,), the patient of each image; whole patients are then drawn, so that images of one patient do not
            count as independent. Strata are the labels, or for groups the set of labels in the group.

    Raises:
        ValueError: an argument is not as above.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3.
    """
    truth, values = labelled_scores(labels, scores)
    if resamples < 100:
        raise ValueError(f"resamples: expected at least 100, got {resamples}")
    strata = _strata(truth, _grouped(groups, truth.size))
    drawn = np.empty(resamples)
    for i in range(resamples):
        picked = np.concatenate([_draw(members, rng) for members in strata])
        drawn[i] = statistic(truth[picked], values[picked])
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Estimate(
        value=float(statistic(truth, values)), ci95=(float(low), float(high)), variance=float(drawn.var(ddof=1))
    )


def _grouped(groups: ArrayLike | None, count: int) -> NDArray[np.int64]:
    """Return a group number per image, 0 upwards; without groups every image is its own."""
    if groups is None:
        return np.arange(count)
    given = np.asarray(groups)
    if given.shape != (count,):
        raise ValueError(f"groups: expected shape ({count},) like the labels, got {given.shape}")
    return np.unique(given, return_inverse=True)[1].reshape(count).astype(np.int64)


def _strata(truth: NDArray[np.bool_], group: NDArray[np.int64]) -> list[list[NDArray[np.int64]]]:
    """Return, per stratum, the image numbers of each of its groups."""
    order = np.argsort(group, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    strata: dict[tuple[bool, bool], list[NDArray[np.int64]]] = {}
    for images in members:
        strata.setdefault((bool(truth[images].any()), bool(truth[images].all())), []).append(images)
    return [strata[key] for key in sorted(strata)]


def _draw(members: list[NDArray[np.int64]], rng: np.random.Generator) -> NDArray[np.int64]:
    return np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
