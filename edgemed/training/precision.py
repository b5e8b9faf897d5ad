"""In which numbers layers compute while a model learns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras

__all__ = ["of_layers"]


@contextmanager
def of_layers(policy: str) -> Iterator[None]:
    """Build layers that compute in ``float32``, ``mixed_bfloat16`` or ``mixed_float16``; weights are float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
