"""A model of several labels: does it name the right one, besides telling normal from abnormal?

found = several.result(answers, subject.labels, seed=17)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgemed import statistics
from edgemed.errors import ConfigError
from edgemed.runtime.labels import Labels
from edgemed.training.evaluation.answers import Answers
from edgemed.training.evaluation.document import Several
from edgemed.training.evaluation.sample import RESAMPLES, figure

__all__ = ["probabilities", "require_every_label", "result"]


def result(found: Answers, labels: Labels, *, seed: int) -> Several | None:
    """Return the figures of several labels; None for a model of one logit.

    Args:
        found: answers; at least two images of each label.
        labels: of the model.
        seed: draws the patients of the resamples.
    """
    if labels.count == 1:
        return None
    shares = probabilities(found.logits)
    predicted = shares.argmax(axis=1).astype(np.int64)
    matrix = statistics.confusion_matrix(found.classes, predicted, count=labels.count)
    each = statistics.one_vs_rest_auc(found.classes, shares)
    return Several(
        labels=labels.names,
        macro_auc=figure(statistics.macro_auc(found.classes, shares)),
        one_vs_rest={name: figure(estimate) for name, estimate in zip(labels.names, each, strict=True)},
        accuracy=figure(statistics.accuracy(found.classes, predicted), _by_patient(found, predicted, seed)),
        confusion=tuple(tuple(map(int, row)) for row in matrix),
    )


def require_every_label(found: Answers, labels: Labels, split: str) -> None:
    """Return when each of several labels has two images: its AUC has no interval below.

    Raises:
        ConfigError: one has not.
    """
    counts = np.bincount(found.classes, minlength=labels.count)
    if labels.count > 1 and counts.min() < 2:
        listed = ", ".join(f"{count} {name}" for count, name in zip(counts, labels.names, strict=True))
        raise ConfigError(
            f"{split} split: expected at least 2 images of each label that can be scored, got {listed}; evaluate a "
            "split with all labels"
        )


def probabilities(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the softmax of logits (n, K), same shape, rows summing to 1."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float64)


def _by_patient(found: Answers, predicted: NDArray[np.int64], seed: int) -> tuple[float, float] | None:
    if len(np.unique(found.groups)) == len(found):
        return None
    rng = np.random.default_rng(seed)
    draws = statistics.resampled(found.abnormal, rng=rng, resamples=RESAMPLES, groups=found.groups)
    return draws.interval(draws.share(predicted == found.classes, np.ones(len(found), dtype=np.bool_)))
