"""Figures of several labels (K > 2 classes): one-vs-rest and macro AUC, confusion matrix, accuracy.

found = statistics.macro_auc(labels, probabilities)
matrix = statistics.confusion_matrix(labels, probabilities.argmax(axis=1), count=3)
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgemed.statistics.auc import delong, influence
from edgemed.statistics.estimate import Z95, Estimate, expit
from edgemed.statistics.proportions import wilson, wilson_interval

__all__ = ["accuracy", "confusion_matrix", "macro_auc", "one_vs_rest_auc"]


def one_vs_rest_auc(labels: ArrayLike, scores: ArrayLike) -> tuple[Estimate, ...]:
    """Return, for each of K labels, the AUC of its score for that label against all others, with DeLong's interval.

    Args:
        labels: (n,) integers 0..K-1; at least two of each, and of the others.
        scores: (n, K) finite, column k rising with the probability of label k.

    Raises:
        ValueError: an argument is not as above.
    """
    truth, values = _classes(labels, scores)
    return tuple(delong(truth == k, values[:, k]) for k in range(values.shape[1]))


def macro_auc(labels: ArrayLike, scores: ArrayLike) -> Estimate:
    """Return the plain mean of the K one-vs-rest AUCs with a 95 % interval on the logit scale.

    The variance is that of the sum over images of what each contributes to the mean, so that the correlation of the K
    areas, which rank the same images, counts. Where it is zero, the interval is Wilson's over the smallest label.

    Args:
        labels: (n,) integers 0..K-1; at least two of each, and of the others.
        scores: (n, K) finite, column k rising with the probability of label k.

    Raises:
        ValueError: an argument is not as above.

    Source: Provost and Domingos 2000, unweighted as in scikit-learn's ``multi_class="ovr", average="macro"``; variance
    by DeLong's components summed image by image.
    """
    truth, values = _classes(labels, scores)
    count = values.shape[1]
    area = float(np.mean([one.value for one in one_vs_rest_auc(truth, values)]))
    shares = np.mean([influence(truth == k, values[:, k]) for k in range(count)], axis=0)
    variance = float(np.sum(shares * shares))
    if variance == 0.0 or not 0.0 < area < 1.0:
        return Estimate(value=area, ci95=wilson_interval(area, int(np.bincount(truth).min())), variance=variance)
    centre, margin = math.log(area / (1.0 - area)), Z95 * math.sqrt(variance) / (area * (1.0 - area))
    return Estimate(value=area, ci95=(expit(centre - margin), expit(centre + margin)), variance=variance)


def confusion_matrix(labels: ArrayLike, predicted: ArrayLike, *, count: int) -> NDArray[np.int64]:
    """Return how many images of each label (row) were given each label (column), (count, count) int64.

    Args:
        labels: (n,) integers 0..count-1.
        predicted: (n,) likewise.
        count: number of labels, at least 2.

    Raises:
        ValueError: an argument is not as above.
    """
    if count < 2:
        raise ValueError(f"count: expected at least 2 labels, got {count}")
    truth, given = _indices(labels, "labels", count), _indices(predicted, "predicted", count)
    if truth.shape != given.shape:
        raise ValueError(f"predicted: expected shape {truth.shape} like the labels, got {given.shape}")
    return np.bincount(truth * count + given, minlength=count * count).reshape(count, count)


def accuracy(labels: ArrayLike, predicted: ArrayLike) -> Estimate:
    """Return the share of images given their own label, with Wilson's 95 % interval.

    Args:
        labels: (n,) integers from 0.
        predicted: (n,) likewise.

    Raises:
        ValueError: an argument is not as above.
    """
    truth, given = _indices(labels, "labels", None), _indices(predicted, "predicted", None)
    if truth.shape != given.shape:
        raise ValueError(f"predicted: expected shape {truth.shape} like the labels, got {given.shape}")
    return wilson(int((truth == given).sum()), truth.size)


def _classes(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return labels as (n,) int64 and scores as (n, K) finite float64, every label at least twice."""
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 2:
        raise ValueError(f"scores: expected shape (n, K) with K at least 2, got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("scores: expected finite numbers, got NaN or infinity")
    truth = _indices(labels, "labels", values.shape[1])
    if truth.shape != values.shape[:1]:
        raise ValueError(f"labels: expected shape {values.shape[:1]} like the scores, got {truth.shape}")
    counts = np.bincount(truth, minlength=values.shape[1])
    if counts.min() < 2:
        raise ValueError(f"labels: expected at least 2 images of each label, got {counts.tolist()}")
    return truth, values


def _indices(given: ArrayLike, name: str, count: int | None) -> NDArray[np.int64]:
    found = np.asarray(given)
    if found.ndim != 1 or found.size == 0 or not np.issubdtype(found.dtype, np.integer):
        raise ValueError(f"{name}: expected a non-empty array (n,) of integers, got {found.dtype} {found.shape}")
    if found.min() < 0 or (count is not None and found.max() >= count):
        raise ValueError(f"{name}: expected 0..{'' if count is None else count - 1}, got {found.min()}..{found.max()}")
    return found.astype(np.int64)
