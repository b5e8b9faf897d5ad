"""The accelerators that a training is spread over: each takes a share of every batch.

With one of them, or none, nothing changes; so it does on another Keras backend than TensorFlow.

    with devices.shared(devices.accelerators()):
        model = ...  # built and compiled here, trained anywhere
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras

__all__ = ["accelerators", "shared"]


def accelerators() -> tuple[str, ...]:
    """Return the names of this machine's accelerators that can share a batch; none on a CPU."""
    if keras.backend.backend() != "tensorflow":
        return ()
    import tensorflow as tf

    return tuple(device.name for device in tf.config.list_logical_devices("GPU"))


def shared(names: Sequence[str]) -> AbstractContextManager[Any]:
    """Let a model that is built and compiled inside learn on several devices, each with its copy of the weights.

    Each device normalises by its own share of a batch. What the copies learn is summed before each step.
    """
    if len(names) < 2:
        return nullcontext()
    # Keras' own distribution is JAX's; on TensorFlow its trainer follows the strategy that a model was built under.
    import tensorflow as tf

    strategy: AbstractContextManager[Any] = tf.distribute.MirroredStrategy(list(names)).scope()
    return strategy
