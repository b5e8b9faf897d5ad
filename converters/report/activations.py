"""Every activation of a TFLite file, as integers and as the real values they stand for.

LiteRT's built-in kernels are used, without XNNPACK: it merges operators and keeps no tensor between them.

    probe = activations.Probe(raw)
    probe.run({tensor.index: activations.coded(plane, tensor)})
    activations.real(probe.read(25), model.tensors[25])
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemed import native_output, tensors, tflite
from edgemed.errors import ConversionError, InferenceError

__all__ = ["Probe", "at_ends", "beyond", "coded", "real"]

_LOGGER = logging.getLogger(__name__)


class Probe:
    """An interpreter that keeps what it computes on the way; tensors go by their place in the file.

    Raises:
        InferenceError: LiteRT cannot run the file.
    """

    def __init__(self, raw: bytes, *, threads: int = 1) -> None:
        from ai_edge_litert import interpreter as library

        try:
            with native_output.to_log(_LOGGER):
                self._native = library.Interpreter(
                    model_content=raw,
                    num_threads=threads,
                    experimental_op_resolver_type=library.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                    experimental_preserve_all_tensors=True,
                )
                self._native.allocate_tensors()
        except (RuntimeError, ValueError) as err:
            raise InferenceError(f"layer errors: expected a TFLite model LiteRT can run: {err}") from err

    def run(self, inputs: Mapping[int, NDArray[Any]]) -> None:
        """Compute every tensor from the inputs.

        Raises:
            InferenceError: an input does not fit its tensor, or a kernel failed.
        """
        try:
            for index, values in inputs.items():
                self._native.set_tensor(index, values)
            self._native.invoke()
        except (RuntimeError, ValueError) as err:
            raise InferenceError(f"layer errors: inference failed: {err}") from err

    def read(self, index: int) -> NDArray[Any]:
        """Return a copy of what the last run computed for a tensor."""
        values: NDArray[Any] = self._native.get_tensor(index)
        return values


def coded(plane: NDArray[np.float32], tensor: tflite.Tensor) -> NDArray[Any]:
    """Return an input's values in its type: int8 by its scale, or as they are for a float32 input.

    Raises:
        ConversionError: the input is of another type, or has no single scale.
    """
    if tensor.dtype == "float32":
        return plane
    if tensor.dtype == "int8" and len(tensor.scales) == 1:
        return tensors.quantize(plane, _quantization(tensor))
    raise ConversionError(
        f"layer errors: input {tensor.name}: expected int8 with one scale, or float32, got {tensor.dtype}; "
        "export it again"
    )


def real(stored: NDArray[Any], tensor: tflite.Tensor) -> NDArray[np.float64]:
    """Return the real values that a tensor's contents stand for, rounded to float32 as a float model computes."""
    values = tensors.dequantize(stored, _quantization(tensor)) if tensor.scales else stored
    return values.astype(np.float32).astype(np.float64)


def _quantization(tensor: tflite.Tensor) -> tensors.Quantization:
    return tensors.Quantization(scale=tensor.scales[0], zero_point=tensor.zero_points[0])


def at_ends(stored: NDArray[Any]) -> int:
    """Count the integers at the ends of their type; a float tensor has none."""
    if not np.issubdtype(stored.dtype, np.integer):
        return 0
    ends = np.iinfo(stored.dtype)
    return int(np.count_nonzero((stored == ends.min) | (stored == ends.max)))


def beyond(of_float: NDArray[np.float64], tensor: tflite.Tensor) -> int:
    """Count the real values more than half an LSB beyond what a tensor's integers express; 0 for a float tensor."""
    if not tensor.scales:
        return 0
    ends, scale, zero = np.iinfo(tensor.dtype), tensor.scales[0], tensor.zero_points[0]
    low, high = ((end - zero) * scale for end in (ends.min - 0.5, ends.max + 0.5))
    return int(np.count_nonzero((of_float < low) | (of_float > high)))
