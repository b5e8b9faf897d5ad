"""What the runtime asks of an inference back end; numpy is all a caller of this protocol needs.

A back end is a module in `edgemed.runtime.backends` with the names ``REQUIRES`` (what it lacks when absent),
``is_available()`` and ``load(model, *, threads, ...) -> Interpreter``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgemed.tensors import TensorSpec

__all__ = ["Interpreter"]


class Interpreter(Protocol):
    """A loaded int8 model with one signature, batch 1 and static shapes."""

    @property
    def backend(self) -> str:
        """Name of the back end, e.g. ``litert``."""
        ...

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        """Input tensors by signature name."""
        ...

    @property
    def outputs(self) -> Mapping[str, TensorSpec]:
        """Output tensors by signature name, e.g. ``logit``, ``evidence``, ``embedding``."""
        ...

    def invoke(self, inputs: Mapping[str, NDArray[np.int8]]) -> dict[str, NDArray[np.int8]]:
        """Run once; every array matches its spec, the results are copies the caller owns.

        Raises:
            InferenceError: a tensor does not match its specification, or the back end failed.
        """
        ...
