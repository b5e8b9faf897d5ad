"""The loss on the logit: (focal) cross-entropy of labels that may be mixed, beside the answers of teachers.

With one logit targets are (n, 1) in 0..1; with K of them (n, K), a distribution. Teachers' logits stand behind them,
(n, 2) or (n, 2 K).

    loss = losses.made(recipe, distilled=False)
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from edgemed.training import recipe as recipes
from edgemed.training.recipe import Recipe

__all__ = ["Distilled", "made"]


def made(recipe: Recipe, *, distilled: bool) -> keras.losses.Loss:
    """Return the loss that a recipe asks for.

    Args:
        recipe: its ``fit`` and, when distilled, its ``distillation``.
        distilled: the targets carry teachers' logits.
    """
    loss = _of_labels(recipe)
    if not distilled:
        return loss
    if recipe.distillation is None:
        raise ValueError("distilled: expected a recipe with the part distillation")
    return Distilled(loss, temperature=recipe.distillation.temperature, weight=recipe.distillation.weight)


def _of_labels(recipe: Recipe) -> keras.losses.Loss:
    fit, binary = recipe.fit, recipes.outputs(recipe) == 1
    smoothing: dict[str, Any] = {"from_logits": True, "label_smoothing": fit.label_smoothing}
    if fit.loss == "focal":
        if binary:
            return keras.losses.BinaryFocalCrossentropy(gamma=fit.focal_gamma, **smoothing)
        # Keras scales by alpha, 0.25 by default: that only lowers the learning rate.
        return keras.losses.CategoricalFocalCrossentropy(gamma=fit.focal_gamma, alpha=1.0, **smoothing)
    if binary:
        return keras.losses.BinaryCrossentropy(**smoothing)
    return keras.losses.CategoricalCrossentropy(**smoothing)


class Distilled(keras.losses.Loss):
    """``(1 - weight)`` of the labels' loss and ``weight`` of the cross-entropy with teachers at a temperature.

    The second is multiplied by the squared temperature, which keeps its gradients in step with the first's.

    Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531, 2015, section 2.
    """

    def __init__(self, labels: keras.losses.Loss, *, temperature: float, weight: float) -> None:
        super().__init__(name="distilled")
        self._labels, self._temperature, self._weight = labels, temperature, weight

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the (n,) losses of targets (n, 2 K) and logits (n, K)."""
        count = y_pred.shape[-1]
        truth, teacher = y_true[:, :count], y_true[:, count:] / self._temperature
        student = y_pred / self._temperature
        if count == 1:
            soft = ops.binary_crossentropy(ops.sigmoid(teacher), student, from_logits=True)[:, 0]
        else:
            soft = ops.categorical_crossentropy(ops.softmax(teacher), student, from_logits=True)
        hard = self._labels.call(truth, y_pred)
        return (1 - self._weight) * hard + self._weight * self._temperature**2 * soft
