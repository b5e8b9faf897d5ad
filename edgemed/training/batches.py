"""Batches of augmented planes for one epoch, the same for the same seed and epoch.

for epoch in range(recipe.fit.epochs):
    model.fit(Batches(planes, labels, augmentation, seed=seed, epoch=epoch, size=32))
"""

from __future__ import annotations

import math

import keras
import numpy as np
from numpy.typing import NDArray

from edgemed.training.augment import Augmentation, augmented

__all__ = ["Batches", "predict"]


class Batches(keras.utils.PyDataset):
    """One epoch: every image once, in a seeded order, each with its own seeded augmentation.

    A batch is (float32 (n, H, W, 1) of grey levels 0..255, float32 (n, 1) labels, float32 (n,) weights that give
    both labels the same sum over the epoch).
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
    ) -> None:
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=8)
        self._planes, self._labels, self._augmentation = planes, labels, augmentation
        self._seed, self._epoch, self._size = seed, epoch, size
        # Order and pictures draw from streams of their own: (seed, epoch) equals (seed, epoch, 0) to NumPy.
        self._order = np.random.default_rng((seed, epoch, 0)).permutation(len(labels))
        counts = np.bincount(labels, minlength=2)
        self._weights = (len(labels) / (2 * counts)).astype(np.float32)

    def __len__(self) -> int:
        return math.ceil(len(self._order) / self._size)

    def __getitem__(self, batch: int) -> tuple[dict[str, NDArray[np.float32]], ...]:
        chosen = self._order[batch * self._size : (batch + 1) * self._size]
        pictures = np.stack([self._augmented(int(index)) for index in chosen])
        labels = self._labels[chosen]
        return (
            pictures[..., np.newaxis].astype(np.float32),
            {"logit": labels[:, np.newaxis].astype(np.float32)},
            {"logit": self._weights[labels]},
        )  # type: ignore[return-value]  # Keras takes an array for a single input

    def _augmented(self, index: int) -> NDArray[np.uint8]:
        rng = np.random.default_rng((self._seed, self._epoch, 1, index))
        return augmented(self._planes[index], self._augmentation, rng=rng)


def predict(model: keras.Model, planes: NDArray[np.uint8], *, size: int = 64) -> dict[str, NDArray[np.float32]]:
    """Return every output of a Keras model for planes (N, H, W), by name, first axis N."""
    parts = [
        model.predict_on_batch(planes[start : start + size, ..., np.newaxis].astype(np.float32))
        for start in range(0, len(planes), size)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
