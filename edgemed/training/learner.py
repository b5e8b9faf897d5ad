"""The model that learns, the one that is kept of it, and everything that the next epoch starts from.

The kept model is float32 and uncompiled: what is validated and saved. Its weights are the averages where the recipe
asks for them, else those of the model that learns.

    learner = learner.new(recipe, steps=144, pretrained=path)
    learner.refresh()
    auc = ...predict(learner.kept, planes)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from edgemed.training import devices, models, optimizers, precision
from edgemed.training import recipe as recipes
from edgemed.training.averaging import Averages
from edgemed.training.compilation import compile_for
from edgemed.training.recipe import Recipe

__all__ = ["Learner", "new"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Learner:
    """A compiled model, the model that is kept of it, and the averages of its weights, if any."""

    model: keras.Model
    kept: keras.Model
    averages: Averages | None

    def refresh(self) -> None:
        """Give the kept model the weights after the last step."""
        self.kept.set_weights(self.model.get_weights() if self.averages is None else self.averages.values)

    def callbacks(self) -> list[keras.callbacks.Callback]:
        """Return what must hear of every step."""
        return [] if self.averages is None else [self.averages.callback(self.model)]

    def state(self) -> list[NDArray[np.generic]]:
        """Return weights, optimizer and averages as arrays, in a fixed order."""
        return [*(keras.ops.convert_to_numpy(variable) for variable in self._variables()), *self._averages()]

    def restore(self, arrays: list[NDArray[np.generic]], *, steps: int) -> None:
        """Take over a state after so many steps, as `state` gave it."""
        variables = self._variables()
        for variable, array in zip(variables, arrays, strict=False):
            variable.assign(array)
        if self.averages is not None:
            self.averages.restore(arrays[len(variables) :], steps=steps)

    def shapes(self) -> list[tuple[int, ...]]:
        """Return the shapes of `state`."""
        return [
            *(tuple(variable.shape) for variable in self._variables()),
            *(average.shape for average in self._averages()),
        ]

    def _variables(self) -> list[keras.Variable]:
        return [*self.model.weights, *self.model.optimizer.variables]

    def _averages(self) -> list[NDArray[np.float32]]:
        return [] if self.averages is None else self.averages.values


def new(recipe: Recipe, *, steps: int, pretrained: Path | None, accelerators: tuple[str, ...] | None = None) -> Learner:
    """Return a learner before its first step.

    Args:
        recipe: network, loss and schedule.
        steps: an epoch has.
        pretrained: weights to start from; None for random ones by the recipe's seed.
        accelerators: names of the devices that share each batch; None for all that this machine has.

    Raises:
        ConfigError: the recipe has no network, an impossible one, or weights of another one.
    """
    keras.utils.set_random_seed(recipe.fit.seed)
    names = devices.accelerators() if accelerators is None else accelerators
    with devices.shared(names), precision.of_layers(recipe.fit.precision):
        model = _built(recipe, pretrained)
        optimizers.freeze_below(model, recipe.fit.frozen_below)
        compile_for(
            model,
            recipe,
            epochs=recipe.fit.epochs,
            learning_rate=recipe.fit.learning_rate,
            steps=steps,
            backbone_lr=recipe.fit.backbone_lr,
            distilled=recipe.distillation is not None,
        )
        model.optimizer.build(model.trainable_variables)
    kept = _built(recipe, None)
    kept.jit_compile = False  # XLA compiles depthwise convolutions to slow loops on a CPU
    averages = Averages.of(model, keep=recipe.fit.ema) if recipe.fit.ema else None
    return Learner(model=model, kept=kept, averages=averages)


def _built(recipe: Recipe, pretrained: Path | None) -> keras.Model:
    return models.build(
        recipes.network(recipe),
        height=recipe.preprocessing.height,
        width=recipe.preprocessing.width,
        outputs=recipes.outputs(recipe),
        pretrained=pretrained,
    )
