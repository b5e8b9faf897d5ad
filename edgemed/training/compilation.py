"""What a model is trained by: the recipe's loss on the logit, and AdamW under a warm-up and a cosine to zero.

compilation.compile_for(model, recipe, epochs=8, learning_rate=5e-4, steps=144)
"""

from __future__ import annotations

import keras

from edgemed.training import losses, optimizers
from edgemed.training.recipe import Recipe

__all__ = ["compile_for"]


def compile_for(
    model: keras.Model,
    recipe: Recipe,
    *,
    epochs: int,
    learning_rate: float,
    steps: int,
    backbone_lr: float = 1.0,
    distilled: bool = False,
) -> None:
    """Compile in place.

    Args:
        model: of the contract; other outputs than the logit have no loss.
        recipe: loss, weight decay and warm-up.
        epochs: that the cosine spans.
        learning_rate: at its top.
        steps: an epoch has.
        backbone_lr: share of the learning rate for all but the evidence head; 0 freezes it, statistics too.
        distilled: the targets carry teachers' logits behind the labels.
    """
    warmup = round(min(recipe.fit.warmup_epochs, epochs / 2) * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=learning_rate / 20 if warmup else learning_rate,
        decay_steps=epochs * steps - warmup,
        warmup_target=learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    loss = losses.made(recipe, distilled=distilled)
    model.compile(
        optimizer=optimizers.adamw(model, schedule, weight_decay=recipe.fit.weight_decay, backbone_lr=backbone_lr),
        loss={name: loss if name == "logit" else None for name in model.output},
        # XLA compiles these depthwise convolutions to slow loops on a CPU: 9 times slower measured.
        jit_compile=False,
    )
