"""Percentile bootstrap intervals for any figure of labelled scores, by image or by patient.

Many figures of the same images share their draws, so that they can be compared and cost one drawing:

    drawn = statistics.resampled(labels, rng=rng, groups=patients)
    low, high = drawn.interval(drawn.auc(scores))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgemed.statistics.estimate import Estimate, labelled, labelled_scores

__all__ = ["Resamples", "bootstrap", "resampled"]

Statistic = Callable[[NDArray[np.bool_], NDArray[np.float64]], float]
_Figure = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]

_FEWEST = 100
_BLOCK_VALUES = 1 << 21  # resamples times images at work at once: 16 MiB of float64


@dataclass(frozen=True, kw_only=True, eq=False)
class Resamples:
    """How often each image is in each of R resamples.

    Attributes:
        labels: (n,) bool.
        weights: (R, n) uint16, read-only.
    """

    labels: NDArray[np.bool_]
    weights: NDArray[np.uint16]

    def __post_init__(self) -> None:
        self.labels.setflags(write=False)
        self.weights.setflags(write=False)

    def share(self, right: NDArray[np.bool_], of: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return (R,): in each resample, how many of the images ``of`` are ``right``; NaN where there is none of them.

        Args:
            right: (n,) bool.
            of: (n,) bool.
        """
        picked = np.stack([right & of, of], axis=1).astype(np.float64)
        counts = np.concatenate([block @ picked for block in self._blocks()])
        return _divided(counts[:, 0], counts[:, 1])

    def auc(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return (R,): the area under the ROC curve of each resample; NaN where a class is absent.

        Args:
            scores: (n,) finite.
        """

        def area(abnormal: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.float64]:
            above = normal.sum(axis=1, keepdims=True) - np.cumsum(normal, axis=1)  # scores rank from the highest down
            pairs = abnormal.sum(axis=1) * normal.sum(axis=1)
            return _divided(np.sum(abnormal * (above + normal / 2.0), axis=1), pairs)

        return self._ranked(scores, area)

    def average_precision(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return (R,): the average precision of each resample; NaN without an abnormal.

        Args:
            scores: (n,) finite.
        """

        def precision(abnormal: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.float64]:
            hits, alerts = np.cumsum(abnormal, axis=1), np.cumsum(abnormal + normal, axis=1)
            share = np.divide(hits, alerts, out=np.zeros_like(hits), where=alerts > 0)
            return _divided(np.sum(abnormal * share, axis=1), hits[:, -1])

        return self._ranked(scores, precision)

    def interval(self, drawn: NDArray[np.float64]) -> tuple[float, float] | None:
        """Return the 2.5 and 97.5 percentiles of a figure's (R,) values.

        None where a resample leaves the figure undefined, or all give the same: no spread is no certainty, it is the
        bootstrap's blind spot.
        """
        if not np.isfinite(drawn).all():
            return None
        low, high = np.percentile(drawn, (2.5, 97.5))
        return (float(low), float(high)) if low < high else None

    def _ranked(self, scores: ArrayLike, figure: _Figure) -> NDArray[np.float64]:
        """Return a figure (R,) of the abnormals and normals at each distinct score, from the highest down."""
        order, starts = _tied(scores)
        truth = self.labels[order]
        drawn = []
        for block in self._blocks():
            weights = block[:, order]
            abnormal, normal = (np.add.reduceat(weights * side, starts, axis=1) for side in (truth, ~truth))
            drawn.append(figure(abnormal, normal))
        return np.concatenate(drawn)

    def _blocks(self) -> Iterator[NDArray[np.float64]]:
        """Yield a block at a time: together they take four times the room of the counts."""
        rows = max(1, _BLOCK_VALUES // max(1, self.weights.shape[1]))
        for i in range(0, len(self.weights), rows):
            yield self.weights[i : i + rows].astype(np.float64)


def resampled(
    labels: ArrayLike, *, rng: np.random.Generator, resamples: int = 2000, groups: ArrayLike | None = None
) -> Resamples:
    """Return stratified draws with replacement; the same generator state gives the same draws as in `bootstrap`.

    Args:
        labels: (n,), 0 normal and 1 abnormal.
        rng: seeded by the caller.
        resamples: R, at least 100.
        groups: (n,), the patient of each image; whole patients are then drawn. Strata are the labels, or for groups the
            set of labels in the group.

    Raises:
        ValueError: an argument is not as above.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3; whole clusters: Davison and
    Hinkley, Bootstrap Methods and their Application (1997), section 3.8.
    """
    truth = labelled(labels)
    _require(resamples)
    group = _grouped(groups, truth.size)
    strata = [(np.concatenate(members), list(map(len, members))) for members in _strata(truth, group)]
    weights = np.zeros((resamples, truth.size), dtype=np.uint16)
    for i in range(resamples):
        for images, sizes in strata:
            times = np.bincount(rng.integers(len(sizes), size=len(sizes)), minlength=len(sizes))
            weights[i, images] = np.repeat(times, sizes)
    return Resamples(labels=truth, weights=weights)


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
    _require(resamples)
    strata = _strata(truth, _grouped(groups, truth.size))
    drawn = np.empty(resamples)
    for i in range(resamples):
        picked = np.concatenate([_draw(members, rng) for members in strata])
        drawn[i] = statistic(truth[picked], values[picked])
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Estimate(
        value=float(statistic(truth, values)), ci95=(float(low), float(high)), variance=float(drawn.var(ddof=1))
    )


def _divided(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return above / below, NaN where below is 0."""
    return np.asarray(np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0), np.float64)


def _require(resamples: int) -> None:
    if resamples < _FEWEST:
        raise ValueError(f"resamples: expected at least {_FEWEST}, got {resamples}")


def _tied(scores: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the order of falling scores, and where each run of equal ones starts in it."""
    values = np.asarray(scores, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    return order, np.concatenate([[0], np.flatnonzero(np.diff(values[order])) + 1])


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
