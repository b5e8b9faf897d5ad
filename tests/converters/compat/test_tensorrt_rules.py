from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the jetson extra")

import onnx

from tests.converters.compat import onnx_graphs
from tests.converters.compat.onnx_graphs import Graph
from tests.converters.compat.tensorrt_checked import SYMMETRIC, good, refused


def of_activation(**changes: Any) -> Callable[[], bytes]:
    def build() -> bytes:
        graph = Graph()
        return graph.finish(onnx_graphs.convolution(graph, **changes))

    return build


def without_zero_point() -> bytes:
    model = onnx.load_from_string(good())
    for node in model.graph.node[:2]:
        del node.input[2]
    return bytes(model.SerializeToString())


def computed_scale() -> bytes:
    graph = Graph()
    scale = graph.node("ReduceMax", ["x"], "scale", keepdims=0)
    point = graph.constant(np.int8(0), "point")
    q = graph.node("QuantizeLinear", ["x", scale, point], "q")
    return graph.finish(graph.node("DequantizeLinear", [q, scale, point], "y"))


def mismatched_channels() -> bytes:
    graph = Graph()
    w = graph.constant(np.ones((3, 4, 3, 3), np.float32), "w")
    w = graph.pair(w, "w", scale=np.full(4, 0.1, np.float32), point=np.zeros(4, np.int8), axis=0)
    return graph.finish(graph.node("Conv", [graph.pair("x", "x"), w], "y", pads=[1, 1, 1, 1]))


def uneven() -> bytes:
    model = onnx.load_from_string(good())
    point = next(one for one in model.graph.initializer if one.name == "w.point")
    point.CopyFrom(onnx.numpy_helper.from_array(np.int8(0), "w.point"))
    return bytes(model.SerializeToString())


CHANNELS = {"scale": np.full(4, 0.1, np.float32), "point": np.zeros(4, np.int8), "axis": 1}


REFUSALS: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "zero-point-of-uint8": (
        of_activation(point=np.uint8(0)),
        "its zero point is uint8: the GPU quantizes to INT8 only",
        "quantize to int8 with zero point 0",
    ),
    "zero-point-of-uint8-in-the-middle": (
        of_activation(point=np.uint8(128)),
        "TRT only supports symmetric quantization - zeroPt must be all zeros: it is 128",
        SYMMETRIC,
    ),
    "no-zero-point": (
        without_zero_point,
        "This version of TensorRT requires 3 inputs for the {kind} operator: it has 2",
        "give it a scale and an int8 zero point of 0",
    ),
    "scale-0": (
        of_activation(scale=np.float32(0)),
        "Scale coefficients must all be positive",
        "calibrate again: a range was empty or not finite",
    ),
    "scale-negative": (
        of_activation(scale=np.float32(-0.1)),
        "Scale coefficients must all be positive",
        "calibrate again: a range was empty or not finite",
    ),
    "scale-nan": (
        of_activation(scale=np.float32("nan")),
        "Scale coefficients must all be positive",
        "calibrate again: a range was empty or not finite",
    ),
    "scale-empty": (
        of_activation(scale=np.zeros(0, np.float32)),
        "Cannot have scale with no coefficients.",
        "give it one scale, or one per output channel",
    ),
    "scale-of-float64": (
        of_activation(scale=np.float64(0.1)),
        "its scale is float64, expected float32",
        "store the scale as float32",
    ),
    "scale-computed": (
        computed_scale,
        "its scale 'scale' is computed, expected a build-time constant",
        "store the scale as a constant",
    ),
    "activation-per-channel": (
        of_activation(**CHANNELS),
        "Activations-quantization does not support per-axis quantization: it has 4 scales",
        "give an activation one scale",
    ),
    "weights-with-another-number-of-scales": (
        mismatched_channels,
        "The number of scales is not equal to the number of output channels.",
        "give weights of shape (3, 4, 3, 3) one scale per output channel and name its axis",
    ),
    "scales-and-zero-points-uneven": (
        uneven,
        "The scale and zero-point must have the same size",
        "store as many zero points as scales",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_pair_that_tensorrt_refuses_is_named(name: str) -> None:
    build, reason, remedy = REFUSALS[name]
    assert refused(build()) == [
        (kind, "cpu", reason.format(kind=kind), remedy) for kind in ("QuantizeLinear", "DequantizeLinear")
    ]


def test_lonely_halves_of_pairs_are_named() -> None:
    graph = Graph()
    constants = [graph.constant(np.float32(0.1), "scale"), graph.constant(np.int8(0), "point")]
    graph.node("QuantizeLinear", ["x", *constants], "q")
    cast = graph.node("Cast", ["x"], "cast", to=int(onnx.TensorProto.INT8))
    raw = graph.finish(graph.node("DequantizeLinear", [cast, *constants], "y"))

    assert refused(raw) == [
        (
            "QuantizeLinear",
            "cpu",
            "dangling QuantizeLinear: no DequantizeLinear takes its integers",
            "add a DequantizeLinear",
        ),
        (
            "DequantizeLinear",
            "cpu",
            "dangling DequantizeLinear: no QuantizeLinear makes its integers",
            "add a QuantizeLinear",
        ),
    ]
