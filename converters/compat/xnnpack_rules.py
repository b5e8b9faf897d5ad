"""Whether LiteRT's XNNPACK delegate takes one operator: what the delegate of LiteRT 2.3 was seen to take.

Every rule was found by giving the delegate models of one operator, and tests/converters/compat/test_xnnpack.py holds
them against the delegate that is installed. The delegate is the same code on x86-64 and aarch64; kernels differ, not
what is taken. An operator that is not taken runs with TFLite's own kernels: the same result, slower.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from converters.compat.nodes import EIGHT_BIT, Node
from edgemed.tflite import Tensor

__all__ = ["Left", "left"]


@dataclass(frozen=True, kw_only=True)
class Left:
    """Why the delegate leaves an operator to TFLite's own kernels, and what it takes instead."""

    reason: str
    remedy: str


Rule = Callable[[Node], Left | None]

_FLOAT = "float32"
_MOST_DIMENSIONS = 6
_MOST_JOINED = 5
_PARTS = (2, 3, 4)
_FUSED = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")
# Ratios of input to output scale that the integer kernels reach, both ends included unless said.
_REQUANTIZED = (2.0**-8, 2.0**7)
_ADDED = (2.0**-10, 2.0**8)  # the upper end excluded
_MULTIPLIED = (2.0**-16, 2.0**8)  # the upper end excluded

_FLOAT_ONLY = (
    *(
        "ABS",
        "AVERAGE_POOL_2D",
        "CEIL",
        "COS",
        "DIV",
        "EXP",
        "FLOOR",
        "GELU",
        "HARD_SWISH",
        "LOG",
        "MAXIMUM",
        "MINIMUM",
    ),
    *("NEG", "PRELU", "RELU", "RELU6", "RELU_N1_TO_1", "ROUND", "RSQRT", "SIN", "SOFTMAX", "SQRT", "SQUARE"),
    "SQUARED_DIFFERENCE",
)
_ANY = (
    *("ADD", "BATCH_MATMUL", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEPTH_TO_SPACE", "FULLY_CONNECTED"),
    *("LEAKY_RELU", "LOGISTIC", "MAX_POOL_2D", "MEAN", "MUL", "PAD", "REDUCE_MAX", "REDUCE_MIN", "RESHAPE"),
    *("RESIZE_BILINEAR", "SLICE", "SPACE_TO_DEPTH", "SPLIT", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TRANSPOSE"),
    *("TRANSPOSE_CONV", "ELU"),
)
_REMEDIES: Mapping[str, str] = {
    "AVERAGE_POOL_2D": "use a strided convolution or max pooling; GlobalAveragePooling2D is taken",
    "CAST": "leave it out: feed and take the type that the model computes in",
    "EXPAND_DIMS": "use Reshape",
    "GELU": "use ReLU, ELU or a sigmoid",
    "HARD_SWISH": "use ReLU, ELU or a sigmoid",
    "MIRROR_PAD": "use ZeroPadding2D",
    "PACK": "use Reshape and Concatenate",
    "PADV2": "pad with zeros",
    "PRELU": "use LeakyReLU",
    "RELU": "put it behind a convolution, a dense layer or an addition, where it is fused",
    "RELU6": "put it behind a convolution, a dense layer or an addition, where it is fused",
    "RESIZE_NEAREST_NEIGHBOR": "use UpSampling2D(interpolation='bilinear') or Conv2DTranspose",
    "SOFTMAX": "leave it out and compute it after the model",
    "SQUEEZE": "use Reshape",
    # Keras 3 writes UpSampling2D(interpolation="nearest") as RESHAPE and TILE.
    "TILE": "use UpSampling2D(interpolation='bilinear') or Conv2DTranspose",
    "UNPACK": "use slices",
}
_ELSE = "it runs all the same, with TFLite's own kernels"


def left(node: Node) -> Left | None:
    """Return why the delegate leaves an operator, or None when it takes it."""
    for rule in (_listed, _dimensions, _types, _RULES.get(node.operator.name, _taken)):
        if (found := rule(node)) is not None:
            return found
    return None


def _taken(_: Node) -> Left | None:
    return None


def _because(reason: str, remedy: str = _ELSE) -> Left:
    return Left(reason=f"XNNPACK leaves it: {reason}", remedy=remedy)


def _listed(node: Node) -> Left | None:
    name = node.operator.name
    if node.operator.custom_name is not None:
        return _because("it knows no custom operators", "LiteRT itself needs a resolver or a delegate for it")
    if name in (*_ANY, *_FLOAT_ONLY, "QUANTIZE", "DEQUANTIZE"):
        return None
    return _because("it has no such operator", _REMEDIES.get(name, _ELSE))


def _dimensions(node: Node) -> Left | None:
    most = max((len(tensor.allocated_shape) for tensor in (*node.computed_inputs, *node.outputs)), default=0)
    if most > _MOST_DIMENSIONS:
        return _because(f"{most} dimensions, at most {_MOST_DIMENSIONS} are taken")
    return None


def _types(node: Node) -> Left | None:
    name, output = node.operator.name, node.output
    if name in ("QUANTIZE", "DEQUANTIZE"):
        return _converted(node)
    kinds = {tensor.dtype for tensor in (*_data(node), *node.outputs)}
    if name in _FLOAT_ONLY and kinds != {_FLOAT}:
        return _because(f"{output.dtype}, it takes float32 only", _REMEDIES.get(name, _ELSE))
    if name == "ELU" and kinds not in ({_FLOAT}, {"int8"}):
        return _because(f"{output.dtype}, it takes float32 and int8")
    if len(kinds) != 1 or kinds.isdisjoint((_FLOAT, *EIGHT_BIT)):
        return _because(f"{', '.join(sorted(kinds))}: it takes float32, int8 and uint8, one for input and output")
    return None


def _converted(node: Node) -> Left | None:
    source, output = node.required(0), node.output
    if node.operator.name == "DEQUANTIZE":
        if source.dtype in EIGHT_BIT or (source.dtype == "float16" and source.is_constant):
            return None
        return _because(f"{source.dtype}, it dequantizes int8, uint8 and constants of float16")
    if source.dtype == _FLOAT and output.dtype in EIGHT_BIT:
        return None
    if source.dtype == output.dtype and source.dtype in EIGHT_BIT:
        return _ratio(node, source, output, _REQUANTIZED)
    return _because(f"{source.dtype} to {output.dtype}, it takes float32 to 8 bits and 8 bits to the same type")


def _data(node: Node) -> tuple[Tensor, ...]:
    """Return the computed inputs that are data."""
    return tuple(tensor for tensor in node.computed_inputs if tensor.dtype not in ("int32", "int64"))


def _ratio(node: Node, source: Tensor, output: Tensor, limits: tuple[float, float]) -> Left | None:
    if not source.scales or not output.scales or output.scales[0] <= 0:
        return _because("a tensor without a scale")
    ratio = source.scales[0] / output.scales[0]
    if not limits[0] <= ratio <= limits[1]:
        return _because(f"its input's scale is {ratio:g} times its output's, {limits[0]:g} to {limits[1]:g} are taken")
    return None


def _fused(node: Node) -> Left | None:
    fused = node.option("fused_activation_function", "NONE")
    return None if fused in _FUSED else _because(f"the fused activation {fused}")


def _constant(place: int, what: str) -> Rule:
    def rule(node: Node) -> Left | None:
        tensor = node.input(place)
        if tensor is not None and not node.is_stored(tensor):
            return _because(f"{what} that the model computes", f"store {what} in the model")
        return None

    return rule


def _all(*rules: Rule) -> Rule:
    def rule(node: Node) -> Left | None:
        return next((found for one in rules if (found := one(node)) is not None), None)

    return rule


def _scales(node: Node) -> Left | None:
    """Hold the scales of an integer addition or multiplication against what the kernels reach."""
    tensors, output = [node.required(0), node.required(1)], node.output
    if output.dtype == _FLOAT:
        return None
    if not output.scales or output.scales[0] <= 0 or not all(tensor.scales for tensor in tensors):
        return _because("a tensor without a scale")
    scales = [tensor.scales[0] / output.scales[0] for tensor in tensors]
    limits, ratios = _ADDED, scales
    if node.operator.name == "MUL":
        limits, ratios = _MULTIPLIED, [scales[0] * tensors[1].scales[0]]
    for ratio in ratios:
        if not limits[0] <= ratio < limits[1]:
            return _because(f"scales in a ratio of {ratio:g}, {limits[0]:g} to {limits[1]:g} are taken")
    return None


def _leaky(node: Node) -> Left | None:
    alpha = node.option("alpha", 0.0)
    if not isinstance(alpha, (int, float)) or alpha == 0:
        return _because("a slope of 0", "use ReLU")
    if node.output.dtype == _FLOAT:
        return None
    source, output = node.required(0), node.output
    if (found := _ratio(node, source, output, _REQUANTIZED)) is not None:
        return found
    slope = abs(alpha) * source.scales[0] / output.scales[0]
    if not _REQUANTIZED[0] <= slope <= _REQUANTIZED[1]:
        return _because(f"a slope of {slope:g} in steps of its output, {_REQUANTIZED[0]:g} to {_REQUANTIZED[1]:g}")
    return None


def _pool(node: Node) -> Left | None:
    filters = node.number("filter_width", 1), node.number("filter_height", 1)
    strides = node.number("stride_w", 1), node.number("stride_h", 1)
    if filters == (1, 1) and strides != (1, 1):
        return _because("pooling of single elements with a stride", "use a strided slice before, or a convolution")
    return _fused(node)


def _hybrid_depthwise(node: Node) -> Left | None:
    weights = node.required(1)
    if node.output.dtype == _FLOAT and weights.dtype != _FLOAT and weights.is_constant:
        return _because("float activations with integer depthwise weights", "quantize the activations too")
    return None


def _joined(node: Node) -> Left | None:
    count = len(node.operator.inputs)
    if not 2 <= count <= _MOST_JOINED:
        return _because(f"{count} inputs, 2 to {_MOST_JOINED} are taken", f"join at most {_MOST_JOINED} at a time")
    return None


def _split(node: Node) -> Left | None:
    if len(node.operator.outputs) not in _PARTS:
        return _because(f"{len(node.operator.outputs)} parts, {_PARTS[0]} to {_PARTS[-1]} are taken", "split in steps")
    return None


def _strided_slice(node: Node) -> Left | None:
    strides = node.numbers(3)
    if strides is None or any(stride != 1 for stride in strides):
        return _because("strides other than 1", "use a strided pooling or convolution")
    masks = ("ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    if any(node.number(mask, 0) for mask in masks):
        return _because("an ellipsis, a new axis or a single index", "slice with a range, then Reshape")
    return None


def _softmax(node: Node) -> Left | None:
    beta = node.option("beta", 0.0)
    return None if beta == 1 else _because(f"beta {beta}, it takes 1", "leave it out and compute it after the model")


def _same_scale(node: Node) -> Left | None:
    """Refuse other scales than the input's; converters write equal ones, for the delegate fails on others."""
    source, output = node.required(0), node.output
    if output.dtype in EIGHT_BIT and (source.scales != output.scales or source.zero_points != output.zero_points):
        return _because("its output is quantized otherwise than its input", "give both one scale and zero point")
    return None


def _finite(node: Node) -> Left | None:
    """Hold the weights' scales against the requantization of an integer convolution or dense layer."""
    source, weights, output = node.required(_source_place(node)), node.required(1), node.output
    if output.dtype == _FLOAT or not (source.scales and weights.scales and output.scales and output.scales[0] > 0):
        return None
    ratio = source.scales[0] * max(weights.scales) / output.scales[0]
    if not math.isfinite(ratio) or ratio >= _ADDED[1]:
        return _because(
            f"scales in a ratio of {ratio:g}, less than {_ADDED[1]:g} is taken", "calibrate the model again"
        )
    return None


def _source_place(node: Node) -> int:
    return 2 if node.operator.name == "TRANSPOSE_CONV" else 0


_WEIGHTS = _all(_constant(1, "weights"), _constant(2, "a bias"))
_PLACES = _constant(1, "shapes, axes or paddings")
_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("ADD", "SUB", "MUL"), _all(_fused, _scales)),
    **dict.fromkeys(("CONV_2D", "FULLY_CONNECTED"), _all(_fused, _WEIGHTS, _finite)),
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "PAD", "RESHAPE", "TRANSPOSE"), _PLACES),
    "AVERAGE_POOL_2D": _pool,
    "CONCATENATION": _joined,
    "DEPTHWISE_CONV_2D": _all(_fused, _WEIGHTS, _hybrid_depthwise, _finite),
    "DIV": _fused,
    "LEAKY_RELU": _leaky,
    "MAX_POOL_2D": _all(_pool, _same_scale),
    "PRELU": _constant(1, "slopes"),
    "RESIZE_BILINEAR": _all(_PLACES, _same_scale),
    "SLICE": _all(_constant(1, "places"), _constant(2, "sizes")),
    "SOFTMAX": _softmax,
    "SPLIT": _all(_constant(0, "the axis"), _split),
    "STRIDED_SLICE": _all(_constant(1, "places"), _constant(2, "places"), _strided_slice),
    "TRANSPOSE_CONV": _all(
        _constant(0, "the output shape"), _constant(1, "weights"), _constant(3, "a bias"), _fused, _finite
    ),
}
