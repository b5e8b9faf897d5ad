"""The running average of a model's weights over its training steps, which is what is validated and saved.

averages = Averages.of(model, keep=0.999)
model.fit(batches, callbacks=[averages.callback(model)])
kept.set_weights(averages.values)
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import NDArray

__all__ = ["Averages"]


class Averages:
    """Averages of all weights, the normalisation's statistics too, in Keras' order.

    After step t an average is ``keep`` of itself and the rest of the weight; in the first steps ``(1 + t) / (10 + t)``
    where that is less, so that the random start is forgotten.
    """

    def __init__(self, values: Sequence[NDArray[np.generic]], *, keep: float, steps: int = 0) -> None:
        self._values = [np.array(value, dtype=np.float32) for value in values]
        self._keep, self._steps = keep, steps

    @classmethod
    def of(cls, model: keras.Model, *, keep: float) -> Averages:
        """Return averages that stand at a model's present weights."""
        return cls(model.get_weights(), keep=keep)

    @property
    def values(self) -> list[NDArray[np.float32]]:
        """The averages, in the order of `keras.Model.get_weights`."""
        return list(self._values)

    def update(self, weights: Sequence[NDArray[np.float32]]) -> None:
        """Take in the weights after one more step."""
        self._steps += 1
        keep = np.float32(min(self._keep, (1 + self._steps) / (10 + self._steps)))
        for average, weight in zip(self._values, weights, strict=True):
            np.multiply(average, keep, out=average)
            np.add(average, (1 - keep) * weight, out=average)

    def restore(self, values: Sequence[NDArray[np.generic]], *, steps: int) -> None:
        """Stand where other averages stood after so many steps."""
        self._values = [np.array(value, dtype=np.float32) for value in values]
        self._steps = steps

    def callback(self, model: keras.Model) -> keras.callbacks.Callback:
        """Return what calls `update` after each batch."""
        return keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs=None: self.update(model.get_weights())
        )
