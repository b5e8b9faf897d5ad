"""How much work a graph is: per operator the multiply-adds and the values it reads and writes, from the file alone.

work = tflite.work(model)
sum(one.multiply_adds for one in work)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgemed.tflite.model import Model, Operator, Tensor

__all__ = ["KERNELS", "Work", "kernel", "work"]

KERNELS = {"CONV_2D": (1, 0), "DEPTHWISE_CONV_2D": (1, 3), "FULLY_CONNECTED": (1, 0), "TRANSPOSE_CONV": (1, 0)}
"""Place of the kernel among the inputs, and of the output channels among its dimensions (TFLite kernel layouts)."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """One operator in one inference; everything counts values, not bytes.

    Attributes:
        operator: TFLite's name, e.g. ``CONV_2D``; a custom operator's own.
        places: how often its kernel is laid; 0 for an operator without one.
        taps: height times width of the kernel.
        depth: input channels that each output value sums up over; 1 for a depthwise kernel.
        channels: output channels.
        weights: values of its constants.
        read: values of its computed inputs.
        written: values of its outputs.
    """

    operator: str
    places: int = 0
    taps: int = 0
    depth: int = 0
    channels: int = 0
    weights: int = 0
    read: int = 0
    written: int = 0

    @property
    def multiply_adds(self) -> int:
        """How often a weight of the kernel meets a value."""
        return self.places * self.taps * self.depth * self.channels


def work(model: Model) -> tuple[Work, ...]:
    """Return the work of each operator, in execution order."""
    return tuple(_of(operator, model) for operator in model.operators)


def kernel(operator: Operator, model: Model) -> tuple[Tensor, int] | None:
    """Return the stored kernel of an operator and the dimension of its output channels; None without one."""
    place, axis = KERNELS.get(operator.name, (len(operator.inputs), 0))
    if place >= len(operator.inputs) or operator.inputs[place] < 0:
        return None
    found = model.tensors[operator.inputs[place]]
    return (found, axis) if found.is_constant and axis < len(found.shape) else None


def _of(operator: Operator, model: Model) -> Work:
    ends = [model.tensors[index] for index in dict.fromkeys(operator.inputs) if index >= 0]
    return Work(
        operator=operator.custom_name or operator.name,
        **_laid(operator, model),
        weights=sum(_values(tensor) for tensor in ends if tensor.is_constant),
        read=sum(_values(tensor) for tensor in ends if not tensor.is_constant),
        written=sum(_values(model.tensors[index]) for index in operator.outputs),
    )


def _laid(operator: Operator, model: Model) -> dict[str, int]:
    """Return places, taps, depth and channels of an operator's kernel; nothing without one."""
    found = kernel(operator, model)
    if found is None or not operator.outputs:
        return {}
    weights, axis = found
    channels = weights.shape[axis]
    # Without the output channels and, but for a depthwise kernel, the input channels behind them.
    depth = 1 if operator.name == "DEPTHWISE_CONV_2D" else weights.shape[-1]
    taps = math.prod(weights.shape) // max(1, channels * depth)
    # A transposed convolution lays its kernel at every place of its input, its third operand.
    is_transposed = operator.name == "TRANSPOSE_CONV"
    laid = model.tensors[operator.inputs[2] if is_transposed else operator.outputs[0]]
    places = _values(laid) // max(1, depth if is_transposed else channels)
    return {"places": places, "taps": taps, "depth": depth, "channels": channels}


def _values(tensor: Tensor) -> int:
    return math.prod(tensor.allocated_shape)
