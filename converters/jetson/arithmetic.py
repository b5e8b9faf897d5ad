"""Operators that work value by value, and those that only move values."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping

import numpy as np

from converters.jetson import layout
from converters.jetson.translation import Call, CannotWriteError, clamped

__all__ = ["WRITERS"]


def _binary(kind: str) -> Callable[[Call], str]:
    def write(call: Call) -> str:
        return call.activated(call.node(kind, [_operand(call, 0), _operand(call, 1)]))

    return write


def _operand(call: Call, number: int) -> str:
    """Return one side of an operation that broadcasts, in the rank of the result."""
    tensor, rank = call.input(number), len(call.output.shape)
    widened = (1,) * (rank - len(tensor.shape)) + tensor.shape
    if not tensor.is_constant:
        return call.reshape(call.load(number), tensor.shape, widened)
    values = call.real(number).reshape(widened)
    return call.constant(values.transpose(layout.TO_IMAGE) if rank == 4 else values, "constant")


def _unary(kind: str) -> Callable[[Call], str]:
    def write(call: Call) -> str:
        return call.node(kind, [call.load(0)])

    return write


def _clamp(activation: str) -> Callable[[Call], str]:
    def write(call: Call) -> str:
        return clamped(call, call.load(0), activation)

    return write


def _leaky_relu(call: Call) -> str:
    return call.node("LeakyRelu", [call.load(0)], alpha=float(call.option("alpha")))


def _prelu(call: Call) -> str:
    return call.node("PRelu", [call.load(0), _operand(call, 1)])


def _hard_swish(call: Call) -> str:
    # x * relu6(x + 3) / 6: HardSwish came with opset 14.
    name = call.load(0)
    gate = call.node("HardSigmoid", [name], alpha=1 / 6, beta=0.5)
    return call.node("Mul", [name, gate])


def _gelu(call: Call) -> str:
    # x * (1 + erf(x / sqrt(2))) / 2, or with tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)): Gelu came with opset 20.
    name = call.load(0)
    if call.option("approximate"):
        cubed = _times(call, call.node("Mul", [name, call.node("Mul", [name, name])]), 0.044715)
        gate = call.node("Tanh", [_times(call, call.node("Add", [name, cubed]), math.sqrt(2 / math.pi))])
    else:
        gate = call.node("Erf", [_times(call, name, math.sqrt(0.5))])
    raised = call.node("Add", [gate, call.constant(np.array(1.0, np.float32), "one")])
    return call.node("Mul", [_times(call, name, 0.5), raised])


def _times(call: Call, name: str, factor: float) -> str:
    return call.node("Mul", [name, call.constant(np.array(factor, np.float32), "factor")])


def _same(call: Call) -> str:
    # What is written behind it quantizes with the new scale.
    return call.load(0)


def _reshape(call: Call) -> str:
    return call.reshape(call.load(0), call.input(0).shape, call.output.shape)


def _transpose(call: Call) -> str:
    return call.node("Transpose", [call.load(0)], perm=layout.permutation(call.integers(1)))


def _tile(call: Call) -> str:
    repeats = layout.stored(call.integers(1))
    return call.node("Tile", [call.load(0), call.constant(np.array(repeats, np.int64), "repeats")])


def _concatenation(call: Call) -> str:
    rank = len(call.output.shape)
    places = range(len(call.operator.inputs))
    name = call.node(
        "Concat", [_part(call, place) for place in places], axis=layout.axis(int(call.option("axis")), rank)
    )
    return call.activated(name)


def _part(call: Call, number: int) -> str:
    return _operand(call, number) if call.input(number).is_constant else call.load(number)


def _strided_slice(call: Call) -> str:
    options = call.operator.options
    if options.get("ellipsis_mask") or options.get("new_axis_mask"):
        raise CannotWriteError("has an ellipsis or a new axis, expected a start and an end for each axis")
    shape = call.input(0).shape
    spans = [
        _span(call, axis, side, values)
        for axis, (side, *values) in enumerate(
            zip(shape, *(call.integers(number) for number in (1, 2, 3)), strict=False)
        )
    ]
    return _sliced(call, spans)


def _span(call: Call, axis: int, side: int, values: list[int]) -> tuple[int, int, int]:
    """Return (start, end, step) along one axis, with the masks applied."""
    start, end, step = values
    if step < 1:
        raise CannotWriteError(f"has the step {step} along axis {axis}, expected 1 or more")
    options = call.operator.options
    start = 0 if _has_bit(options.get("begin_mask"), axis) else start
    start = start + side if start < 0 else start
    if _has_bit(options.get("shrink_axis_mask"), axis):
        return start, start + 1, 1
    return start, side if _has_bit(options.get("end_mask"), axis) else end, step


def _has_bit(mask: object, axis: int) -> bool:
    return isinstance(mask, int) and bool(mask >> axis & 1)


def _slice(call: Call) -> str:
    shape = call.input(0).shape
    spans = [
        (start, side if size < 0 else start + size, 1)
        for side, start, size in zip(shape, call.integers(1), call.integers(2), strict=False)
    ]
    return _sliced(call, spans)


def _sliced(call: Call, spans: list[tuple[int, int, int]]) -> str:
    shape = call.input(0).shape
    rank = len(shape)
    axes = [layout.axis(place, rank) for place in range(len(spans))]
    columns = [*zip(*spans, strict=True)]
    starts, ends, steps = (
        call.constant(np.array(column, np.int64), label)
        for column, label in zip(columns, ("starts", "ends", "steps"), strict=True)
    )
    name = call.node("Slice", [call.load(0), starts, ends, call.constant(np.array(axes, np.int64), "axes"), steps])
    cut = tuple(len(range(*slice(*span).indices(side))) for span, side in zip(spans, shape, strict=False))
    return call.reshape(name, cut + tuple(itertools.islice(shape, len(spans), None)), call.output.shape)


WRITERS: Mapping[str, Callable[[Call], str]] = {
    "ADD": _binary("Add"),
    "CONCATENATION": _concatenation,
    "DIV": _binary("Div"),
    "ELU": _unary("Elu"),
    "EXPAND_DIMS": _reshape,
    "GELU": _gelu,
    "HARD_SWISH": _hard_swish,
    "LEAKY_RELU": _leaky_relu,
    "LOGISTIC": _unary("Sigmoid"),
    "MAXIMUM": _binary("Max"),
    "MINIMUM": _binary("Min"),
    "MUL": _binary("Mul"),
    "PRELU": _prelu,
    "QUANTIZE": _same,
    "RELU": _clamp("RELU"),
    "RELU6": _clamp("RELU6"),
    "RELU_N1_TO_1": _clamp("RELU_N1_TO_1"),
    "RESHAPE": _reshape,
    "SLICE": _slice,
    "SQUEEZE": _reshape,
    "STRIDED_SLICE": _strided_slice,
    "SUB": _binary("Sub"),
    "TANH": _unary("Tanh"),
    "TILE": _tile,
    "TRANSPOSE": _transpose,
}
"""Writes the operator and returns its real output, by TFLite's name."""
