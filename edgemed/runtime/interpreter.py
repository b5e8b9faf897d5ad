"""What the runtime asks of an inference back end; numpy is all a caller of this protocol needs.

A back end is a module in `edgemed.runtime.backends` with the names ``REQUIRES`` (what it lacks when absent),
``is_available()`` and ``load(model, *, threads, kernels, delegate) -> Interpreter``.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgemed.tensors import TensorSpec

__all__ = ["Delegate", "Interpreter", "Kernels", "OwnMemory", "Tensor"]

Tensor: TypeAlias = "NDArray[np.int8] | NDArray[np.float32]"
"""What goes into a model and comes out: int8 with a scale, or float32 in real units, as its `TensorSpec` says."""


class Kernels(str, enum.Enum):
    """Which code computes the operators; int8 results differ between them by some LSB."""

    XNNPACK = "xnnpack"
    """What the back end does unasked: its default delegates, XNNPACK where the model and the build allow it."""

    REFERENCE = "reference"
    """The built-in kernels alone, without any delegate."""


@dataclass(frozen=True, kw_only=True)
class Delegate:
    """A shared library that takes the graph over from a TFLite back end, for an accelerator.

    Attributes:
        library: file name or path, as the system's loader takes it.
        device: where it looks for its device, ``usb`` or ``pci``; None leaves that to the library.
    """

    library: str
    device: str | None = None


class Interpreter(Protocol):
    """A loaded model with one signature, batch 1 and static shapes; for one thread at a time."""

    @property
    def backend(self) -> str:
        """Name of the back end, e.g. ``litert``."""
        ...

    @property
    def kernels(self) -> Kernels:
        """The kernels it was loaded with."""
        ...

    @property
    def threads(self) -> int:
        """Threads that one inference may use."""
        ...

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        """Input tensors by signature name."""
        ...

    @property
    def outputs(self) -> Mapping[str, TensorSpec]:
        """Output tensors by signature name, e.g. ``logit``, ``evidence``, ``embedding``."""
        ...

    @property
    def accelerated(self) -> bool:
        """Whether an accelerator computes the graph, as far as the back end can tell; the CPU does otherwise."""
        ...

    def invoke(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Run once; every array matches its spec, the results are copies the caller owns.

        Raises:
            InferenceError: a tensor does not match its specification, or the back end failed.
        """
        ...


@runtime_checkable
class OwnMemory(Protocol):
    """What an interpreter may offer besides: its inputs written where they lie, without a copy."""

    def memory(self, name: str) -> Tensor:
        """Return an input's own memory, to be filled and given up before `run`; ask again each time."""
        ...

    def run(self) -> Mapping[str, Tensor]:
        """Run once on what the inputs' memory holds; otherwise as `Interpreter.invoke`."""
        ...
