"""What a subject says of labelled images, in arrays: all that figures are made of.

found = answers.collected(subject, dataset, indices)
found.abnormality, found.abnormal
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemed.errors import ConfigError
from edgemed.runtime.labels import Labels
from edgemed.training.data import Dataset
from edgemed.training.evaluation.subjects import Answer, Subject

__all__ = ["Answers", "collected", "require_both_classes", "require_same_labels"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """The images that reached the model; no name of an image. Rows are images, in the order of ``indices``.

    Attributes:
        indices: (n,) int64 into the data set.
        classes: (n,) int64, index of the true label.
        abnormal: (n,) bool, the true label is a finding.
        logits: (n, K) float64.
        abnormality: (n,) float64, abnormal against normal as one logit.
        groups: (n,) the patient, or what else must stay together.
        decisions: how many of all images ended as what; empty for a subject without gates.
        unscored: images that a gate refused before inference.
    """

    indices: NDArray[np.int64]
    classes: NDArray[np.int64]
    abnormal: NDArray[np.bool_]
    logits: NDArray[np.float64]
    abnormality: NDArray[np.float64]
    groups: NDArray[np.str_]
    decisions: Mapping[str, int]
    unscored: int

    def __post_init__(self) -> None:
        for name in ("indices", "classes", "abnormal", "logits", "abnormality", "groups"):
            getattr(self, name).setflags(write=False)

    def __len__(self) -> int:
        return len(self.indices)


def collected(
    subject: Subject,
    dataset: Dataset,
    indices: NDArray[np.int64],
    *,
    progress: Callable[[], None] = lambda: None,
) -> Answers:
    """Return what a subject says of the images at ``indices``.

    Args:
        subject: asked once for each.
        dataset: labels, patients and pixels.
        indices: (m,).
        progress: called after each image.

    Raises:
        ConfigError: the data set has other labels than the subject.
        ImageError: an image cannot be read.
        InferenceError: the back end failed.
    """
    require_same_labels(subject, dataset)
    frames = (dataset.read(int(index)) for index in indices)
    reached: list[int] = []
    rows: list[NDArray[np.float64]] = []
    decisions = Counter[str]()
    for index, answer in zip(indices, subject.answers(frames), strict=True):
        _count(decisions, answer)
        if answer.logits is not None:
            reached.append(int(index))
            rows.append(answer.logits)
        progress()
    chosen = np.array(reached, dtype=np.int64)
    logits = np.stack(rows) if rows else np.empty((0, subject.labels.count))
    return Answers(
        indices=chosen,
        classes=dataset.labels[chosen],
        abnormal=dataset.abnormal[chosen],
        logits=logits,
        abnormality=np.array(subject.labels.abnormality(logits), dtype=np.float64),
        groups=np.array([dataset.groups[index] for index in reached], dtype=np.str_),
        decisions=dict(decisions),
        unscored=len(indices) - len(reached),
    )


def require_same_labels(subject: Subject, dataset: Dataset) -> None:
    """Return when the labels of the data are those that the subject tells apart.

    Raises:
        ConfigError: the subject has several labels and the data others, or normal ones that differ.
    """
    labels: Labels = subject.labels
    if labels.count == 1:
        return
    if labels.names != dataset.label_names or set(labels.normal) != set(dataset.normal_labels):
        raise ConfigError(
            f"labels: {subject.about.name} tells apart {_listed(labels.names)} with {_listed(labels.normal)} normal, "
            f"the data {_listed(dataset.label_names)} with {_listed(dataset.normal_labels)} normal; give the recipe it "
            "was trained by with --recipe"
        )


def require_both_classes(found: Answers, split: str, *, gates: bool) -> None:
    """Return when both classes have two images: an AUC has no interval below.

    Args:
        found: answers to a whole split.
        split: its name, for the message.
        gates: the subject may have refused images before inference.

    Raises:
        ConfigError: they have not.
    """
    abnormal = int(found.abnormal.sum())
    if min(abnormal, len(found) - abnormal) < 2:
        limits = " and the bundle's quality limits" if gates else ""
        raise ConfigError(
            f"{split} split: expected at least 2 normal and 2 abnormal images that can be scored, got "
            f"{len(found) - abnormal} normal and {abnormal} abnormal of {len(found) + found.unscored}; check the "
            f"recipe's label column{limits}"
        )


def _count(decisions: Counter[str], answer: Answer) -> None:
    if answer.decision is not None:
        decisions[answer.decision] += 1


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(map(repr, names))
