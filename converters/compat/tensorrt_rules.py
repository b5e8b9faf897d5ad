"""What TensorRT's parser asserts of QuantizeLinear and DequantizeLinear, in its own words where it has some.

Source: onnx-tensorrt, QuantDequantLinearHelper in builtin_op_importers.cpp (8.6) and onnxOpImporters.cpp (10); the
wording for biases is TensorRT 10's; TensorRT developer guide, "Explicit Quantization".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converters.compat.onnx_graph import Constant, Graph, Node
from converters.compat.report import Verdict
from edgemed.errors import ConversionError

__all__ = ["DEQUANTIZE", "QUANTIZE", "SYMMETRIC", "Finding", "quantizer", "weights_shape"]

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
SYMMETRIC = "train or calibrate with symmetric ranges: edgemed convert --target jetson-orin-nano"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What is wrong with a node."""

    verdict: Verdict
    reason: str
    remedy: str | None


def _refused(reason: str, remedy: str) -> Finding:
    return Finding(verdict=Verdict.CPU, reason=reason, remedy=remedy)


def quantizer(node: Node, graph: Graph) -> Finding | None:
    """Return why TensorRT does not take this QuantizeLinear or DequantizeLinear; None when it does."""
    if len(node.inputs) != 3 or "" in node.inputs:
        return _refused(
            f"This version of TensorRT requires 3 inputs for the {node.kind} operator: it has {len(node.inputs)}",
            "give it a scale and an int8 zero point of 0",
        )
    try:
        return _scale(node, graph) or _zero_point(node, graph) or _data(node, graph) or _pair(node, graph)
    except ConversionError as err:
        return _refused(str(err), "export the model again: the file is damaged")


def _scale(node: Node, graph: Graph) -> Finding | None:
    scale = graph.constants.get(node.inputs[1])
    if scale is None:
        return _refused(
            f"its scale {node.inputs[1]!r} is computed, expected a build-time constant", "store the scale as a constant"
        )
    if scale.dtype not in ("float32", "float16"):
        return _refused(f"its scale is {scale.dtype}, expected float32", "store the scale as float32")
    values = scale.values()
    if values.size == 0:
        return _refused("Cannot have scale with no coefficients.", "give it one scale, or one per output channel")
    if not (np.isfinite(values).all() and (values > 0).all()):
        return _refused("Scale coefficients must all be positive", "calibrate again: a range was empty or not finite")
    if values.size == 1:
        return None
    return _channels(node, graph, values.size)


def _channels(node: Node, graph: Graph, count: int) -> Finding | None:
    """Look at scales along an axis, which are for weights."""
    data = node.inputs[0]
    if data not in graph.folded:
        return _refused(
            f"Activations-quantization does not support per-axis quantization: it has {count} scales",
            "give an activation one scale",
        )
    shape = weights_shape(data, graph)
    axis = node.integers.get("axis", 1)
    if shape is None:
        return None
    if not -len(shape) <= axis < len(shape) or shape[axis] != count:
        return _refused(
            "The number of scales is not equal to the number of output channels.",
            f"give weights of shape {shape} one scale per output channel and name its axis",
        )
    return None


def weights_shape(name: str, graph: Graph) -> tuple[int, ...] | None:
    """Return the shape of the constant that a quantizer works on; None where it works on no constant."""
    maker = graph.makers.get(name)
    if maker is not None and maker.kind == QUANTIZE and maker.inputs:
        name = maker.inputs[0]
    constant = graph.constants.get(name)
    return None if constant is None else constant.shape


def _zero_point(node: Node, graph: Graph) -> Finding | None:
    point = graph.constants.get(node.inputs[2])
    if point is None:
        return _refused(f"its zero point {node.inputs[2]!r} is computed, expected 0", SYMMETRIC)
    if point.dtype == "int32":
        return _bias()
    values = point.values()
    if values.any():
        return _refused(
            "TRT only supports symmetric quantization - zeroPt must be all zeros: "
            f"it is {int(values.flat[int(np.flatnonzero(values)[0])])}",
            SYMMETRIC,
        )
    if point.dtype != "int8":
        return _refused(
            f"its zero point is {point.dtype}: the GPU quantizes to INT8 only", "quantize to int8 with zero point 0"
        )
    if values.size != graph.constants[node.inputs[1]].values().size:
        return _refused("The scale and zero-point must have the same size", "store as many zero points as scales")
    return None


def _bias() -> Finding:
    return _refused(
        "input has type Int32 but must have type FP8, FP4, Int4, or Int8: a bias behind DequantizeLinear",
        "store the bias as float32, without Q/DQ (onnxruntime's quantizer: QuantizeBias=False)",
    )


def _data(node: Node, graph: Graph) -> Finding | None:
    stored: Constant | None = graph.constants.get(node.inputs[0])
    if node.kind != DEQUANTIZE or stored is None:
        return None
    if stored.dtype == "int32":
        return _bias()
    if stored.dtype != "int8":
        return _refused(f"it dequantizes a constant of {stored.dtype}, expected int8", "store weights as float32")
    return Finding(
        verdict=Verdict.MAYBE,
        reason="int8 weights without QuantizeLinear: TensorRT 10 takes them, TensorRT 8 asks for FP32 weights",
        remedy="store the weights as float32 behind a QuantizeLinear and a DequantizeLinear",
    )


def _pair(node: Node, graph: Graph) -> Finding | None:
    """Look for the other half of the pair."""
    if node.kind == QUANTIZE:
        readers = graph.readers.get(node.outputs[0], ()) if node.outputs else ()
        if readers and all(reader.kind == DEQUANTIZE for reader in readers):
            return None
        return _refused("dangling QuantizeLinear: no DequantizeLinear takes its integers", "add a DequantizeLinear")
    maker = graph.makers.get(node.inputs[0])
    if node.inputs[0] in graph.constants or (maker is not None and maker.kind == QUANTIZE):
        return None
    return _refused("dangling DequantizeLinear: no QuantizeLinear makes its integers", "add a QuantizeLinear")
