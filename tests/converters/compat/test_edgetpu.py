"""The Edge TPU's verdicts: every rule on the smallest file that it is about, the segment, the memory, the refusals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters import compat
from converters.compat import edgetpu_facts as facts
from converters.compat import edgetpu_memory
from converters.compat.nodes import nodes
from edgemed import targets, tflite
from edgemed.errors import ConversionError, TargetMismatchError
from tests.converters.compat.graphs import SCALE, Graph

TINY = (Path(__file__).parents[2] / "data" / "tiny_int8.tflite").read_bytes()
MAP = (1, 8, 8, 4)


def check(raw: bytes) -> compat.Report:
    return compat.check(raw, source="model.tflite", target=targets.load("coral-usb"))


def single(
    name: str,
    shape: Sequence[int] = MAP,
    out: Sequence[int] | None = None,
    *constants: Callable[[Graph], int],
    dtype: str = "int8",
    first: bool = False,
    **more: Any,
) -> bytes:
    """Return a model of one operator: a computed input, then constants (before it with ``first``)."""
    graph = Graph(dtype)
    x = graph.input(shape)
    others = [make(graph) for make in constants]
    inputs = [*others, x] if first else [x, *others]
    return graph.finish(graph.op(name, inputs, shape if out is None else out, **more))


def numbers(values: Any) -> Callable[[Graph], int]:
    return lambda graph: graph.numbers(values)


def weights(shape: Sequence[int], **more: Any) -> Callable[[Graph], int]:
    return lambda graph: graph.weights(shape, **more)


def another(shape: Sequence[int] = MAP, **more: Any) -> Callable[[Graph], int]:
    return lambda graph: graph.input(shape, **more)


def conv(**options: int) -> bytes:
    graph = Graph()
    return graph.finish(graph.conv(graph.input(MAP), 8, options=options))


def conv_with(filters: Callable[[Graph], int], *, version: int = 3) -> bytes:
    return single("CONV_2D", MAP, (1, 8, 8, 8), filters, options={"strideW": 1, "strideH": 1}, version=version)


def depthwise(**options: int) -> bytes:
    table = {"strideW": 1, "strideH": 1, "depthMultiplier": 1, **options}
    return single("DEPTHWISE_CONV_2D", MAP, MAP, weights((1, 3, 3, 4), axis=3), options=table, version=3)


def pool(name: str, **options: int) -> bytes:
    table = {"strideW": 2, "strideH": 2, "filterWidth": 2, "filterHeight": 2, **options}
    return single(name, MAP, (1, 4, 4, 4), options=table, version=2)


def reduce(name: str, axes: Sequence[int], out: Sequence[int], shape: Sequence[int] = MAP) -> bytes:
    return single(name, shape, out, numbers(axes), version=2)


def resize(name: str, side: int) -> bytes:
    return single(name, MAP, (1, side, side, 4), numbers([side, side]), version=3)


def transposed(side: int, *, version: int = 3, activation: int = 0) -> bytes:
    graph = Graph()
    x = graph.input((1, side // 2, side // 2, 4))
    inputs = [graph.numbers([1, side, side, 8]), graph.weights((8, 2, 2, 4)), x, graph.bias(8)]
    options = {"strideW": 2, "strideH": 2, "fusedActivationFunction": activation}
    return graph.finish(graph.op("TRANSPOSE_CONV", inputs, (1, side, side, 8), options=options, version=version))


def strided(strides: Sequence[int] = (1, 1, 1, 1), **options: int) -> bytes:
    places = (numbers([0, 1, 1, 0]), numbers([1, 5, 5, 4]), numbers(strides))
    return single("STRIDED_SLICE", MAP, (1, 4, 4, 4), *places, options=options, version=2)


def concatenated(*others: Callable[[Graph], int], out: Sequence[int] = (1, 8, 8, 8), **options: int) -> bytes:
    return single("CONCATENATION", MAP, out, *others, options={"axis": 3, **options}, version=2)


def dense(shape: Sequence[int], out: Sequence[int], **options: Any) -> bytes:
    filters = weights((out[-1], shape[-1]), per_channel=False)
    return single("FULLY_CONNECTED", shape, out, filters, options=options, version=4)


MAPPED = {
    "conv": conv(),
    "conv-dilated": conv(dilationWFactor=2, dilationHFactor=2),
    "conv-relu6": conv(fusedActivationFunction=3),
    "depthwise": depthwise(),
    "dense": dense((1, 16), (1, 4)),
    "dense-of-a-vector": dense((16,), (4,)),
    "add": single("ADD", MAP, MAP, another(), version=2),
    "mul-by-constant": single("MUL", MAP, MAP, weights((1, 1, 1, 4), per_channel=False), version=2),
    "max-pool": pool("MAX_POOL_2D"),
    "average-pool": pool("AVERAGE_POOL_2D"),
    "mean": reduce("MEAN", [1, 2], (1, 4)),
    "mean-along-depth-of-4": reduce("MEAN", [-1], (1, 8, 8)),
    "mean-64-by-128": reduce("MEAN", [1, 2], (1, 3), (1, 64, 128, 3)),
    "sum-along-depth-of-3": reduce("SUM", [3], (1, 8, 8), (1, 8, 8, 3)),
    "pad": single("PAD", MAP, (1, 10, 10, 4), numbers([[0, 0], [1, 1], [1, 1], [0, 0]])),
    "pad-channels": single("PAD", MAP, (1, 8, 8, 8), numbers([[0, 0], [0, 0], [0, 0], [0, 4]])),
    "bilinear-to-128": resize("RESIZE_BILINEAR", 128),
    "nearest-half-pixel": resize("RESIZE_NEAREST_NEIGHBOR", 16),
    "transposed-to-64": transposed(64),
    "slice": strided(),
    "concatenation": concatenated(another()),
    "concatenation-with-zeros": concatenated(weights(MAP, per_channel=False, value=0)),
    "split": single("SPLIT", MAP, (1, 8, 8, 2), numbers(3), first=True, options={"numSplits": 2}, version=2),
    "pack": single("PACK", (1, 4), (1, 2, 4), another((1, 4)), options={"valuesCount": 2, "axis": 1}, version=2),
    "prelu-shared": single("PRELU", MAP, MAP, weights((1, 1, 4), per_channel=False)),
    "softmax": single("SOFTMAX", (1, 10), (1, 10), options={"beta": 1.0}, version=2),
    "reshape": single("RESHAPE", MAP, (1, 256), numbers([1, 256])),
    "requantize": single("QUANTIZE", MAP, MAP, version=2),
    "uint8-to-int8": single("QUANTIZE", MAP, MAP, dtype="uint8", version=2),
    "logistic": single("LOGISTIC", MAP, MAP, version=2),
}


@pytest.mark.parametrize("name", MAPPED)
def test_operator_is_mapped(name: str) -> None:
    report = check(MAPPED[name])
    assert [(one.verdict.value, one.reason, one.remedy) for one in report.operators] == [
        ("mapped", "Mapped to Edge TPU", None)
    ]
    assert (report.segments, report.fully_mapped) == (1, True)


SLOPES = (8, 8, 4)
UNMAPPED = {
    "leaky-relu": (
        single("LEAKY_RELU", options={"alpha": 0.1}, version=2),
        facts.NOT_SUPPORTED,
        "use PReLU with shared_axes=[1, 2] (set its slopes to the constant), or ReLU",
    ),
    "operator-without-a-remedy": (
        single("ABS"),
        facts.NOT_SUPPORTED,
        "leave it out, or move it to the end: what depends on it runs on the CPU too",
    ),
    "dequantize": (
        single("DEQUANTIZE", MAP, MAP, version=2),
        facts.TYPE,
        "export with int8 outputs and dequantize after the model",
    ),
    "detection-postprocess": (
        single("CUSTOM", MAP, MAP, custom="TFLite_Detection_PostProcess"),
        facts.TYPE,
        "leave it out and compute it after the model",
    ),
    "int16": (
        single("ADD", MAP, MAP, another(), dtype="int16", version=2),
        facts.TYPE,
        "quantize it to 8 bits: tensor 0 is int16",
    ),
    "float-weights": (
        conv_with(lambda graph: graph.tensor((8, 3, 3, 4), dtype="float16", data=np.zeros((8, 3, 3, 4), np.float16))),
        facts.TYPE,
        "quantize it to 8 bits: tensor 1 is float16",
    ),
    "batch-of-2": (
        single("LOGISTIC", (2, 8, 8, 4)),
        facts.RANK,
        "keep 1 in all but the three innermost dimensions, batch included; here [2, 8, 8, 4]",
    ),
    "dilations-differ": (
        conv(dilationWFactor=2, dilationHFactor=1),
        facts.UNSPECIFIED,
        "dilate both directions alike; here 1 by 2",
    ),
    "grouped": (
        conv_with(weights((8, 3, 3, 2))),
        facts.UNSPECIFIED,
        "use a convolution with groups=1, or a depthwise one",
    ),
    "depthwise-dilations-differ": (
        depthwise(dilationWFactor=1, dilationHFactor=3),
        facts.UNSPECIFIED,
        "dilate both directions alike; here 3 by 1",
    ),
    "weights-computed": (conv_with(another((8, 3, 3, 4))), facts.NOT_CONSTANT, "weights must be stored in the model"),
    "dense-rows": (
        dense((3, 16), (3, 4)),
        facts.UNSPECIFIED,
        "give one row of outputs: use Conv2D(units, 1) on [3, 4]",
    ),
    "dense-shuffled": (
        dense((1, 16), (1, 4), weightsFormat=1),
        facts.UNSPECIFIED,
        "convert with weights in the default format",
    ),
    "max-pool-fused": (
        pool("MAX_POOL_2D", fusedActivationFunction=1),
        facts.UNSPECIFIED,
        "put its activation (RELU) into the operator before it",
    ),
    "concatenation-fused": (
        concatenated(another(), fusedActivationFunction=3),
        facts.UNSPECIFIED,
        "put its activation (RELU6) into the operator before it",
    ),
    "concatenation-with-ones": (
        concatenated(weights(MAP, per_channel=False, value=1)),
        facts.UNSPECIFIED,
        "join computed tensors only, or one of them with a constant of zeros",
    ),
    "concatenation-of-three-with-zeros": (
        concatenated(another(), weights(MAP, per_channel=False, value=0), out=(1, 8, 8, 12)),
        facts.UNSPECIFIED,
        "join computed tensors only, or one of them with a constant of zeros",
    ),
    "mean-of-the-batch": (reduce("MEAN", [0, 1], (8, 4)), facts.UNSPECIFIED, "do not reduce the batch axis"),
    "maximum-of-the-batch": (reduce("REDUCE_MAX", [-4], (8, 8, 4)), facts.UNSPECIFIED, "do not reduce the batch axis"),
    "mean-along-depth-of-3": (
        reduce("MEAN", [3], (1, 8, 8), (1, 8, 8, 3)),
        facts.UNSPECIFIED,
        "average along a depth that is a multiple of 4; here 3",
    ),
    "pad-the-batch": (
        single("PAD", MAP, (1, 8, 8, 4), numbers([[0, 1], [0, 0], [0, 0], [0, 0]])),
        facts.UNSPECIFIED,
        "do not pad the batch axis",
    ),
    "stride-of-2": (
        strided((1, 2, 2, 1)),
        facts.UNSPECIFIED,
        "take every element (stride 1), or use a strided pooling or convolution",
    ),
    "ellipsis": (strided(ellipsisMask=1), facts.UNSPECIFIED, "write the slice out: no ellipsis, no new axis"),
    "new-axis": (strided(newAxisMask=2), facts.UNSPECIFIED, "write the slice out: no ellipsis, no new axis"),
    "split-the-batch": (
        single("SPLIT", MAP, MAP, numbers(0), first=True, options={"numSplits": 1}, version=2),
        facts.UNSPECIFIED,
        "do not split the batch axis",
    ),
    "pack-the-batch": (
        single("PACK", (4,), (1, 4), options={"valuesCount": 1, "axis": 0}, version=2),
        facts.UNSPECIFIED,
        "do not use the batch axis",
    ),
    "prelu-of-each-pixel": (
        single("PRELU", MAP, MAP, weights(SLOPES, per_channel=False)),
        facts.UNSPECIFIED,
        "share its slopes over the map: PReLU(shared_axes=[1, 2])",
    ),
    "softmax-of-16001": (
        single("SOFTMAX", (1, 16_001), options={"beta": 1.0}, version=2),
        facts.UNSPECIFIED,
        "leave it out and compute it after the model: 16001 elements, at most 16000",
    ),
}


@pytest.mark.parametrize("name", UNMAPPED)
def test_operator_stays_on_the_cpu(name: str) -> None:
    raw, reason, remedy = UNMAPPED[name]
    (one,) = check(raw).operators
    assert (one.verdict.value, one.reason, one.remedy) == ("cpu", reason, remedy)


UNDECIDED = {
    "bilinear-past-128": (resize("RESIZE_BILINEAR", 129), "resize to at most 128 by 128, and the rest after it"),
    "transposed-past-64": (transposed(66), "use UpSampling2D followed by Conv2D, or a smaller input"),
    "mean-past-64-by-128": (
        reduce("MEAN", [1, 2], (1, 3), (1, 65, 128, 3)),
        "average a smaller map: pool first, in steps",
    ),
    "reshape-past-65536": (
        single("RESHAPE", (1, 1, 65_537), (1, 65_537), numbers([1, 65_537])),
        "reshape a smaller tensor: this one has 65537 elements; pool before it",
    ),
    "transpose": (
        single("TRANSPOSE", MAP, (1, 4, 8, 8), numbers([0, 3, 1, 2]), version=2),
        "keep the order of the dimensions: channels last, as TensorFlow has it",
    ),
    "softmax-of-a-map": (
        single("SOFTMAX", (1, 5, 10), options={"beta": 1.0}, version=2),
        "leave it out and compute it after the model",
    ),
    "padv2": (
        single(
            "PADV2",
            MAP,
            (1, 10, 10, 4),
            numbers([[0, 0], [1, 1], [1, 1], [0, 0]]),
            weights((), per_channel=False),
            version=2,
        ),
        "pad with zeros (PAD): Google's table does not name PADV2",
    ),
}


@pytest.mark.parametrize("name", UNDECIDED)
def test_operator_may_stay_on_the_cpu(name: str) -> None:
    raw, remedy = UNDECIDED[name]
    report = check(raw)
    (one,) = report.operators
    assert (one.verdict.value, one.reason, one.remedy) == ("maybe", facts.UNSPECIFIED, remedy)
    assert (report.segments, report.fully_mapped) == (1, False)


def test_tensors_past_the_whole_memory_are_not_decided() -> None:
    (one,) = check(single("LOGISTIC", (1, 2048, 2049, 1))).operators
    assert (one.verdict.value, one.reason) == ("maybe", facts.ABORTED)
    assert one.remedy == "use a smaller input: its tensors take 8392704 bytes, more than the Edge TPU has"


# What the compiler makes no file of.

REFUSED = {
    "activation-fused-into-a-transposed-convolution": (
        transposed(16, version=4, activation=1),
        "Didn't find op for builtin opcode 'TRANSPOSE_CONV' version '4'. An older version of this builtin might be "
        "supported. Are you using an old TFLite binary with a newer model?",
        "keep its activation in a layer of its own, or use UpSampling2D followed by Conv2D "
        "(the compiler reads version 3 at most)",
    ),
    "grouped-convolution": (
        conv_with(weights((8, 3, 3, 2)), version=6),
        "Didn't find op for builtin opcode 'CONV_2D' version '6'. An older version of this builtin might be supported. "
        "Are you using an old TFLite binary with a newer model?",
        "use a convolution with groups=1, or a depthwise one (the compiler reads version 5 at most)",
    ),
    "operator-of-a-newer-schema": (
        single("GELU"),
        "Op builtin_code out of range. Are you using old TFLite binary with newer model?",
        "use ReLU or ReLU6",
    ),
    "flex": (
        single("CUSTOM", MAP, MAP, custom="FlexErf"),
        "Regular TensorFlow ops are not supported by this interpreter.",
        "convert without SELECT_TF_OPS: replace or leave out the operator",
    ),
    "custom": (
        single("CUSTOM", MAP, MAP, custom="MyOperator"),
        "Encountered unresolved custom op: MyOperator.",
        "leave it out and compute it after the model",
    ),
    "shape-that-is-computed": (
        single("RESHAPE", MAP, (1, 256), another((2,), dtype="int32", scales=())),
        facts.DYNAMIC,
        "fix every shape: build the model with Input(shape, batch_size=1)",
    ),
    "degenerate-scale": (
        single("ADD", MAP, MAP, another(), options={"fusedActivationFunction": 3}, scales=(1e-9,), version=2),
        "no_integer_overflow_from_quantization was not true.",
        "its scales have degenerated: calibrate with images like those it will see",
    ),
    "dimension-of-0": (
        single("LOGISTIC", (1, 0, 8, 4)),
        facts.DYNAMIC,
        "fix every shape: build the model with Input(shape, batch_size=1)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_operator_stops_the_compiler(name: str) -> None:
    raw, reason, remedy = REFUSED[name]
    report = check(raw)
    (one,) = report.operators
    assert (one.verdict.value, one.reason, one.remedy) == ("cpu", reason, remedy)
    assert (report.segments, report.quantized) == (0, True)
    assert report.notes == (f"the compiler makes no file: operator 0 ({name_of(raw)}): {reason}",)


def name_of(raw: bytes) -> str:
    (operator,) = tflite.read(raw, source="model").operators
    return operator.custom_name or operator.name


def test_what_stops_the_compiler_leaves_all_operators_on_the_cpu() -> None:
    graph = Graph()
    y = graph.conv(graph.input(MAP), 4)
    first, second, _ = check(graph.finish(graph.conv(graph.op("GELU", [y], MAP), 4))).operators
    assert (first.verdict.value, first.reason) == ("cpu", "Model could not be parsed")
    assert first.remedy == "nothing is compiled because of operator 1 (GELU): use ReLU or ReLU6"
    assert second.reason == "Op builtin_code out of range. Are you using old TFLite binary with newer model?"


def test_free_batch_alone_stops_nothing() -> None:
    graph = Graph()
    x = graph.input(MAP, signature=(-1, 8, 8, 4))
    assert check(graph.finish(graph.conv(x, 4))).fully_mapped


# Whole models.


def test_shipped_tiny_model_is_fully_mapped() -> None:
    report = check(TINY)
    assert [one.verdict.value for one in report.operators] == ["mapped"] * 8
    assert (report.model, report.target, report.quantized, report.segments) == ("model.tflite", "coral-usb", True, 1)


def test_what_depends_on_an_unmapped_operator_is_stranded_and_what_does_not_is_mapped() -> None:
    graph = Graph()
    x = graph.conv(graph.input(MAP), 4)
    leaky = graph.op("LEAKY_RELU", [x], MAP, options={"alpha": 0.1}, version=2)
    behind = graph.conv(leaky, 4)
    beside = graph.conv(x, 4)
    joined = graph.op("ADD", [behind, beside], MAP, version=2)
    report = check(graph.finish(joined))
    assert [(one.op, one.verdict.value, one.reason) for one in report.operators] == [
        ("CONV_2D", "mapped", facts.MAPPED),
        ("LEAKY_RELU", "cpu", facts.NOT_SUPPORTED),
        ("CONV_2D", "cpu", facts.STRANDED),
        ("CONV_2D", "mapped", facts.MAPPED),
        ("ADD", "cpu", facts.STRANDED),
    ]
    remedy = "nothing to change here: operator 1 (LEAKY_RELU) runs on the CPU, and this one depends on it"
    assert [report.operators[index].remedy for index in (2, 4)] == [remedy, remedy]
    assert report.segments == 1


def test_nearest_unmapped_operator_is_blamed() -> None:
    graph = Graph()
    y = graph.op("LEAKY_RELU", [graph.input(MAP)], MAP, options={"alpha": 0.1})
    y = graph.op("ABS", [graph.conv(y, 4)], MAP)
    report = check(graph.finish(graph.conv(y, 4)))
    # The model begins on the CPU: the segment is what follows, up to the second unmapped operator.
    assert [one.verdict.value for one in report.operators] == ["cpu", "mapped", "cpu", "cpu"]
    assert report.operators[3].remedy == (
        "nothing to change here: operator 2 (ABS) runs on the CPU, and this one depends on it"
    )


def pyramid() -> bytes:
    """Return the convolutions of SSD MobileNetV2 FPNLite, its upsampling as an operator that is not mapped.

    35 of the backbone, 3 beside it, 2 coarser levels; on the way back one per finer level, behind an upsampling; then
    six in the head of each of five levels, all heads after all levels.
    """
    graph = Graph()
    x = graph.input(MAP)
    for _ in range(35):
        x = graph.conv(x, 4, kernel=1)
    fine, middle, level = (graph.conv(x, 4, kernel=1) for _ in range(3))
    coarse = graph.conv(level, 4, kernel=1)
    levels = [level, coarse, graph.conv(coarse, 4, kernel=1)]
    for beside in (middle, fine):
        upsampled = graph.op("ABS", [level], MAP)
        joined = graph.op("ADD", [upsampled, beside], MAP, version=2)
        level = graph.conv(joined, 4, kernel=1)
        levels.append(level)
    heads = []
    for level in reversed(levels):
        head = level
        for _ in range(6):
            head = graph.conv(head, 4, kernel=1)
        heads.append(head)
    return graph.finish(*heads)


def test_segment_has_the_convolutions_of_a_published_log() -> None:
    # google-coral/edgetpu#537: CONV_2D 58 Mapped to Edge TPU, 14 More than one subgraph is not supported.
    report = check(pyramid())
    found = [one.reason for one in report.operators if one.op == "CONV_2D"]
    assert (found.count(facts.MAPPED), found.count(facts.STRANDED)) == (58, 14)


def undecided_model() -> bytes:
    graph = Graph()
    y = graph.op("TRANSPOSE", [graph.conv(graph.input(MAP), 4), graph.numbers([0, 2, 1, 3])], MAP, version=2)
    return graph.finish(graph.conv(y, 4))


def test_what_depends_on_an_undecided_operator_is_not_decided_either() -> None:
    report = check(undecided_model())
    assert [one.verdict.value for one in report.operators] == ["mapped", "maybe", "maybe"]
    assert report.operators[2].reason == facts.STRANDED
    assert report.operators[2].remedy == (
        "nothing to change here: operator 1 (TRANSPOSE) may run on the CPU, and this one depends on it"
    )


def float_ends() -> bytes:
    graph = Graph()
    x = graph.input(MAP, dtype="float32", scales=())
    y = graph.conv(graph.op("QUANTIZE", [x], MAP), 4)
    return graph.finish(graph.op("DEQUANTIZE", [y], MAP, dtype="float32", scales=(), version=2))


def test_float_input_and_output_leave_their_conversions_on_the_cpu() -> None:
    report = check(float_ends())
    assert [(one.op, one.verdict.value, one.reason) for one in report.operators] == [
        ("QUANTIZE", "cpu", facts.UNSPECIFIED),
        ("CONV_2D", "mapped", facts.MAPPED),
        ("DEQUANTIZE", "cpu", facts.TYPE),
    ]
    assert report.operators[0].remedy == "export with int8 inputs and quantize before the model"
    assert (report.segments, report.quantized, report.fully_mapped) == (1, True, False)


def dynamic_range() -> bytes:
    graph = Graph("float32")
    filters = graph.tensor((8, 3, 3, 4), dtype="int8", data=np.ones((8, 3, 3, 4), np.int8), scales=(SCALE,) * 8)
    inputs = [graph.input(MAP), filters, graph.bias(8)]
    return graph.finish(graph.op("CONV_2D", inputs, (1, 8, 8, 8), options={"strideW": 1, "strideH": 1}, version=5))


def float16_weights() -> bytes:
    graph = Graph("float32")
    x = graph.input(MAP)
    stored = graph.tensor((8, 3, 3, 4), dtype="float16", data=np.ones((8, 3, 3, 4), np.float16), scales=())
    filters = graph.op("DEQUANTIZE", [stored], (8, 3, 3, 4), version=3)
    return graph.finish(graph.op("CONV_2D", [x, filters, graph.bias(8)], (1, 8, 8, 8), options={"strideW": 1}))


def float_model() -> bytes:
    graph = Graph("float32")
    return graph.finish(graph.conv(graph.input(MAP), 4))


UNQUANTIZED = {"float": float_model(), "dynamic-range": dynamic_range(), "float16-weights": float16_weights()}


@pytest.mark.parametrize("name", UNQUANTIZED)
def test_model_that_computes_in_floats_is_mapped_nowhere(name: str) -> None:
    report = check(UNQUANTIZED[name])
    assert {(one.verdict.value, one.reason, one.remedy) for one in report.operators} == {
        (
            "cpu",
            "Model not quantized",
            "quantize it: edgemed convert, or full integer quantization of weights and activations",
        )
    }
    assert (report.quantized, report.segments, report.fully_mapped) == (False, 0, False)
    assert report.parameters == compat.Parameters(on_chip_bytes=0, off_chip_bytes=0)


def test_compiled_file_says_itself_what_is_mapped() -> None:
    graph = Graph()
    x = graph.input(MAP)
    y = graph.op("CUSTOM", [x], MAP, custom="edgetpu-custom-op")
    report = check(graph.finish(graph.op("SOFTMAX", [y], MAP, version=2)))
    assert [(one.op, one.verdict.value, one.reason, one.remedy) for one in report.operators] == [
        ("CUSTOM", "mapped", "Mapped to Edge TPU (edgetpu-custom-op)", None),
        ("SOFTMAX", "cpu", "not part of the compiled segment", "check the file that it was compiled from"),
    ]
    assert (report.segments, report.quantized) == (1, True)
    assert report.parameters == compat.Parameters(on_chip_bytes=None, off_chip_bytes=None)
    assert report.notes == (
        "already compiled for the Edge TPU: what its segment holds, and its weights, can be read from the log only",
    )


def test_model_without_operators_is_not_fully_mapped() -> None:
    graph = Graph()
    assert not check(graph.finish(graph.input(MAP))).fully_mapped


# Memory: the sizes that the compiler printed, in the last digit it printed.

# Filters of five 3x3 convolutions over 64 x 64 x 3, and MiB on chip: CONV_MACs/results/minF32-maxF750-stepF10.csv.
CONVOLUTIONS = {32: 0.074951171875, 42: 0.101318359375, 72: 0.32568359375, 122: 0.55419921875, 252: 2.23, 442: 6.86}
# Units of five dense layers between 6912 inputs and 10 outputs: FC_MACs/results/minN2-maxN1622-stepN20L5.csv.
DENSE = {2: 0.423095703125, 62: 0.44140625, 82: 0.889892578125, 122: 0.911865234375, 402: 3.67, 762: 7.35}
MIB = 1 << 20


def stacked_convolutions(filters: int) -> bytes:
    graph = Graph()
    x = graph.input((1, 64, 64, 3))
    for _ in range(5):
        x = graph.conv(x, filters)
    return graph.finish(x)


def stacked_dense(units: int) -> bytes:
    graph = Graph()
    x = graph.input((1, 6912))
    for width in (*[units] * 5, 10):
        depth = graph.shape(x)[1]
        inputs = [x, graph.weights((width, depth), per_channel=False), graph.bias(width, per_channel=False)]
        x = graph.op("FULLY_CONNECTED", inputs, (1, width), version=4)
    return graph.finish(x)


def total_mib(raw: bytes) -> float:
    return (
        sum(edgetpu_memory.layer_bytes(node) for node in nodes(tflite.read(raw, source="model"), source="model")) / MIB
    )


@pytest.mark.parametrize("filters", CONVOLUTIONS)
def test_weights_of_convolutions_take_what_the_compiler_printed(filters: int) -> None:
    assert total_mib(stacked_convolutions(filters)) == pytest.approx(CONVOLUTIONS[filters], abs=0.0051)
    if filters < 200:
        assert total_mib(stacked_convolutions(filters)) == CONVOLUTIONS[filters]


@pytest.mark.parametrize("units", DENSE)
def test_weights_of_dense_layers_take_what_the_compiler_printed(units: int) -> None:
    assert total_mib(stacked_dense(units)) == pytest.approx(DENSE[units], abs=0.0051)
    if units < 200:
        assert total_mib(stacked_dense(units)) == DENSE[units]


def test_layers_that_do_not_fit_are_streamed_whole() -> None:
    # 472 filters: 6.26 MiB on chip and 2.08 off it in the same table.
    parameters = check(stacked_convolutions(472)).parameters
    assert parameters.on_chip_bytes / MIB == pytest.approx(6.26, abs=0.0051)
    assert parameters.off_chip_bytes / MIB == pytest.approx(2.08, abs=0.0051)


def test_nearness_to_the_limit_is_said() -> None:
    report = check(stacked_convolutions(442))
    assert report.notes == (
        "its weights take 7194880 of 8388608 bytes on chip, which they share with instructions and activations: "
        "the compiler may stream more or less of them than said here",
    )


def test_stranded_weights_take_no_memory() -> None:
    graph = Graph()
    y = graph.op("ABS", [graph.conv(graph.input(MAP), 4)], MAP)
    before = check(graph.finish(y)).parameters
    assert check(graph.finish(graph.conv(y, 512))).parameters == before
    assert before == compat.Parameters(on_chip_bytes=9 * 4 * 64 + 8 * 64, off_chip_bytes=0)


# What gets no verdict.


def test_several_subgraphs_are_refused() -> None:
    graph = Graph()
    y = graph.conv(graph.input(MAP), 4)
    graph.model.subgraphs.append(graph.graph)
    with pytest.raises(ConversionError) as caught:
        check(graph.finish(y))
    assert str(caught.value) == (
        "model.tflite: subgraphs: expected 1, got 2; export a graph without if, while or other control flow"
    )


def test_operator_without_its_operands_is_refused() -> None:
    graph = Graph()
    with pytest.raises(ConversionError) as caught:
        check(graph.finish(graph.op("ADD", [graph.input(MAP)], MAP)))
    assert str(caught.value) == (
        "model.tflite: operators[0] (ADD).inputs[1]: expected a tensor, got none; the file is damaged"
    )


def test_tensor_with_more_dimensions_than_any_kernel_takes_is_refused() -> None:
    with pytest.raises(ConversionError) as caught:
        check(single("LOGISTIC", (1,) * 9))
    assert str(caught.value) == (
        "model.tflite: tensors[0].shape: expected at most 8 dimensions, got 9; the file is damaged"
    )


def test_constant_that_the_file_does_not_hold_whole_is_refused() -> None:
    graph = Graph()
    filters = graph.tensor((8, 3, 3, 4), data=np.ones(7, np.int8), scales=(SCALE,) * 8)
    with pytest.raises(ConversionError) as caught:
        check(graph.finish(graph.op("CONV_2D", [graph.input(MAP), filters], (1, 8, 8, 8), version=3)))
    assert str(caught.value) == (
        "model.tflite: tensors[0]: expected 288 bytes of weights for shape (8, 3, 3, 4), got 7; the file is damaged"
    )


def test_axes_longer_than_any_list_of_axes_are_refused() -> None:
    with pytest.raises(ConversionError) as caught:
        check(reduce("MEAN", [1] * 65, (1, 4)))
    assert str(caught.value) == (
        "model.tflite: operators[0] (MEAN).inputs[1]: expected at most 64 whole numbers, got int32 of shape (65,); "
        "the file is damaged"
    )


def test_state_of_a_recurrent_layer_needs_no_8_bits() -> None:
    graph = Graph()
    x, state = graph.input((1, 5, 8)), graph.tensor((1, 8), dtype="int16")
    graph.graph.tensors[state].isVariable = True
    (one,) = check(graph.finish(graph.op("UNIDIRECTIONAL_SEQUENCE_LSTM", [x, state], (1, 5, 8)))).operators
    assert (one.verdict.value, one.reason) == ("maybe", facts.UNSPECIFIED)
    assert one.remedy == "keep its input below 900 elements"


def test_operator_without_output_is_refused() -> None:
    graph = Graph()
    x = graph.input(MAP)
    graph.op("LOGISTIC", [x], MAP)
    graph.graph.operators[0].outputs = []
    with pytest.raises(ConversionError) as caught:
        check(graph.finish(x))
    assert (
        str(caught.value)
        == "model.tflite: operators[0] (LOGISTIC).outputs: expected a tensor, got none; the file is damaged"
    )


def test_target_without_on_chip_memory_is_refused() -> None:
    import msgspec

    target = targets.load("coral-usb")
    bare = msgspec.structs.replace(target, memory=targets.Memory(ram_mib=None, sram_mib=None))
    with pytest.raises(TargetMismatchError) as caught:
        compat.check(TINY, source="model.tflite", target=bare)
    assert str(caught.value) == "coral-usb.yaml: memory.sram_mib: expected the Edge TPU's on-chip memory, got null"
