from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the jetson extra")
pytest.importorskip("onnxruntime", reason="needs the jetson extra")

from converters import compat, jetson
from edgemed import targets
from edgemed.runtime.interpreter import Kernels
from tests.converters.jetson import graphs
from tests.converters.jetson.graphs import FUSED, IMAGE, ONE, SAME, TWO, VALID, Build

HALVES = (6, 6)
WHOLE = (1, 24, 22, 3)
POOL = {"filterHeight": 3, "filterWidth": 3, "padding": SAME, **TWO}

CASES: dict[str, Build] = {
    "conv": graphs.convolution(),
    "conv-stride-2-odd-padding": graphs.convolution(size=HALVES, **TWO),
    "conv-valid": graphs.convolution(size=(10, 9), padding=VALID),
    "conv-relu": graphs.convolution(fusedActivationFunction=FUSED.RELU),
    "conv-relu6-saturating": graphs.convolution(scale=6 / 127, fusedActivationFunction=FUSED.RELU6),
    "conv-relu6-clipped": graphs.convolution(scale=0.09, fusedActivationFunction=FUSED.RELU6),
    "conv-relu-n1-to-1": graphs.convolution(scale=0.02, fusedActivationFunction=FUSED.RELU_N1_TO_1),
    "conv-dilated": graphs.convolution(dilationHFactor=2, dilationWFactor=2),
    "conv-grouped": graphs.convolution(6, inner=2),
    "conv-to-equal-sides": graphs.convolution(6, size=HALVES, **TWO),
    "depthwise": graphs.depthwise(),
    "depthwise-multiplier-2": graphs.depthwise(2, size=HALVES, **TWO),
    "transpose-conv-same": graphs.transposed(3, SAME, (24, 22)),
    "transpose-conv-even-kernel": graphs.transposed(4, SAME, (24, 22)),
    "transpose-conv-valid": graphs.transposed(3, VALID, (25, 23)),
    "transpose-conv-odd-output": graphs.transposed(2, SAME, (23, 21)),
    "dense-of-image": graphs.dense,
    "dense-of-features": graphs.sequence(graphs.pooled, graphs.dense),
    "add": graphs.pair("ADD", scale=0.1),
    "add-relu": graphs.pair("ADD", scale=0.1, options={"fusedActivationFunction": FUSED.RELU}),
    "add-constant-per-channel": graphs.with_constant("ADD", (3,), scale=0.08),
    "sub": graphs.pair("SUB", scale=0.1),
    "sub-constant": graphs.with_constant("SUB", (), scale=0.08),
    "mul": graphs.pair("MUL", scale=0.3),
    "mul-constant-image": graphs.with_constant("MUL", IMAGE, scale=0.1),
    "maximum": graphs.with_constant("MAXIMUM", (1, 1, 1, 3), scale=0.05, constant=(0.05, 0)),
    "minimum": graphs.with_constant("MINIMUM", (1, 1, 1, 3), scale=0.05, constant=(0.05, 0)),
    "mean": graphs.pooled,
    "mean-of-height": graphs.with_numbers("MEAN", [1], shape=(1, 11, 3), scale=0.03),
    "mean-keeping": graphs.with_numbers("MEAN", [-3, 2], shape=(1, 1, 1, 3), scale=0.01, options={"keepDims": True}),
    "largest": graphs.with_numbers("REDUCE_MAX", [1, 2], shape=(1, 9)),
    "largest-of-width": graphs.with_numbers("REDUCE_MAX", [2], shape=(1, 12, 1, 3), options={"keepDims": True}),
    "average-pool-same": graphs.one("AVERAGE_POOL_2D", shape=(1, *HALVES, 3), options=POOL),
    "average-pool-valid": graphs.one("AVERAGE_POOL_2D", shape=(1, 5, 5, 3), options={**POOL, "padding": VALID}),
    "average-pool-whole": graphs.one(
        "AVERAGE_POOL_2D",
        shape=(1, 1, 1, 3),
        options={"filterHeight": 12, "filterWidth": 11, "padding": VALID, **ONE},
    ),
    "max-pool-same": graphs.one("MAX_POOL_2D", shape=(1, *HALVES, 3), options=POOL),
    "max-pool-relu6": graphs.one(
        "MAX_POOL_2D", shape=(1, *HALVES, 3), options={**POOL, "fusedActivationFunction": FUSED.RELU6}
    ),
    "concatenation-of-channels": graphs.concatenated,
    "reshape-to-vector": graphs.with_numbers("RESHAPE", (1, 396), shape=(1, 396)),
    "reshape-to-pixels": graphs.with_numbers("RESHAPE", (1, 132, 3), shape=(1, 132, 3)),
    "reshape-to-image": graphs.with_numbers("RESHAPE", (1, 11, 9, 4), shape=(1, 11, 9, 4)),
    "transpose": graphs.with_numbers("TRANSPOSE", [0, 3, 1, 2], shape=(1, 3, 12, 11)),
    "pad": graphs.with_numbers("PAD", [[0, 0], [0, 1], [2, 3], [0, 0]], shape=(1, 13, 16, 3)),
    "tile": graphs.with_numbers("TILE", [1, 2, 1, 3], shape=(1, 24, 11, 9)),
    "resize-bilinear": graphs.with_numbers("RESIZE_BILINEAR", [24, 22], shape=WHOLE),
    "resize-bilinear-half-pixel": graphs.with_numbers(
        "RESIZE_BILINEAR", [17, 19], shape=(1, 17, 19, 3), options={"halfPixelCenters": True}
    ),
    "resize-bilinear-corners": graphs.with_numbers(
        "RESIZE_BILINEAR", [17, 19], shape=(1, 17, 19, 3), options={"alignCorners": True}
    ),
    "resize-nearest": graphs.with_numbers("RESIZE_NEAREST_NEIGHBOR", [24, 22], shape=WHOLE),
    "resize-nearest-half-pixel": graphs.with_numbers(
        "RESIZE_NEAREST_NEIGHBOR", [17, 19], shape=(1, 17, 19, 3), options={"halfPixelCenters": True}
    ),
    "resize-nearest-corners": graphs.with_numbers(
        "RESIZE_NEAREST_NEIGHBOR", [17, 19], shape=(1, 17, 19, 3), options={"alignCorners": True}
    ),
    "slice": graphs.with_numbers("SLICE", [0, 2, 1, 1], [1, 7, -1, 2], shape=(1, 7, 10, 2)),
    "strided-slice": graphs.with_numbers(
        "STRIDED_SLICE",
        [0, 1, 0, 0],
        [1, -1, 11, 3],
        [1, 2, 3, 1],
        shape=(1, 5, 4, 3),
        options={"beginMask": 1, "endMask": 8},
    ),
    "strided-slice-shrinking": graphs.with_numbers(
        "STRIDED_SLICE", [0, 3, 0, 0], [1, 4, 11, 3], [1, 1, 1, 1], shape=(1, 11, 3), options={"shrinkAxisMask": 2}
    ),
    "logistic": graphs.one("LOGISTIC", scale=1 / 256, zero_point=-128),
    "softmax-of-channels": graphs.one("SOFTMAX", scale=1 / 256, zero_point=-128, options={"beta": 1.0}),
    "softmax-beta": graphs.one("SOFTMAX", scale=1 / 256, zero_point=-128, options={"beta": 0.5}),
    "tanh": graphs.one("TANH", scale=1 / 128),
    "relu": graphs.one("RELU"),
    "relu6": graphs.one("RELU6"),
    "leaky-relu": graphs.one("LEAKY_RELU", options={"alpha": 0.2}),
    "prelu": graphs.with_constant("PRELU", (1, 1, 3), scale=0.06),
    "elu": graphs.one("ELU"),
    "hard-swish": graphs.one("HARD_SWISH"),
    "gelu": graphs.one("GELU"),
    "gelu-by-tanh": graphs.one("GELU", options={"approximate": True}),
    "quantize-anew": graphs.one("QUANTIZE", scale=0.07),
    "squeeze-and-excitation": graphs.sequence(
        graphs.one("LOGISTIC", scale=1 / 256, zero_point=-128), graphs.with_constant("MUL", (3,), scale=0.02)
    ),
    "logistic-before-a-conv": graphs.sequence(
        graphs.one("LOGISTIC", scale=1 / 256, zero_point=-128), graphs.convolution(scale=0.05)
    ),
}

SHAPES = {"conv-grouped": (1, 12, 11, 4), "largest": (1, 2, 2, 9)}
"""Of the image, where it is not `IMAGE`."""


def of_case(name: str) -> bytes:
    return graphs.raw(CASES[name], SHAPES.get(name, IMAGE))


@pytest.mark.parametrize("kernels", list(Kernels), ids=lambda kernels: kernels.value)
@pytest.mark.parametrize("name", CASES)
def test_onnx_answers_as_tflite_to_one_lsb(name: str, kernels: Kernels) -> None:
    raw = of_case(name)

    apart, answered = graphs.lsb_apart(raw, jetson.qdq_onnx(raw), kernels)

    assert len(np.unique(answered)) > 10, "the case says nothing: its answers are nearly constant"
    assert np.abs(apart).max() <= 1


@pytest.mark.parametrize("name", CASES)
def test_checker_finds_nothing_that_tensorrt_refuses(name: str) -> None:
    onnx = jetson.qdq_onnx(of_case(name))

    report = compat.check(onnx, source="qdq.onnx", target=targets.load("jetson-orin-nano"))

    assert report.fully_mapped
    weighted = [one for one in report.operators if one.op in ("Conv", "ConvTranspose", "Gemm")]
    assert [one.reason for one in weighted] == ["runs in int8"] * len(weighted)


def test_every_operator_that_can_be_written_has_a_case() -> None:
    from edgemed import tflite

    raws = [of_case(name) for name in CASES]
    seen = {operator.name for raw in raws for operator in tflite.read(raw, source="case").operators}

    assert set(jetson.OPERATORS) - seen == {"DIV", "EXPAND_DIMS", "PADV2", "RELU_N1_TO_1", "SQUEEZE"}
