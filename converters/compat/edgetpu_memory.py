"""How many bytes the weights take on an Edge TPU, and how many of them stay in its on-chip memory.

Layout, measured: output channels are rounded up to 64 and the input channels of each tap to 4, and weights with a scale
per channel have 8 bytes more for each of these channels. It gives every published size of two series to the last digit:
five convolutions of 32 to 442 filters, and dense layers of 2 to 762 units. A layer is cached or streamed as a whole.

Source: CONV_MACs and FC_MACs results of github.com/Jorgitou98/EdgeTPU-QuantRL-Evaluation (MIT); tests hold this module
against them. Depthwise weights, and constants of elementwise operators: by the same rounding or as they are, unproven.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from converters.compat.nodes import Node
from converters.compat.report import Parameters
from edgemed.errors import ConversionError
from edgemed.tflite import Tensor

__all__ = ["cached", "laid_bytes", "layer_bytes", "rounded_channels", "rounded_depth"]

_LANES = 64
_WORD = 4
_MEBIBYTE = 1 << 20

# Instructions and activations take part of the on-chip memory. What logs leave for parameters lies between 6.1 and 7.8
# of 8 MiB, for image models mostly near 7.0 (google-coral/edgetpu#187, #393, #512, #671; WongKinYiu/yolov7#1672).
_RESERVED_BYTES = _MEBIBYTE

# Where each operator keeps its weights, and their output and input channels: (input, output axis, input axis).
_WEIGHTS = {
    "CONV_2D": (1, 0, 3),
    "TRANSPOSE_CONV": (1, 0, 3),
    "FULLY_CONNECTED": (1, 0, 1),
    "DEPTHWISE_CONV_2D": (1, 3, None),
}
_CONSTANTS = ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "PRELU", "SQUARED_DIFFERENCE", "CONCATENATION")


def layer_bytes(node: Node) -> int:
    """Return how many bytes the constants of an operator take when it is mapped.

    Raises:
        ConversionError: the weights hold another number of bytes than their shape says.
    """
    if node.operator.name in _WEIGHTS:
        place, output_axis, input_axis = _WEIGHTS[node.operator.name]
        weights = node.required(place)
        if not weights.is_constant or len(weights.allocated_shape) <= max(output_axis, input_axis or 0):
            return 0
        return _padded(node, weights, output_axis, input_axis)
    if node.operator.name in _CONSTANTS:
        return sum(tensor.size_bytes for tensor in _constants(node))
    return 0


def cached(sizes: Iterable[int], *, sram_mib: int) -> Parameters:
    """Return how much of the layers' weights stays on chip: each that still fits, in execution order.

    Args:
        sizes: bytes per layer, as `layer_bytes` gives them.
        sram_mib: on-chip memory of the target.
    """
    room = sram_mib * _MEBIBYTE - _RESERVED_BYTES
    on_chip = off_chip = 0
    for size in sizes:
        if on_chip + size <= room:
            on_chip += size
        else:
            off_chip += size
    return Parameters(on_chip_bytes=on_chip, off_chip_bytes=off_chip)


def rounded_depth(count: int) -> int:
    """Return how many input channels of one tap the array takes for ``count``."""
    return _rounded(count, _WORD)


def rounded_channels(count: int) -> int:
    """Return how many output channels the array takes for ``count``."""
    return _rounded(count, _LANES)


def laid_bytes(*, taps: int, depth: int, channels: int, per_channel: bool) -> int:
    """Return how many bytes the weights of a kernel take.

    Args:
        taps: height times width.
        depth: input channels, as `rounded_depth` gives them; 1 for a depthwise kernel.
        channels: output channels.
        per_channel: a scale for each output channel, not one for all.
    """
    wide = rounded_channels(channels)
    return taps * depth * wide + (2 * _WORD * wide if per_channel else 0)


def _padded(node: Node, weights: Tensor, output_axis: int, input_axis: int | None) -> int:
    shape = weights.allocated_shape
    if math.prod(shape) != weights.size_bytes:
        raise ConversionError(
            f"{node.source}: tensors[{weights.index}]: expected {math.prod(shape)} bytes of weights for shape {shape}, "
            f"got {weights.size_bytes}; the file is damaged"
        )
    taps = math.prod(side for axis, side in enumerate(shape) if axis not in (output_axis, input_axis))
    depth = 1 if input_axis is None else rounded_depth(shape[input_axis])
    return laid_bytes(taps=taps, depth=depth, channels=shape[output_axis], per_channel=len(weights.scales) > 1)


def _constants(node: Node) -> list[Tensor]:
    return [
        tensor for place in range(len(node.operator.inputs)) if (tensor := node.input(place)) and tensor.is_constant
    ]


def _rounded(count: int, step: int) -> int:
    return -(-count // step) * step
