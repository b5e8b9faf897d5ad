from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the jetson extra")

import onnx

from converters import compat
from converters.compat import Report, Verdict, tensorrt_facts
from edgemed import targets
from edgemed.errors import ConversionError
from tests.converters.compat import onnx_graphs
from tests.converters.compat.onnx_graphs import Graph

ROOT = Path(__file__).resolve().parents[3]
SYMMETRIC = "train or calibrate with symmetric ranges: edgemed convert --target jetson-orin-nano"


def checked(raw: bytes, *, target: str = "jetson-orin-nano") -> Report:
    return compat.check(raw, source="model.onnx", target=targets.load(target))


def good() -> bytes:
    graph = Graph()
    return graph.finish(onnx_graphs.convolution(graph))


def refused(raw: bytes, *, target: str = "jetson-orin-nano") -> list[tuple[str, str, str, str | None]]:
    """Return kind, verdict, reason and remedy of every operator that is not mapped."""
    return [
        (one.op, one.verdict.value, one.reason, one.remedy)
        for one in checked(raw, target=target).operators
        if one.verdict is not Verdict.MAPPED
    ]


def refusal(raw: bytes) -> str:
    with pytest.raises(ConversionError) as caught:
        checked(raw)
    return str(caught.value)


def test_quantized_convolution_runs_in_int8() -> None:
    report = checked(good())

    assert [(one.op, one.verdict, one.reason, one.remedy) for one in report.operators] == [
        ("QuantizeLinear", Verdict.MAPPED, "zero point 0, fused into its neighbours", None),
        ("DequantizeLinear", Verdict.MAPPED, "zero point 0, fused into its neighbours", None),
        ("QuantizeLinear", Verdict.MAPPED, "zero point 0, fused into its neighbours", None),
        ("DequantizeLinear", Verdict.MAPPED, "zero point 0, fused into its neighbours", None),
        ("Conv", Verdict.MAPPED, "runs in int8", None),
        ("Relu", Verdict.MAPPED, "fused into the Conv before it", None),
        ("QuantizeLinear", Verdict.MAPPED, "zero point 0, fused into its neighbours", None),
        ("DequantizeLinear", Verdict.MAPPED, "zero point 0, fused into its neighbours", None),
    ]
    assert (report.quantized, report.fully_mapped, report.segments) == (True, True, 1)
    assert report.notes == ("1 of 1 convolutions and products run in int8",)


def test_document_has_the_keys_of_every_compatibility_check() -> None:
    document = compat.document(checked(good()))
    assert list(document) == ["model", "target", "quantized", "operators", "segments", "parameters", "fully_mapped"]
    assert document["parameters"] == {"on_chip_bytes": None, "off_chip_bytes": None}


def test_asymmetric_model_as_tf2onnx_writes_it_is_refused() -> None:
    graph = Graph()
    x = graph.pair("x", "x", point=np.int8(-128))
    bias = [graph.constant(np.float32(0.01), "b.scale"), graph.constant(np.int32(0), "b.point")]
    dequantized = graph.node("DequantizeLinear", [graph.constant(np.zeros(3, np.int32), "b"), *bias], "b.dq")
    y = graph.node("Conv", [x, graph.weights(), dequantized], "y", pads=[1, 1, 1, 1])
    raw = graph.finish(graph.pair(y, "out", point=np.int8(5)))

    asymmetric = "TRT only supports symmetric quantization - zeroPt must be all zeros: it is "
    int32 = "input has type Int32 but must have type FP8, FP4, Int4, or Int8: a bias behind DequantizeLinear"
    remedy = "store the bias as float32, without Q/DQ (onnxruntime's quantizer: QuantizeBias=False)"
    assert refused(raw) == [
        ("QuantizeLinear", "cpu", f"{asymmetric}-128", SYMMETRIC),
        ("DequantizeLinear", "cpu", f"{asymmetric}-128", SYMMETRIC),
        ("DequantizeLinear", "cpu", int32, remedy),
        ("QuantizeLinear", "cpu", f"{asymmetric}5", SYMMETRIC),
        ("DequantizeLinear", "cpu", f"{asymmetric}5", SYMMETRIC),
    ]
    report = checked(raw)
    assert not report.fully_mapped
    assert report.notes == (
        "0 of 1 convolutions and products run in int8",
        f"4 of 7 Q/DQ nodes have a zero point other than 0: {SYMMETRIC}",
    )
    conv = next(one for one in report.operators if one.op == "Conv")
    assert conv.reason == "runs in float: no Q/DQ pair before its activation"


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


def test_stored_integers_as_weights_are_left_open() -> None:
    graph = Graph()
    stored = [graph.constant(np.full(3, 0.1, np.float32), "s"), graph.constant(np.zeros(3, np.int8), "p")]
    integers = graph.constant(np.ones((3, 4, 3, 3), np.int8), "w")
    w = graph.node("DequantizeLinear", [integers, *stored], "w.dq", axis=0)
    raw = graph.finish(graph.node("Conv", [graph.pair("x", "x"), w], "y", pads=[1, 1, 1, 1]))

    assert refused(raw) == [
        (
            "DequantizeLinear",
            "maybe",
            "int8 weights without QuantizeLinear: TensorRT 10 takes them, TensorRT 8 asks for FP32 weights",
            "store the weights as float32 behind a QuantizeLinear and a DequantizeLinear",
        )
    ]
    assert checked(raw).operators[-1].reason == "runs in int8"


def test_convolution_without_pairs_falls_to_float() -> None:
    graph = Graph()
    w = graph.constant(np.ones((3, 4, 3, 3), np.float32), "w")
    raw = graph.finish(graph.node("Conv", ["x", w], "y", pads=[1, 1, 1, 1]))

    (only,) = checked(raw).operators
    assert (only.verdict, only.reason) == (
        Verdict.MAPPED,
        "runs in float: no Q/DQ pair before its activation and weights",
    )
    assert only.remedy == "quantize both inputs, as edgemed convert --target jetson-orin-nano does"
    assert checked(raw).quantized is False


def test_one_scale_for_all_weights_is_said() -> None:
    graph = Graph()
    w = graph.pair(graph.constant(np.ones((3, 4, 3, 3), np.float32), "w"), "w")
    raw = graph.finish(graph.node("Conv", [graph.pair("x", "x"), w], "y", pads=[1, 1, 1, 1]))
    assert checked(raw).operators[-1].reason == "runs in int8, with one scale for all weights"


def test_pair_counts_through_operators_that_only_move_values() -> None:
    graph = Graph()
    moved = graph.node("Transpose", [graph.pair("x", "x")], "moved", perm=[0, 1, 3, 2])
    raw = graph.finish(graph.node("Conv", [moved, graph.weights()], "y", pads=[1, 1, 1, 1]))
    assert checked(raw).operators[-1].reason == "runs in int8"


def test_constant_nodes_count_as_constants() -> None:
    """PyTorch stores scales so."""
    model = onnx.load_from_string(good())
    stored = list(model.graph.initializer)
    del model.graph.initializer[:]
    for place, one in enumerate(stored):
        node = onnx.helper.make_node("Constant", [], [one.name], value=one)
        model.graph.node.insert(place, node)

    report = checked(bytes(model.SerializeToString()))

    assert report.fully_mapped
    assert report.notes == ("1 of 1 convolutions and products run in int8",)


def operator(kind: str, *, domain: str = "", opset: int = 13) -> bytes:
    graph = Graph()
    return graph.finish(graph.node(kind, ["x"], "y", domain=domain), opset=opset)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(
            operator("QLinearConv"),
            (
                "QLinearConv",
                "cpu",
                "TensorRT 8.5 (JetPack 5.1) does not support QLinearConv",
                "export with QuantizeLinear and DequantizeLinear (QDQ), not with quantized operators (QOperator)",
            ),
            id="quantized-operator",
        ),
        pytest.param(
            operator("ConvInteger"),
            (
                "ConvInteger",
                "cpu",
                "TensorRT 8.5 (JetPack 5.1) does not support ConvInteger",
                "quantize with Q/DQ pairs around float operators",
            ),
            id="integer-operator",
        ),
        pytest.param(
            operator("Det"),
            ("Det", "cpu", "TensorRT 8.5 (JetPack 5.1) does not support Det", "express it with other operators"),
            id="refused",
        ),
        pytest.param(
            operator("Gelu"),
            (
                "Gelu",
                "cpu",
                "No importer registered for op: Gelu in TensorRT 8.5 (JetPack 5.1)",
                "express it with standard operators, or register a TensorRT plugin",
            ),
            id="unknown",
        ),
        pytest.param(
            operator("Thing", domain="com.microsoft"),
            (
                "com.microsoft.Thing",
                "cpu",
                "No importer registered for op: Thing of the domain com.microsoft",
                "express it with standard operators, or register a TensorRT plugin",
            ),
            id="other-domain",
        ),
        pytest.param(
            operator("Relu", opset=20),
            ("Relu", "maybe", "opset 20: TensorRT 8.5 (JetPack 5.1) reads up to 17", "export with opset 13 to 17"),
            id="opset-20",
        ),
    ],
)
def test_operator_that_tensorrt_lacks_is_named(raw: bytes, expected: tuple[str, str, str, str]) -> None:
    assert refused(raw) == [expected]


def test_pairs_of_an_opset_without_channels_are_left_open() -> None:
    graph = Graph()
    raw = graph.finish(onnx_graphs.convolution(graph), opset=10)
    assert {(verdict, reason) for _, verdict, reason, _ in refused(raw)} == {
        ("maybe", "opset 10: Q/DQ with one scale per channel came with 13")
    }


def test_segments_are_what_the_cpu_divides() -> None:
    graph = Graph()
    x = graph.node("Det", [graph.node("Relu", ["x"], "a")], "b")
    assert checked(graph.finish(graph.node("Relu", [x], "c"))).segments == 2


def test_jetson_nano_takes_no_pairs_and_says_so() -> None:
    remedy = "convert with --target jetson-nano and take its model/float16.onnx"
    assert refused(good(), target="jetson-nano") == [
        (kind, "cpu", "no INT8 in TensorRT on this GPU", remedy) for kind in ("QuantizeLinear", "DequantizeLinear") * 3
    ]
    assert checked(good(), target="jetson-nano").notes == (
        f"jetson-nano has no INT8 in TensorRT and runs float16: {remedy}",
    )


def test_jetson_nano_runs_a_float_model_in_float16() -> None:
    report = checked(operator("Relu"), target="jetson-nano")
    assert [(one.verdict, one.reason) for one in report.operators] == [(Verdict.MAPPED, "runs in float16")]
    assert report.notes == ("jetson-nano has no INT8 in TensorRT and runs float16",)


def test_jetson_nano_may_lack_what_came_later() -> None:
    assert refused(operator("HardSwish"), target="jetson-nano") == [
        (
            "HardSwish",
            "maybe",
            "support for HardSwish came with TensorRT 8.5, this device has TensorRT 8.2 (JetPack 4.6)",
            "express it with other operators, or try trtexec on the device",
        )
    ]


def test_tables_of_facts_do_not_overlap() -> None:
    assert not tensorrt_facts.SUPPORTED & tensorrt_facts.REFUSED
    assert tensorrt_facts.SUPPORTED >= tensorrt_facts.LATER


def test_onnx_knows_every_operator_of_the_tables() -> None:
    known = {schema.name for schema in onnx.defs.get_all_schemas_with_history()}
    own = {"ImageScaler", "ParametricSoftplus", "ScaledTanh", "Scatter"}  # of ONNX before 1.2, or removed since
    assert (tensorrt_facts.SUPPORTED | tensorrt_facts.REFUSED) - known - own == set()
