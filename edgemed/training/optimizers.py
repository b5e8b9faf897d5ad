"""AdamW, with a smaller learning rate for what was trained before.

optimizer = optimizers.adamw(model, schedule, weight_decay=0.02, backbone_lr=0.1)
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from edgemed.errors import ConfigError
from edgemed.schema import near_match
from edgemed.training.models import is_head

__all__ = ["BackboneAdamW", "adamw", "freeze_below"]

_CLIP_NORM = 1.0  # of each variable's gradient


def adamw(
    model: keras.Model, schedule: LearningRateSchedule, *, weight_decay: float, backbone_lr: float
) -> keras.optimizers.AdamW:
    """Return the optimizer of a model; with ``backbone_lr`` 0 its backbone is frozen in place."""
    if backbone_lr == 1.0:
        return keras.optimizers.AdamW(schedule, weight_decay=weight_decay, clipnorm=_CLIP_NORM)
    backbone = [layer for layer in model.layers if not is_head(layer.name)]
    if backbone_lr == 0.0:
        for layer in backbone:
            layer.trainable = False
        return keras.optimizers.AdamW(schedule, weight_decay=weight_decay, clipnorm=_CLIP_NORM)
    slow = [variable for layer in backbone for variable in layer.trainable_variables]
    return BackboneAdamW(schedule, slow, share=backbone_lr, weight_decay=weight_decay, clipnorm=_CLIP_NORM)


def freeze_below(model: keras.Model, name: str | None) -> None:
    """Freeze the layers before the first whose name starts with ``name``, in place; None freezes nothing.

    Raises:
        ConfigError: no layer's name starts so.
    """
    if name is None:
        return
    names = [layer.name for layer in model.layers]
    place = next((place for place, one in enumerate(names) if one.startswith(name)), None)
    if place is None:
        known = [one for one, layer in zip(names, model.layers, strict=True) if layer.weights]
        raise ConfigError(
            f"fit.frozen_below: expected the start of a layer's name, got {name!r}{near_match(name, known)}; the "
            f"network has {known[0]} to {known[-1]}"
        )
    for layer in model.layers[:place]:
        layer.trainable = False


class BackboneAdamW(keras.optimizers.AdamW):
    """AdamW whose steps and decay are ``share`` times as large for some variables."""

    def __init__(
        self, schedule: LearningRateSchedule, slow: list[Any], *, share: float, weight_decay: float, clipnorm: float
    ) -> None:
        super().__init__(schedule, weight_decay=weight_decay, clipnorm=clipnorm)
        self._share, self._decay = share, weight_decay
        self._slow = slow
        self._slow_places: set[int] = set()
        # Keras decays by the whole learning rate: `update_step` sees to these variables instead.
        self.exclude_from_weight_decay(var_list=slow)

    def build(self, variables: list[Any]) -> None:
        """Remember which places of the list are slow; back ends hand their own tensors to `update_step`."""
        super().build(variables)
        slow = {id(variable) for variable in self._slow}
        self._slow_places = {place for place, variable in enumerate(variables) if id(variable) in slow}

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Move one variable by its gradient."""
        if self._get_variable_index(variable) in self._slow_places:
            learning_rate = ops.cast(learning_rate, variable.dtype) * self._share
            self.assign_sub(variable, variable * (learning_rate * self._decay))
        super().update_step(gradient, variable, learning_rate)
