"""Each rule of the Edge TPU on an operator of its own: mapped, on the CPU, may not map, or no file at all."""

from __future__ import annotations

import numpy as np
import pytest

from converters.compat import edgetpu_facts as facts
from edgemed import tflite
from tests.converters.compat.graphs import Graph
from tests.converters.compat.operators import (
    MAP,
    another,
    check,
    concatenated,
    conv,
    conv_with,
    dense,
    depthwise,
    numbers,
    pool,
    reduce,
    resize,
    single,
    strided,
    transposed,
    weights,
)

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
