"""Batches of augmented planes for one epoch, the same for the same seed and epoch.

for epoch in range(recipe.fit.epochs):
    model.fit(Batches.of(recipe, train, epoch=epoch))
"""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
import numpy as np
from numpy.typing import NDArray

from edgemed.imaging.labelled import LabelledPlanes
from edgemed.training import recipe as recipes
from edgemed.training.augment import Augmentation, augmented
from edgemed.training.mixing import Batch, mixed
from edgemed.training.recipe import Recipe
from edgemed.training.settings import Fit

__all__ = ["Batches", "Teacher", "predict"]

#: Gives teachers' logits (n, K) for pictures (n, H, W, 1) float32 of grey levels 0..255.
Teacher = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class Batches(keras.utils.PyDataset):
    """One epoch: every image once, in a seeded order, each with its own seeded augmentation.

    A batch is (float32 (n, H, W, 1) of grey levels 0..255, float32 (n, K) targets, float32 (n,) weights that give
    every label the same sum over the epoch). With a teacher its logits stand behind the targets, (n, 2 K).
    """

    def __init__(
        self,
        planes: NDArray[np.uint8],
        labels: NDArray[np.int64],
        augmentation: Augmentation,
        *,
        seed: int,
        epoch: int,
        size: int,
        outputs: int = 1,
        fit: Fit | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        """Take one epoch's images; ``fit`` says how they are mixed and weighed, without one labels weigh the same."""
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=8)
        self._planes, self._labels, self._augmentation = planes, labels, augmentation
        self._seed, self._epoch, self._size = seed, epoch, size
        self._fit, self._teacher = fit, teacher
        # Order, pictures and mixing draw from streams of their own: (seed, epoch) equals (seed, epoch, 0) to NumPy.
        rng = np.random.default_rng((seed, epoch, 0))
        sampled = fit is not None and fit.balance == "sampled"
        self._order = _drawn(labels, rng) if sampled else rng.permutation(len(labels))
        self._targets = _targets(labels, outputs)
        self._weights = _weights(labels, outputs, equal=fit is None or fit.balance == "labels")

    @classmethod
    def of(cls, recipe: Recipe, part: LabelledPlanes, *, epoch: int, teacher: Teacher | None = None) -> Batches:
        """Return an epoch over a part as a recipe asks for it."""
        return cls(
            part.planes,
            part.labels,
            recipe.augmentation,
            seed=recipe.fit.seed,
            epoch=epoch,
            size=recipe.fit.batch,
            outputs=recipes.outputs(recipe),
            fit=recipe.fit,
            teacher=teacher,
        )

    @staticmethod
    def count(recipe: Recipe, part: LabelledPlanes) -> int:
        """Return how many batches an epoch over a part has."""
        shown = sum(_shares(part.labels)) if recipe.fit.balance == "sampled" else len(part.labels)
        return math.ceil(shown / recipe.fit.batch)

    def __len__(self) -> int:
        return math.ceil(len(self._order) / self._size)

    def __getitem__(self, number: int) -> tuple[dict[str, NDArray[np.float32]], ...]:
        batch = self._batch(number)
        pictures, targets = batch.pictures[..., np.newaxis], batch.targets
        if self._teacher is not None:
            # On the very pictures that the student sees, mixed ones too: Beyer et al., CVPR 2022, section 3.
            targets = np.concatenate([targets, self._teacher(pictures)], axis=1)
        return pictures, {"logit": targets}, {"logit": batch.weights}  # type: ignore[return-value]  # Keras takes an array for a single input

    def _batch(self, number: int) -> Batch:
        chosen = self._order[number * self._size : (number + 1) * self._size]
        batch = Batch(
            pictures=np.stack([self._augmented(int(index)) for index in chosen]).astype(np.float32),
            targets=self._targets[chosen],
            weights=self._weights[chosen],
        )
        if self._fit is None:
            return batch
        return mixed(batch, self._fit, rng=np.random.default_rng((self._seed, self._epoch, 2, number)))

    def _augmented(self, index: int) -> NDArray[np.uint8]:
        rng = np.random.default_rng((self._seed, self._epoch, 1, index))
        return augmented(self._planes[index], self._augmentation, rng=rng)


def _shares(labels: NDArray[np.int64]) -> list[int]:
    """Return how many images of each label that occurs an epoch of equal shares has."""
    counts = np.bincount(labels)
    present = counts[counts > 0]
    return [int(present.min())] * len(present)


def _drawn(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return indices in random order, as many of each label as the rarest has, none twice."""
    places = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    chosen = [place[:share] for place, share in zip(places, _shares(labels), strict=True)]
    return rng.permutation(np.concatenate(chosen))


def _targets(labels: NDArray[np.int64], outputs: int) -> NDArray[np.float32]:
    """Return (n, K): the label itself for one logit, else 1 in its place."""
    if outputs == 1:
        return labels[:, np.newaxis].astype(np.float32)
    return np.eye(outputs, dtype=np.float32)[labels]


def _weights(labels: NDArray[np.int64], outputs: int, *, equal: bool) -> NDArray[np.float32]:
    """Return (n,) weights of mean 1; with ``equal``, every label that occurs has the same sum."""
    if not equal:
        return np.ones(len(labels), dtype=np.float32)
    counts = np.bincount(labels, minlength=max(2, outputs))
    share = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return np.asarray(share[labels], dtype=np.float32)


def predict(model: keras.Model, planes: NDArray[np.uint8], *, size: int = 64) -> dict[str, NDArray[np.float32]]:
    """Return every output of a Keras model for planes (N, H, W), by name, first axis N."""
    parts = [
        model.predict_on_batch(planes[start : start + size, ..., np.newaxis].astype(np.float32))
        for start in range(0, len(planes), size)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
