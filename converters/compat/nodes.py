"""One operator of a TFLite file with the tensors it names: what the rules of `edgetpu` and `xnnpack` look at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemed import tflite
from edgemed.errors import ConversionError
from edgemed.tflite import Model, Operator, Option, Tensor

__all__ = ["EIGHT_BIT", "Node", "is_quantized", "nodes"]

EIGHT_BIT = ("int8", "uint8")
_INTEGERS = (*EIGHT_BIT, "int16")
_MOST_DIMENSIONS = 8  # that any kernel of TFLite takes (TRANSPOSE, BROADCAST_TO)
_FEW = 64  # numbers in a shape, a list of axes or paddings: two per dimension, with room to spare

# How many inputs an operator cannot be without; an operator not listed here takes one.
_INPUTS = {
    **dict.fromkeys(("ADD", "DIV", "MAXIMUM", "MINIMUM", "MUL", "PRELU", "SQUARED_DIFFERENCE", "SUB"), 2),
    **dict.fromkeys(("MEAN", "REDUCE_MAX", "REDUCE_MIN", "SUM", "PAD", "PADV2", "TRANSPOSE", "EXPAND_DIMS"), 2),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SPLIT", "BATCH_MATMUL"), 2),
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"), 2),
    **dict.fromkeys(("SLICE", "TRANSPOSE_CONV"), 3),
    "STRIDED_SLICE": 4,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """An operator in its model; ``source`` is the file's name for messages.

    Attributes:
        unpacked: places of tensors that are constants of float16 made float32 by a DEQUANTIZE of their own.
        zeros: shared by the nodes of one model: a constant that many operators name is looked through once.
    """

    model: Model
    operator: Operator
    source: str
    unpacked: frozenset[int]
    zeros: dict[int, bool]

    @property
    def name(self) -> str:
        """The builtin's name; a custom operator's own."""
        return self.operator.custom_name or self.operator.name

    def input(self, place: int) -> Tensor | None:
        """Return an input; None when it is left out."""
        inputs = self.operator.inputs
        if place >= len(inputs) or inputs[place] == -1:
            return None
        return self.model.tensors[inputs[place]]

    def required(self, place: int) -> Tensor:
        """Return an input the operator cannot be without.

        Raises:
            ConversionError: it is left out.
        """
        tensor = self.input(place)
        if tensor is None:
            raise ConversionError(f"{self._where()}.inputs[{place}]: expected a tensor, got none; the file is damaged")
        return tensor

    @property
    def output(self) -> Tensor:
        """The first output."""
        return self.model.tensors[self.operator.outputs[0]]

    @property
    def computed_inputs(self) -> tuple[Tensor, ...]:
        """Inputs that are no constants, in order."""
        tensors = (self.model.tensors[place] for place in self.operator.inputs if place != -1)
        return tuple(tensor for tensor in tensors if not tensor.is_constant)

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """All outputs, in order."""
        return tuple(self.model.tensors[place] for place in self.operator.outputs)

    def option(self, name: str, default: Option) -> Option:
        """Return an option; the default when the file has no table of this operator's options."""
        return self.operator.options.get(name, default)

    def number(self, name: str, default: int) -> int:
        """Return an option that is a number, as `option` does.

        Raises:
            ConversionError: it is no whole number.
        """
        value = self.option(name, default)
        if not isinstance(value, int):
            raise ConversionError(f"{self._where()}.options.{name}: expected a whole number, got {value!r}")
        return value

    def numbers(self, place: int) -> tuple[int, ...] | None:
        """Return the whole numbers of a small constant input; None when it is computed or left out.

        Raises:
            ConversionError: it is larger than any shape or list of axes, or holds no whole numbers.
        """
        tensor = self.input(place)
        if tensor is None or not tensor.is_constant:
            return None
        if math.prod(tensor.allocated_shape) > _FEW or not tensor.dtype.startswith(("int", "uint")):
            raise ConversionError(
                f"{self._where()}.inputs[{place}]: expected at most {_FEW} whole numbers, got {tensor.dtype} of shape "
                f"{tensor.allocated_shape}; the file is damaged"
            )
        return tuple(int(value) for value in self.values(tensor).reshape(-1))

    def values(self, tensor: Tensor) -> NDArray[Any]:
        """Return the values of a constant input.

        Raises:
            ConversionError: the file does not hold them whole.
        """
        try:
            return tflite.values(self.model, tensor)
        except ConversionError as err:
            raise ConversionError(f"{self.source}: {err}") from err

    def is_stored(self, tensor: Tensor) -> bool:
        """Return whether an input is a constant, in the file as it is or as float16."""
        return tensor.is_constant or tensor.index in self.unpacked

    def is_zero(self, tensor: Tensor) -> bool:
        """Return whether a constant input stands for zeros: all its values are the zero point.

        Raises:
            ConversionError: the file does not hold them whole.
        """
        if tensor.index not in self.zeros:
            zero = tensor.zero_points[0] if tensor.zero_points else 0
            self.zeros[tensor.index] = bool(np.all(self.values(tensor) == zero))
        return self.zeros[tensor.index]

    def require_operands(self) -> None:
        """Refuse an operator without the inputs and the output it cannot be without.

        Raises:
            ConversionError: it has too few.
        """
        needed = _INPUTS.get(self.operator.name, 0)
        for place in range(needed):
            self.required(place)
        if not self.operator.outputs:
            raise ConversionError(f"{self._where()}.outputs: expected a tensor, got none; the file is damaged")

    def _where(self) -> str:
        return f"{self.source}: operators[{self.operator.index}] ({self.name})"


def nodes(model: Model, *, source: str) -> tuple[Node, ...]:
    """Return the operators of a model, each with its operands checked.

    Raises:
        ConversionError: an operator lacks an operand it cannot be without, or a tensor has more dimensions than TFLite
            computes with.
    """
    for tensor in model.tensors:
        if len(tensor.allocated_shape) > _MOST_DIMENSIONS:
            raise ConversionError(
                f"{source}: tensors[{tensor.index}].shape: expected at most {_MOST_DIMENSIONS} dimensions, "
                f"got {len(tensor.allocated_shape)}; the file is damaged"
            )
    shared: dict[str, Any] = {"model": model, "source": source, "unpacked": _unpacked(model), "zeros": {}}
    found = tuple(Node(operator=operator, **shared) for operator in model.operators)
    for node in found:
        node.require_operands()
    return found


def _unpacked(model: Model) -> frozenset[int]:
    return frozenset(
        place
        for operator in model.operators
        if operator.name == "DEQUANTIZE" and operator.inputs and operator.inputs[0] != -1
        for place in operator.outputs
        if model.tensors[operator.inputs[0]].dtype == "float16" and model.tensors[operator.inputs[0]].is_constant
    )


def is_quantized(model: Model) -> bool:
    """Return whether the model computes in integers, at least in part; weights in integers alone do not count."""
    return any(tensor.dtype in _INTEGERS and tensor.scales and not tensor.is_constant for tensor in model.tensors)
