"""Why the Edge TPU compiler would not map one operator, looked at by itself: rules in the order of Google's table.

A rule takes a `Node` and returns an `Obstacle` or None. Sources as in `edgetpu_facts`; what the table says in words
("may not be mapped, depending on size") has limits here that published logs support, and ``maybe`` beyond them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from converters.compat import edgetpu_facts as facts
from converters.compat.nodes import EIGHT_BIT, Node
from converters.compat.report import Verdict
from edgemed.tflite import Tensor

__all__ = ["Obstacle", "obstacle"]


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """Why an operator is not mapped (`Verdict.CPU`) or may not be (`Verdict.MAYBE`), and what to do."""

    verdict: Verdict
    reason: str
    remedy: str


Rule = Callable[[Node], Obstacle | None]

# Resize: 128 x 128 maps and 512 x 512 does not (#31); a U-Net maps at 128 and not at 256 (#187).
_RESIZE_SIDE = 128
# Transposed convolutions up to 64 x 64 map in the U-Net of #686, larger ones in part.
_TRANSPOSED_SIDE = 64
# Reshape: heads of a detector map at 57 600 elements and not at 230 400 (ultralytics/hub#1136).
_RESHAPED = 1 << 16
# Mean: 64 x 128 places map, 256 x 128 do not (#461); 256 x 256 stopped 14.1 (#183).
_AVERAGED = 64 * 128
_SOFTMAX = 16_000  # axis, dgist
_DEPTH_STEP = 4  # axis: reduction along depth, runtime 13 and later
# No log decides where "large activation tensors" begin; one operator's tensors past the whole memory are past it.
_ACTIVATIONS = 8 << 20


def obstacle(node: Node) -> Obstacle | None:
    """Return the first reason not to map an operator, or None when nothing known stands against it."""
    for rule in (_listed, _types, _stored, _rank, _RULES.get(node.operator.name, _free), _activations):
        if (found := rule(node)) is not None:
            return found
    return None


def _cpu(reason: str, remedy: str) -> Obstacle:
    return Obstacle(verdict=Verdict.CPU, reason=reason, remedy=remedy)


def _maybe(reason: str, remedy: str) -> Obstacle:
    return Obstacle(verdict=Verdict.MAYBE, reason=reason, remedy=remedy)


def _free(_: Node) -> Obstacle | None:
    return None


def _listed(node: Node) -> Obstacle | None:
    name = node.operator.name
    if name in facts.SUPPORTED:
        return None
    if name == "DEQUANTIZE" or node.operator.custom_name is not None:
        # What logs say of both: f0cal/google-coral#20, #537.
        return _cpu(facts.TYPE, facts.REMEDIES["DEQUANTIZE" if name == "DEQUANTIZE" else "CUSTOM"])
    remedy = facts.REMEDIES.get(name, "leave it out, or move it to the end: what depends on it runs on the CPU too")
    return _cpu(facts.NOT_SUPPORTED, remedy)


def _types(node: Node) -> Obstacle | None:
    inputs = _data_inputs(node)
    if node.operator.name == "QUANTIZE" and any(tensor.dtype.startswith("float") for tensor in inputs):
        return _cpu(facts.UNSPECIFIED, "export with int8 inputs and quantize before the model")
    for tensor in (*inputs, *_weights(node), *node.outputs):
        if tensor.dtype not in EIGHT_BIT:
            return _cpu(facts.TYPE, f"quantize it to 8 bits: tensor {tensor.index} is {tensor.dtype}")
    return None


def _stored(node: Node) -> Obstacle | None:
    if all(tensor.is_constant for tensor in _weights(node)):
        return None
    return _cpu(facts.NOT_CONSTANT, "weights must be stored in the model")


def _rank(node: Node) -> Obstacle | None:
    for tensor in (*_data_inputs(node), *node.outputs):
        if any(side != 1 for side in tensor.allocated_shape[:-3]):
            shape = list(tensor.allocated_shape)
            return _cpu(facts.RANK, f"keep 1 in all but the three innermost dimensions, batch included; here {shape}")
    return None


def _activations(node: Node) -> Obstacle | None:
    size = sum(math.prod(tensor.allocated_shape) for tensor in (*_data_inputs(node), *node.outputs))
    if size > _ACTIVATIONS:
        return _maybe(facts.ABORTED, f"use a smaller input: its tensors take {size} bytes, more than the Edge TPU has")
    return None


_FILTERED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
_PLACES = ("RESHAPE", "PAD", "PADV2", "MEAN", "SUM", "SPLIT", "TRANSPOSE", "TRANSPOSE_CONV", "SLICE", "STRIDED_SLICE")


def _data_inputs(node: Node) -> tuple[Tensor, ...]:
    """Return the computed inputs that are data: no state, and no shapes, axes or paddings, which are wider integers."""
    inputs = tuple(tensor for tensor in node.computed_inputs if not tensor.is_variable)
    if node.operator.name not in _PLACES:
        return inputs
    return tuple(tensor for tensor in inputs if tensor.dtype not in ("int32", "int64"))


def _weights(node: Node) -> tuple[Tensor, ...]:
    return (node.required(1),) if node.operator.name in _FILTERED else ()


def _convolution(node: Node) -> Obstacle | None:
    width, height = node.number("dilation_w_factor", 1), node.number("dilation_h_factor", 1)
    if width != height:
        return _cpu(facts.UNSPECIFIED, f"dilate both directions alike; here {height} by {width}")
    depth, taken = node.required(0).allocated_shape[-1:], node.required(1).allocated_shape[-1:]
    if node.operator.name == "CONV_2D" and depth != taken:
        return _cpu(facts.UNSPECIFIED, facts.REMEDIES["CONV_2D"])
    return None


def _transposed(node: Node) -> Obstacle | None:
    if max(node.output.allocated_shape[1:3], default=0) > _TRANSPOSED_SIDE:
        return _maybe(facts.UNSPECIFIED, "use UpSampling2D followed by Conv2D, or a smaller input")
    return None


def _dense(node: Node) -> Obstacle | None:
    if node.option("weights_format", "DEFAULT") != "DEFAULT":
        return _cpu(facts.UNSPECIFIED, "convert with weights in the default format")
    if math.prod(node.output.allocated_shape[:-1]) != 1:
        shape = list(node.output.allocated_shape)
        return _cpu(facts.UNSPECIFIED, f"give one row of outputs: use Conv2D(units, 1) on {shape}")
    return None


def _unfused(node: Node) -> Obstacle | None:
    fused = node.option("fused_activation_function", "NONE")
    if fused != "NONE":
        return _cpu(facts.UNSPECIFIED, f"put its activation ({fused}) into the operator before it")
    return None


def _concatenation(node: Node) -> Obstacle | None:
    if (found := _unfused(node)) is not None:
        return found
    tensors = [node.model.tensors[place] for place in node.operator.inputs if place != -1]
    constants = [tensor for tensor in tensors if tensor.is_constant]
    if constants and (len(tensors) > 2 or not all(map(node.is_zero, constants))):
        return _cpu(facts.UNSPECIFIED, "join computed tensors only, or one of them with a constant of zeros")
    return None


def _reduction(node: Node) -> Obstacle | None:
    data, axes = node.required(0), node.numbers(1)
    rank = len(data.allocated_shape)
    if axes is None:
        return _cpu(facts.NOT_CONSTANT, "its axes must be known when the model is built")
    reduced = {axis % rank for axis in axes} if rank else set()
    if 0 in reduced and rank > 1:
        return _cpu(facts.UNSPECIFIED, "do not reduce the batch axis")
    if node.operator.name != "MEAN":
        return None
    if rank - 1 in reduced and data.allocated_shape[-1] % _DEPTH_STEP:
        depth = data.allocated_shape[-1]
        return _cpu(facts.UNSPECIFIED, f"average along a depth that is a multiple of {_DEPTH_STEP}; here {depth}")
    if math.prod(data.allocated_shape[axis] for axis in reduced) > _AVERAGED:
        return _maybe(facts.UNSPECIFIED, "average a smaller map: pool first, in steps")
    return None


def _pad(node: Node) -> Obstacle | None:
    paddings = node.numbers(1)
    if paddings is None:
        return _cpu(facts.NOT_CONSTANT, "its paddings must be known when the model is built")
    if any(paddings[:2]) and len(node.required(0).allocated_shape) > 1:
        return _cpu(facts.UNSPECIFIED, "do not pad the batch axis")
    if node.operator.name == "PADV2":
        return _maybe(facts.UNSPECIFIED, "pad with zeros (PAD): Google's table does not name PADV2")
    return None


def _resize(node: Node) -> Obstacle | None:
    if max(node.output.allocated_shape[1:3], default=0) > _RESIZE_SIDE:
        return _maybe(facts.UNSPECIFIED, f"resize to at most {_RESIZE_SIDE} by {_RESIZE_SIDE}, and the rest after it")
    return None


def _reshape(node: Node) -> Obstacle | None:
    size = math.prod(node.output.allocated_shape)
    if size > _RESHAPED:
        return _maybe(facts.UNSPECIFIED, f"reshape a smaller tensor: this one has {size} elements; pool before it")
    return None


def _softmax(node: Node) -> Obstacle | None:
    size = math.prod(node.output.allocated_shape)
    if size > _SOFTMAX:
        return _cpu(
            facts.UNSPECIFIED, f"leave it out and compute it after the model: {size} elements, at most {_SOFTMAX}"
        )
    if math.prod(node.output.allocated_shape[:-1]) != 1:
        # The table forbids it; a log of 16.0 maps a detector's (dbro/frigate-detector-edgetpu-yolo9).
        return _maybe(facts.UNSPECIFIED, "leave it out and compute it after the model")
    return None


def _strided_slice(node: Node) -> Obstacle | None:
    strides = node.numbers(3)
    if strides is None:
        return _cpu(facts.NOT_CONSTANT, "its strides must be known when the model is built")
    if any(stride != 1 for stride in strides):
        return _cpu(facts.UNSPECIFIED, "take every element (stride 1), or use a strided pooling or convolution")
    if node.number("ellipsis_mask", 0) or node.number("new_axis_mask", 0):
        return _cpu(facts.UNSPECIFIED, "write the slice out: no ellipsis, no new axis")
    return None


def _not_batch(option: str) -> Rule:
    def rule(node: Node) -> Obstacle | None:
        if node.number(option, 0) % max(len(node.output.allocated_shape), 1) == 0:
            return _cpu(facts.UNSPECIFIED, "do not use the batch axis")
        return None

    return rule


def _split(node: Node) -> Obstacle | None:
    axis = node.numbers(0)
    rank = max(len(node.required(1).allocated_shape), 1)
    if axis is not None and axis and axis[0] % rank == 0:
        return _cpu(facts.UNSPECIFIED, "do not split the batch axis")
    return None


def _prelu(node: Node) -> Obstacle | None:
    slopes = node.required(1)
    if not slopes.is_constant:
        return _cpu(facts.NOT_CONSTANT, "its slopes must be stored in the model")
    if any(side != 1 for side in slopes.allocated_shape[:-1]):
        return _cpu(facts.UNSPECIFIED, "share its slopes over the map: PReLU(shared_axes=[1, 2])")
    return None


def _undecided(remedy: str) -> Rule:
    return lambda _: _maybe(facts.UNSPECIFIED, remedy)


_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D"), _convolution),
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"), _reduction),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D"), _unfused),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), _resize),
    **dict.fromkeys(("PAD", "PADV2"), _pad),
    "CONCATENATION": _concatenation,
    "FULLY_CONNECTED": _dense,
    "PACK": _not_batch("axis"),
    "PRELU": _prelu,
    "RESHAPE": _reshape,
    "SOFTMAX": _softmax,
    "SPLIT": _split,
    "STRIDED_SLICE": _strided_slice,
    # 14 of 17 map in a log of 16.0, none in #433: no rule is known.
    "TRANSPOSE": _undecided("keep the order of the dimensions: channels last, as TensorFlow has it"),
    "TRANSPOSE_CONV": _transposed,
    # The size that fails lies between 900 and 1000 inputs for one model (#598).
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _undecided("keep its input below 900 elements"),
}
