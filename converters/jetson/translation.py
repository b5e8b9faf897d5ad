"""One pass over a TFLite graph that writes the same graph as ONNX, operator by operator.

Rules: an int8 activation is quantized once, behind the operator that makes it and its fused activation, and gets a
DequantizeLinear for each reader, so that TensorRT finds an integer tensor between every two operators; weights are
real constants behind a Q/DQ pair per output channel, which TensorRT folds (TensorRT 8 accepts no int8 weights, 10
accepts both); biases are plain constants, input scale times weight scale times the stored integer.

    translation = Translation(model, network, scales=ranges.scales(model, source="int8.tflite"))

Source: TensorRT developer guide, "Explicit Quantization", Q/DQ placement; that TensorRT 8 wants real weights is recall
of its section "Quantized Weights".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.jetson import layout
from converters.jetson.network import Network, Value
from edgemed import tflite

__all__ = ["Call", "CannotWriteError", "Translation"]


class CannotWriteError(Exception):
    """Why one operator has no ONNX counterpart here; the caller adds its name and place."""


class Translation:
    """What has been written so far: the ONNX value of each TFLite tensor.

    Args:
        model: the TFLite graph.
        network: receives the nodes.
        scales: symmetric scale of each int8 activation by its place; None or absent where it is a real number.
    """

    def __init__(self, model: tflite.Model, network: Network, *, scales: Mapping[int, float | None]) -> None:
        self.model = model
        self.network = network
        self._scales = scales
        self._values: dict[int, Value] = {}

    def store(self, place: int, name: str, *, scope: str) -> None:
        """Note ``name`` as the real value of a tensor, behind a quantizer where it is int8."""
        scale = self._scales.get(place)
        if scale is None:
            self._values[place] = Value(name=name)
        else:
            self._values[place] = self.network.quantized(name, np.array(scale, np.float32), scope=scope)

    def load(self, place: int, *, scope: str, output: str | None = None) -> str:
        """Return the name of a computed tensor's real value, dequantized for this reader."""
        return self.network.dequantized(self._values[place], scope=scope, output=output)

    def scale(self, place: int) -> float | None:
        """Return the symmetric scale of an int8 activation, None for a real one."""
        return self._scales.get(place)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One operator on its way into the graph; what the functions of the operator tables take."""

    translation: Translation
    operator: tflite.Operator

    @property
    def scope(self) -> str:
        """Name of the operator's nodes, e.g. ``conv_2d_3``."""
        return f"{self.operator.name.lower()}_{self.operator.index}"

    @property
    def output(self) -> tflite.Tensor:
        """Its only output."""
        return self.translation.model.tensors[self.operator.outputs[0]]

    def input(self, number: int) -> tflite.Tensor:
        """Return one of its inputs.

        Raises:
            CannotWriteError: it has fewer, or leaves this one out.
        """
        found = self.optional(number)
        if found is None:
            raise CannotWriteError(f"has no input {number}")
        return found

    def optional(self, number: int) -> tflite.Tensor | None:
        """Return one of its inputs, or None where it is left out."""
        places = self.operator.inputs
        if number >= len(places) or places[number] < 0:
            return None
        return self.translation.model.tensors[places[number]]

    def option(self, name: str) -> Any:
        """Return one of its options.

        Raises:
            CannotWriteError: the file does not hold it.
        """
        if name not in self.operator.options:
            raise CannotWriteError(f"has no option {name}")
        return self.operator.options[name]

    def load(self, number: int) -> str:
        """Return the name of an input's real value, in ONNX's layout.

        Raises:
            CannotWriteError: it is a constant, or nothing has computed it.
        """
        tensor = self.input(number)
        if tensor.is_constant:
            raise CannotWriteError(f"has a constant input {number}, expected a computed one")
        return self.translation.load(tensor.index, scope=self.scope)

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        return self.translation.network.node(kind, inputs, scope=self.scope, **attributes)

    def constant(self, values: NDArray[Any], name: str) -> str:
        """Add a constant and return its name; real numbers get the graph's type."""
        return self.translation.network.constant(values, scope=f"{self.scope}/{name}")

    def integers(self, number: int) -> tuple[int, ...]:
        """Return the values of an input that must be constant integers, flat: shapes, axes, paddings.

        Raises:
            CannotWriteError: it is computed, or of another type.
        """
        tensor = self.input(number)
        if not tensor.is_constant or tensor.dtype not in ("int32", "int64"):
            raise CannotWriteError(f"has a computed input {number}, expected constant integers")
        return tuple(int(value) for value in tflite.values(self.translation.model, tensor).flat)

    def real(self, number: int) -> NDArray[np.float64]:
        """Return the real values of a constant input, in TFLite's layout.

        Raises:
            CannotWriteError: it is computed, or integers without a scale.
        """
        tensor = self.input(number)
        if not tensor.is_constant:
            raise CannotWriteError(f"has a computed input {number}, expected a constant")
        return dequantized(tensor, tflite.values(self.translation.model, tensor))

    def reshape(self, name: str, before: Sequence[int], after: Sequence[int]) -> str:
        """Return the value in another TFLite shape, its elements in TFLite's order."""
        if tuple(before) == tuple(after):
            return name
        if not layout.keeps_order(before):
            name = self.node("Transpose", [name], perm=layout.FROM_IMAGE)
        # Where a transpose follows, the shape in between is TFLite's own.
        direct = layout.keeps_order(after)
        shape = layout.stored(after) if direct else tuple(after)
        name = self.node("Reshape", [name, self.constant(np.array(shape, np.int64), "shape")])
        return name if direct else self.node("Transpose", [name], perm=layout.TO_IMAGE)

    def activated(self, name: str) -> str:
        """Return the value behind the activation that TFLite fuses into the operator.

        Raises:
            CannotWriteError: an activation other than RELU, RELU6 or RELU_N1_TO_1.
        """
        return clamped(self, name, str(self.operator.options.get("fused_activation_function", "NONE")))


def clamped(call: Call, name: str, activation: str) -> str:
    """Return the value behind TFLite's activation of this name.

    Where int8 saturates at or below the upper end, Relu alone does the same, and TensorRT fuses it everywhere.
    """
    if activation == "NONE":
        return name
    limits = {"RELU": (0.0, np.inf), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}
    if activation not in limits:
        raise CannotWriteError(f"has the fused activation {activation}, expected one of {', '.join(limits)}")
    low, high = limits[activation]
    scale = call.translation.scale(call.output.index)
    saturates = scale is not None and 127 * scale <= high * (1 + 1e-6)
    if low == 0.0 and (saturates or high == np.inf):
        return call.node("Relu", [name])
    ends = [call.constant(np.array(end, np.float32), label) for end, label in ((low, "min"), (high, "max"))]
    return call.node("Clip", [name, *ends])


def dequantized(tensor: tflite.Tensor, values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the real numbers that stored values stand for.

    Raises:
        CannotWriteError: integers without a scale, or with another number of scales than their axis has slices.
    """
    if tensor.dtype in ("float32", "float16"):
        return values.astype(np.float64)
    if not tensor.scales:
        raise CannotWriteError(f"has a constant of {tensor.dtype} without a scale, tensors[{tensor.index}]")
    shape = [1] * values.ndim
    if len(tensor.scales) > 1:
        if not 0 <= tensor.axis < values.ndim or len(tensor.scales) != values.shape[tensor.axis]:
            got = f"{len(tensor.scales)} along axis {tensor.axis}"
            raise CannotWriteError(f"has a constant of shape {values.shape} with {got} scales, tensors[{tensor.index}]")
        shape[tensor.axis] = len(tensor.scales)
    # TFLite's scales are float32; their product with an integer is exact in float64.
    scales = np.array(tensor.scales, np.float64).reshape(shape)
    points = np.array(tensor.zero_points, np.int64).reshape(shape)
    real: NDArray[np.float64] = (values.astype(np.int64) - points) * scales
    return real
