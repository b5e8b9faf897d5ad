from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the jetson extra")

import onnx

from converters import compat
from converters.compat import Verdict
from tests.converters.compat import onnx_graphs
from tests.converters.compat.onnx_graphs import Graph
from tests.converters.compat.tensorrt_checked import SYMMETRIC, checked, good, refused


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
