"""XNNPACK's verdicts against the delegate that is installed: what we say is taken is what LiteRT gives it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters import compat
from edgemed import targets
from tests.converters.compat.graphs import SCALE, Graph

TINY = (Path(__file__).parents[2] / "data" / "tiny_int8.tflite").read_bytes()
MAP = (1, 8, 8, 4)


def check(raw: bytes, *, target: str = "generic-aarch64") -> compat.Report:
    return compat.check(raw, source="model.tflite", target=targets.load(target))


OLDEST = (2, 3)  # the rules are those of this delegate; a newer one that does otherwise is to be seen here


def delegates(raw: bytes) -> int:
    """Return into how many parts LiteRT's delegate takes a model."""
    library = pytest.importorskip("ai_edge_litert.interpreter")
    version = metadata.version("ai-edge-litert")
    if tuple(map(int, version.split(".")[:2])) < OLDEST:
        pytest.skip(f"ai-edge-litert {version} is older than the rules")
    native = library.Interpreter(model_content=raw, num_threads=1)
    native.allocate_tensors()
    # The one private name we use: LiteRT lists the nodes of its delegate beside the operators they replace.
    return sum(one["op_name"] == "DELEGATE" for one in native._get_ops_details())


Make = Callable[[str], bytes]


def unary(name: str, *, scales: Sequence[float] = (SCALE,), zero_point: int = 0, **more: Any) -> Make:
    def make(dtype: str) -> bytes:
        graph = Graph(dtype)
        x = graph.input(MAP)
        # LiteRT's own kernels want 0 at the bottom of the type, which uint8 has at 0.
        bottom = 0 if dtype == "uint8" else zero_point
        return graph.finish(graph.op(name, [x], MAP, scales=scales, zero_point=bottom, version=2, **more))

    return make


def binary(name: str, *, scales: Sequence[float] = (SCALE, SCALE, SCALE), constant: bool = False, **more: Any) -> Make:
    def make(dtype: str) -> bytes:
        graph = Graph(dtype)
        x = graph.input(MAP, scales=(scales[0],))
        y = graph.weights((1, 1, 1, 4), per_channel=False) if constant else graph.input(MAP, scales=(scales[1],))
        return graph.finish(graph.op(name, [x, y], MAP, scales=(scales[2],), version=2, **more))

    return make


def layer(name: str, shape: Sequence[int], *, axis: int = 0, out: int = 8, **options: Any) -> Make:
    """Return a convolution with weights of this shape; per tensor for uint8, whose kernels know no other."""

    def make(dtype: str) -> bytes:
        graph = Graph(dtype)
        per_channel = dtype == "int8"
        x = graph.input(MAP)
        # One scale has no axis: converters write 0 there.
        filters = graph.weights(shape, axis=axis if per_channel else 0, per_channel=per_channel)
        inputs = [x, filters, graph.bias(out, per_channel=per_channel)]
        table = {"strideW": 1, "strideH": 1, **options}
        return graph.finish(graph.op(name, inputs, (1, 8, 8, out), options=table, version=3))

    return make


def transposed(**options: Any) -> Make:
    def make(dtype: str) -> bytes:
        graph = Graph(dtype)
        per_channel = dtype == "int8"
        filters = graph.weights((8, 3, 3, 4), per_channel=per_channel)
        inputs = [graph.numbers([1, 16, 16, 8]), filters, graph.input(MAP), graph.bias(8, per_channel=per_channel)]
        table = {"strideW": 2, "strideH": 2, **options}
        return graph.finish(graph.op("TRANSPOSE_CONV", inputs, (1, 16, 16, 8), options=table, version=3))

    return make


def dense(shape: Sequence[int], out: Sequence[int], **options: Any) -> Make:
    def make(dtype: str) -> bytes:
        graph = Graph(dtype)
        filters = graph.weights((out[-1], shape[-1]), per_channel=False)
        inputs = [graph.input(shape), filters, graph.bias(out[-1], per_channel=False)]
        return graph.finish(graph.op("FULLY_CONNECTED", inputs, out, options=options, version=4))

    return make


def pool(name: str, side: int = 2, stride: int = 2, **options: Any) -> Make:
    def make(dtype: str) -> bytes:
        graph = Graph(dtype)
        table = {"strideW": stride, "strideH": stride, "filterWidth": side, "filterHeight": side, **options}
        shape = (1, 8 // stride, 8 // stride, 4)
        return graph.finish(graph.op(name, [graph.input(MAP)], shape, options=table, version=2))

    return make


def shaped(name: str, values: Any, out: Sequence[int], *, constant: bool = True, **more: Any) -> Make:
    def make(dtype: str) -> bytes:
        graph = Graph(dtype)
        x = graph.input(MAP)
        places = np.asarray(values, np.int32)
        other = graph.numbers(values) if constant else graph.input(places.shape, dtype="int32", scales=())
        return graph.finish(graph.op(name, [x, other], out, version=2, **more))

    return make


def sliced(strides: Sequence[int], out: Sequence[int], **options: int) -> Make:
    def make(dtype: str) -> bytes:
        graph = Graph(dtype)
        places = [graph.input(MAP), graph.numbers([0, 1, 1, 0]), graph.numbers([1, 5, 5, 4]), graph.numbers(strides)]
        return graph.finish(graph.op("STRIDED_SLICE", places, out, options=options, version=2))

    return make


def joined(count: int) -> Make:
    def make(dtype: str) -> bytes:
        graph = Graph(dtype)
        parts = [graph.input(MAP) for _ in range(count)]
        return graph.finish(graph.op("CONCATENATION", parts, (1, 8, 8, 4 * count), options={"axis": 3}, version=2))

    return make


def split(parts: int) -> Make:
    def make(dtype: str) -> bytes:
        graph = Graph(dtype)
        x = graph.input((1, 8, 8, 12))
        shapes = [(1, 8, 8, 12 // parts)] * parts
        return graph.finish(graph.op("SPLIT", [graph.numbers(3), x], *shapes, options={"numSplits": parts}, version=2))

    return make


def converted(name: str, source: str, output: str, ratio: float = 1.0) -> Make:
    def make(_: str) -> bytes:
        graph = Graph(source)
        x = graph.input(MAP, scales=(SCALE * ratio,) if source != "float32" else ())
        scales = (SCALE,) if output != "float32" else ()
        return graph.finish(graph.op(name, [x], MAP, dtype=output, scales=scales, version=2))

    return make


def fed(*places: int) -> Make:
    """Return a convolution that is fed its weights (1) or its bias (2) from outside."""

    def make(dtype: str) -> bytes:
        graph = Graph(dtype)
        x = graph.input(MAP)
        filters = graph.input((8, 3, 3, 4)) if 1 in places else graph.weights((8, 3, 3, 4), per_channel=False)
        bias = graph.input((8,), dtype="float32", scales=()) if 2 in places else graph.bias(8, per_channel=False)
        options = {"strideW": 1, "strideH": 1}
        return graph.finish(graph.op("CONV_2D", [x, filters, bias], (1, 8, 8, 8), options=options, version=3))

    return make


def hybrid(name: str, shape: Sequence[int], axis: int) -> Make:
    """Return a layer with integer weights and float activations, as dynamic range quantization makes them."""

    def make(_: str) -> bytes:
        graph = Graph("float32")
        channels = shape[axis]
        filters = graph.tensor(shape, dtype="int8", data=np.ones(shape, np.int8), scales=(SCALE,) * channels, axis=axis)
        options = {"strideW": 1, "strideH": 1}
        inputs = [graph.input(MAP), filters, graph.bias(channels)]
        return graph.finish(graph.op(name, inputs, (1, 8, 8, channels), options=options, version=6))

    return make


EVERY = ("int8", "uint8", "float32")
SIGNED = ("int8", "float32")
FLOAT = ("float32",)
EIGHT = ("int8", "uint8")
ONE = ("int8",)
QUARTERS = (1 / 256,)

CASES: dict[str, tuple[Make, tuple[str, ...]]] = {
    "conv": (layer("CONV_2D", (8, 3, 3, 4)), EVERY),
    "conv-relu6": (layer("CONV_2D", (8, 3, 3, 4), fusedActivationFunction=3), EVERY),
    "conv-tanh": (layer("CONV_2D", (8, 3, 3, 4), fusedActivationFunction=4), SIGNED),
    "conv-dilated": (layer("CONV_2D", (8, 3, 3, 4), dilationWFactor=2, dilationHFactor=2), EVERY),
    "conv-fed-weights": (fed(1), FLOAT),
    "conv-fed-bias": (fed(2), FLOAT),
    "depthwise": (layer("DEPTHWISE_CONV_2D", (1, 3, 3, 4), axis=3, out=4, depthMultiplier=1), EVERY),
    "transposed-relu": (transposed(fusedActivationFunction=1), EVERY),
    "dense": (dense((1, 16), (1, 8)), EVERY),
    "dense-keeps-dimensions": (dense((1, 3, 16), (1, 3, 8), keepNumDims=True), EVERY),
    "add": (binary("ADD"), EVERY),
    "add-relu": (binary("ADD", options={"fusedActivationFunction": 1}), EVERY),
    "add-tanh": (binary("ADD", options={"fusedActivationFunction": 4}), EVERY),
    "add-scales-near-the-ends": (binary("ADD", scales=(1 / 1020, 250.0, 1.0)), EIGHT),
    "add-scale-too-small": (binary("ADD", scales=(1 / 1030, 1.0, 1.0)), EIGHT),
    "add-scale-too-large": (binary("ADD", scales=(1.0, 257.0, 1.0)), EIGHT),
    "sub": (binary("SUB"), EVERY),
    "mul-by-constant": (binary("MUL", constant=True), EVERY),
    "mul-scales-near-the-ends": (binary("MUL", scales=(1 / 65_000, 1.0, 1.0)), EIGHT),
    "mul-scales-too-small": (binary("MUL", scales=(1 / 66_000, 1.0, 1.0)), EIGHT),
    "div": (binary("DIV"), ("uint8", "float32")),
    "maximum": (binary("MAXIMUM"), EVERY),
    "squared-difference": (binary("SQUARED_DIFFERENCE"), SIGNED),
    "prelu": (binary("PRELU", constant=True), EVERY),
    "prelu-computed": (binary("PRELU"), EVERY),
    "abs": (unary("ABS"), SIGNED),
    "elu": (unary("ELU"), EVERY),
    "exp": (unary("EXP"), FLOAT),
    "gelu": (unary("GELU"), EVERY),
    "hard-swish": (unary("HARD_SWISH"), EVERY),
    "leaky-relu": (unary("LEAKY_RELU", options={"alpha": 0.1}), EVERY),
    "leaky-relu-of-0": (unary("LEAKY_RELU", options={"alpha": 0.0}), EVERY),
    "leaky-relu-too-flat": (unary("LEAKY_RELU", options={"alpha": 1 / 300}), EIGHT),
    "leaky-relu-too-steep": (unary("LEAKY_RELU", options={"alpha": -129.0}), EIGHT),
    "logistic": (unary("LOGISTIC", scales=QUARTERS, zero_point=-128), EVERY),
    "relu": (unary("RELU"), EVERY),
    "softmax": (unary("SOFTMAX", scales=QUARTERS, zero_point=-128, options={"beta": 1.0}), EVERY),
    "softmax-beta-2": (unary("SOFTMAX", scales=QUARTERS, zero_point=-128, options={"beta": 2.0}), EVERY),
    "tanh": (unary("TANH", scales=(1 / 128,)), SIGNED),
    "max-pool": (pool("MAX_POOL_2D"), EVERY),
    "max-pool-of-one": (pool("MAX_POOL_2D", side=1), EVERY),
    "max-pool-of-one-without-stride": (pool("MAX_POOL_2D", side=1, stride=1), EVERY),
    "average-pool": (pool("AVERAGE_POOL_2D"), EVERY),
    "mean": (shaped("MEAN", [1, 2], (1, 4)), EVERY),
    "mean-computed-axes": (shaped("MEAN", [1, 2], (1, 4), constant=False), EVERY),
    "sum-along-depth": (shaped("SUM", [3], (1, 8, 8)), EVERY),
    "reduce-max": (shaped("REDUCE_MAX", [1, 2], (1, 4)), EVERY),
    "pad": (shaped("PAD", [[0, 0], [1, 1], [1, 1], [0, 0]], (1, 10, 10, 4)), EVERY),
    "mirror-pad": (shaped("MIRROR_PAD", [[0, 0], [1, 1], [1, 1], [0, 0]], (1, 10, 10, 4)), EVERY),
    "bilinear": (shaped("RESIZE_BILINEAR", [16, 16], (1, 16, 16, 4), options={"halfPixelCenters": True}), EVERY),
    "nearest": (shaped("RESIZE_NEAREST_NEIGHBOR", [16, 16], (1, 16, 16, 4)), EVERY),
    "reshape": (shaped("RESHAPE", [1, 256], (1, 256)), EVERY),
    "reshape-computed": (shaped("RESHAPE", [1, 256], (1, 256), constant=False), EVERY),
    "transpose": (shaped("TRANSPOSE", [0, 3, 1, 2], (1, 4, 8, 8)), EVERY),
    "expand-dims": (shaped("EXPAND_DIMS", 1, (1, 1, 8, 8, 4)), EVERY),
    "tile": (shaped("TILE", [1, 2, 2, 1], (1, 16, 16, 4)), EVERY),
    "slice": (sliced((1, 1, 1, 1), (1, 4, 4, 4)), EVERY),
    "slice-with-stride": (sliced((1, 2, 2, 1), (1, 2, 2, 4)), EVERY),
    "slice-of-one-index": (sliced((1, 1, 1, 1), (4, 4, 4), shrinkAxisMask=1), EVERY),
    "join-5": (joined(5), EVERY),
    "join-6": (joined(6), EVERY),
    "split-4": (split(4), EVERY),
    "split-6": (split(6), EVERY),
    "float-to-int8": (converted("QUANTIZE", "float32", "int8"), ONE),
    "int8-to-int8": (converted("QUANTIZE", "int8", "int8", 127.0), ONE),
    "int8-to-int8-too-far": (converted("QUANTIZE", "int8", "int8", 129.0), ONE),
    "uint8-to-int8": (converted("QUANTIZE", "uint8", "int8"), ONE),
    "int16-to-int8": (converted("QUANTIZE", "int16", "int8"), ONE),
    "int8-to-float": (converted("DEQUANTIZE", "int8", "float32"), ONE),
    "int16-to-float": (converted("DEQUANTIZE", "int16", "float32"), ONE),
    "dynamic-range-conv": (hybrid("CONV_2D", (8, 3, 3, 4), 0), FLOAT),
    "dynamic-range-depthwise": (hybrid("DEPTHWISE_CONV_2D", (1, 3, 3, 4), 3), FLOAT),
    "int16": (binary("ADD"), ("int16",)),
}


@pytest.mark.parametrize(
    ("name", "dtype"), [(name, dtype) for name, (_, dtypes) in CASES.items() for dtype in dtypes], ids=str
)
def test_verdict_is_what_the_delegate_does(name: str, dtype: str) -> None:
    raw = CASES[name][0](dtype)
    report = check(raw)
    (one,) = report.operators
    taken = delegates(raw)
    assert (one.verdict.value, report.segments) == (("mapped", 1) if taken else ("cpu", 0))
    assert (one.remedy is None) == (one.verdict is compat.Verdict.MAPPED)


def test_cases_show_both_verdicts_in_good_number() -> None:
    verdicts = [check(make(dtype)).operators[0].verdict.value for make, kinds in CASES.values() for dtype in kinds]
    assert min(verdicts.count("mapped"), verdicts.count("cpu")) > 40


def alternating(count: int) -> bytes:
    """Return convolutions with an operator between each two that the delegate does not take."""
    graph = Graph()
    x = graph.conv(graph.input(MAP), 4)
    for _ in range(count):
        x = graph.conv(graph.op("ABS", [x], MAP), 4)
    return graph.finish(x)


def diamond() -> bytes:
    """Return a model whose later half does not depend on its unmapped operator, save for the last addition."""
    graph = Graph()
    x = graph.conv(graph.input(MAP), 4)
    left = graph.op("ABS", [x], MAP)
    right = graph.conv(graph.conv(x, 4), 4)
    return graph.finish(graph.op("ADD", [left, right], MAP, version=2))


def starts_outside() -> bytes:
    graph = Graph()
    a, b = graph.input(MAP), graph.input(MAP)
    outside = graph.op("ABS", [a], MAP)
    return graph.finish(graph.op("ADD", [outside, graph.conv(b, 4)], MAP, version=2))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(alternating(3), 4, id="alternating"),
        pytest.param(diamond(), 2, id="diamond"),
        pytest.param(starts_outside(), 1, id="starts-outside"),
        pytest.param(TINY, 1, id="tiny"),
    ],
)
def test_segments_are_those_of_the_delegate(raw: bytes, expected: int) -> None:
    assert check(raw).segments == delegates(raw) == expected


def half_precision(*users: str) -> bytes:
    graph = Graph("float32")
    x = graph.input(MAP)
    stored = graph.tensor((1, 1, 1, 4), dtype="float16", data=np.ones((1, 1, 1, 4), np.float16), scales=())
    unpacked = graph.op("DEQUANTIZE", [stored], (1, 1, 1, 4), version=3)
    return graph.finish(*(graph.op(user, [x, unpacked], MAP) for user in users))


def test_float16_constants_are_taken_with_the_operators_that_use_them() -> None:
    report = check(half_precision("ADD", "MUL"))
    assert [one.verdict.value for one in report.operators] == ["mapped"] * 3
    assert report.quantized is False


def test_float16_weights_are_taken_with_their_convolution() -> None:
    graph = Graph("float32")
    x = graph.input(MAP)
    stored = graph.tensor((8, 3, 3, 4), dtype="float16", data=np.ones((8, 3, 3, 4), np.float16), scales=())
    filters = graph.op("DEQUANTIZE", [stored], (8, 3, 3, 4), version=3)
    options = {"strideW": 1, "strideH": 1}
    raw = graph.finish(graph.op("CONV_2D", [x, filters, graph.bias(8)], (1, 8, 8, 8), options=options))
    report = check(raw)
    assert report.fully_mapped
    assert report.segments == delegates(raw) == 1


def test_float16_constant_of_an_operator_that_is_not_taken_stays_outside() -> None:
    report = check(half_precision("ADD", "POW"))
    assert [(one.op, one.verdict.value) for one in report.operators] == [
        ("DEQUANTIZE", "cpu"),
        ("ADD", "mapped"),
        ("POW", "cpu"),
    ]
    assert report.operators[0].reason == "XNNPACK leaves it: an operator that uses it is not taken either"


def test_reason_and_remedy_are_said() -> None:
    (one,) = check(CASES["nearest"][0]("int8")).operators
    assert one.reason == "XNNPACK leaves it: it has no such operator"
    assert one.remedy == "use UpSampling2D(interpolation='bilinear') or Conv2DTranspose"


@pytest.mark.parametrize("target", ["generic-aarch64", "generic-x86-64", "raspberry-pi-4", "raspberry-pi-5"])
def test_every_cpu_target_is_judged(target: str) -> None:
    report = check(TINY, target=target)
    assert (report.target, report.fully_mapped, report.quantized) == (target, True, True)
    assert report.parameters.on_chip_bytes == 0
    assert report.parameters.off_chip_bytes > 0


def test_file_compiled_for_the_edge_tpu_does_not_run_on_a_cpu() -> None:
    graph = Graph()
    raw = graph.finish(graph.op("CUSTOM", [graph.input(MAP)], MAP, custom="edgetpu-custom-op"))
    report = check(raw, target="raspberry-pi-5")
    assert [(one.op, one.verdict.value) for one in report.operators] == [("CUSTOM", "cpu")]
    assert report.notes == (
        "compiled for the Edge TPU: raspberry-pi-5 cannot run it; take the file that it was compiled from",
    )
