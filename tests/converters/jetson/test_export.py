from __future__ import annotations

import sys

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the jetson extra")
pytest.importorskip("onnxruntime", reason="needs the jetson extra")

import onnx

from converters import jetson
from edgemed import tflite
from edgemed.errors import ConversionError, EdgemedError, MissingDependencyError
from edgemed.runtime import backends
from edgemed.runtime.interpreter import Kernels
from tests.converters.compat.graphs import Graph
from tests.converters.jetson import graphs
from tests.converters.jetson.graphs import FUSED, SAME

REMEDY = "train or calibrate with symmetric ranges: edgemed convert --target jetson-orin-nano"


def written(raw: bytes) -> onnx.ModelProto:
    return onnx.load_from_string(jetson.qdq_onnx(raw))


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}


def refusal(raw: bytes) -> str:
    with pytest.raises(ConversionError) as caught:
        jetson.qdq_onnx(raw)
    return str(caught.value)


def test_every_zero_point_is_an_int8_zero() -> None:
    model = written(graphs.raw(graphs.sequence(graphs.convolution(), graphs.depthwise())))
    found = constants(model)

    pairs = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    points = [found[node.input[2]] for node in pairs]
    assert len(pairs) == 10
    assert all(point.dtype == np.int8 and not point.any() for point in points)
    assert all((found[node.input[1]] > 0).all() for node in pairs)


def test_weights_keep_their_integers_and_scales() -> None:
    raw = graphs.raw(graphs.convolution())
    read = tflite.read(raw, source="case")
    stored = read.tensors[read.operators[0].inputs[1]]
    model = written(raw)
    found = constants(model)

    quantize = next(node for node in model.graph.node if node.input[0] == "conv_2d_0/weights")
    scales = found[quantize.input[1]]
    integers = np.rint(found["conv_2d_0/weights"] / scales.reshape(-1, 1, 1, 1))
    assert scales.tolist() == [np.float32(scale) for scale in stored.scales]
    assert onnx.helper.get_attribute_value(quantize.attribute[0]) == 0  # along the output channels
    assert integers.tolist() == tflite.values(read, stored).transpose(0, 3, 1, 2).tolist()


def test_bias_is_a_plain_constant_of_real_numbers() -> None:
    raw = graphs.raw(graphs.convolution())
    read = tflite.read(raw, source="case")
    places = read.operators[0].inputs
    integers = tflite.values(read, read.tensors[places[2]])
    model = written(raw)

    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    expected = integers * np.array(read.tensors[places[1]].scales) * 0.05
    assert constants(model)[conv.input[2]] == pytest.approx(expected, rel=1e-6)


def test_opset_and_ends_are_those_promised() -> None:
    model = written(graphs.raw(graphs.convolution()))

    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 13)]
    assert model.ir_version == 7
    ends = [*model.graph.input, *model.graph.output]
    assert [(end.name, [side.dim_value for side in end.type.tensor_type.shape.dim]) for end in ends] == [
        ("tensor_0", [1, 12, 11, 3]),
        ("tensor_3", [1, 12, 11, 5]),
    ]


def test_writing_twice_gives_the_same_bytes() -> None:
    raw = graphs.raw(graphs.convolution())
    assert jetson.qdq_onnx(raw) == jetson.qdq_onnx(raw)


def test_relu6_at_which_int8_saturates_is_written_as_relu() -> None:
    kinds = [
        {node.op_type for node in written(graphs.raw(build)).graph.node} & {"Relu", "Clip"}
        for build in (
            graphs.convolution(scale=6 / 127, fusedActivationFunction=FUSED.RELU6),
            graphs.convolution(scale=0.09, fusedActivationFunction=FUSED.RELU6),
        )
    ]
    assert kinds == [{"Relu"}, {"Clip"}]


def test_asymmetric_activations_are_counted_and_the_first_is_named() -> None:
    build = graphs.sequence(graphs.one("LEAKY_RELU", zero_point=3), graphs.one("LEAKY_RELU", zero_point=-128))

    assert refusal(graphs.raw(graphs.sequence(build, graphs.one("TANH", scale=1 / 128)))) == (
        "int8.tflite: expected activations with zero point 0, as TensorRT quantizes symmetrically, got 2 others of 4, "
        f"the first tensors[1] 'tensor_1' with zero point 3; {REMEDY}"
    )


def test_asymmetric_plane_that_a_convolution_reads_is_refused() -> None:
    assert refusal(graphs.raw(graphs.convolution(), scales=(1.0,), zero_point=-128)) == (
        "int8.tflite: expected activations with zero point 0, as TensorRT quantizes symmetrically, got 1 others of 2, "
        f"the first tensors[0] 'tensor_0' with zero point -128; {REMEDY}"
    )


@pytest.mark.parametrize("kernels", list(Kernels), ids=lambda kernels: kernels.value)
def test_grey_levels_and_their_normalisation_stay_exact(kernels: Kernels) -> None:
    raw = graphs.raw(graphs.normalised(graphs.convolution(inner=1)), (1, 12, 11, 1), scales=(1.0,), zero_point=-128)

    apart, answered = graphs.lsb_apart(raw, jetson.qdq_onnx(raw), kernels)

    assert len(np.unique(answered)) > 10
    assert np.abs(apart).max() <= 1
    kinds = [node.op_type for node in written(raw).graph.node]
    assert kinds[:4] == ["Reshape", "Mul", "Add", "QuantizeLinear"]


def test_plane_made_three_before_its_normalisation_stays_exact() -> None:
    def tripled(graph: Graph, x: int) -> int:
        shape = (*graph.shape(x)[:3], 3)
        return graph.op("CONCATENATION", (x, x, x), shape, options={"axis": 3}, scales=(1.0,), zero_point=-128)

    build = graphs.sequence(tripled, graphs.normalised(graphs.convolution()))
    raw = graphs.raw(build, (1, 12, 11, 1), scales=(1.0,), zero_point=-128)

    apart, answered = graphs.lsb_apart(raw, jetson.qdq_onnx(raw), Kernels.REFERENCE)

    assert len(np.unique(answered)) > 10
    assert np.abs(apart).max() <= 1


def test_operators_that_cannot_be_written_are_all_named() -> None:
    build = graphs.sequence(
        graphs.one("LEAKY_RELU", options={"alpha": 0.1}),
        graphs.one("ABS"),
        graphs.convolution(fusedActivationFunction=FUSED.TANH),
        graphs.one("SPACE_TO_DEPTH", shape=(1, 6, 11, 10), options={"blockSize": 2}),
    )

    assert refusal(graphs.raw(build)) == (
        "int8.tflite: 3 of 4 operators cannot be written as ONNX for TensorRT: operators[1] ABS has no counterpart "
        "here; operators[2] CONV_2D has the fused activation TANH, expected one of RELU, RELU6, RELU_N1_TO_1; "
        "operators[3] SPACE_TO_DEPTH has no counterpart here"
    )


def test_of_many_operators_that_cannot_be_written_five_are_named() -> None:
    found = refusal(graphs.raw(graphs.sequence(*[graphs.one("ABS")] * 7)))

    assert found.startswith(
        "int8.tflite: 7 of 7 operators cannot be written as ONNX for TensorRT: operators[0] ABS has"
    )
    assert found.endswith("operators[4] ABS has no counterpart here; ...")


def test_custom_operator_is_named_by_its_own_name() -> None:
    def build(graph: Graph, x: int) -> int:
        return graph.op("CUSTOM", (x,), graph.shape(x), custom="edgetpu-custom-op")

    assert refusal(graphs.raw(build)).endswith("operators[0] edgetpu-custom-op has no counterpart here")


def test_pooling_between_two_scales_is_refused() -> None:
    options = {"filterHeight": 2, "filterWidth": 2, "padding": SAME, "strideH": 1, "strideW": 1}
    assert refusal(graphs.raw(graphs.one("MAX_POOL_2D", scale=0.04, options=options))).endswith(
        "operators[0] MAX_POOL_2D passes integers between tensors of different scales, expected one scale"
    )


def test_float_model_is_refused_as_int8() -> None:
    graph = Graph("float32")
    raw = graph.finish(graph.op("RELU", (graph.input((1, 4)),), (1, 4)))

    assert refusal(raw) == (
        "int8.tflite: expected int8 activations only, got 2 others, the first tensors[0] 'tensor_0' of float32; "
        "convert to full int8"
    )


def test_shape_that_is_not_static_is_refused() -> None:
    assert refusal(graphs.raw(graphs.one("RELU"), signature=(-1, 12, 11, 3))) == (
        "int8.tflite: tensors[0] 'tensor_0': expected a static shape, got (-1, 12, 11, 3); build the model with a "
        "fixed input size and batch 1"
    )


def test_activation_without_a_scale_is_refused() -> None:
    assert refusal(graphs.raw(graphs.one("RELU"), scales=())) == (
        "int8.tflite: tensors[0] 'tensor_0': expected one scale above 0, got 0 scales"
    )


def test_truncated_file_is_refused() -> None:
    raw = graphs.raw(graphs.convolution())
    assert refusal(raw[: len(raw) // 2]).startswith("int8.tflite: expected a whole TFLite file, got a damaged one: ")


def test_other_bytes_are_refused() -> None:
    assert refusal(b"not a model") == (
        "int8.tflite: expected a TFLite file (identifier 'TFL3' at byte 4), got 11 other bytes"
    )


def test_any_damaged_file_gives_onnx_or_a_refusal() -> None:
    raw = graphs.raw(graphs.sequence(graphs.convolution(), graphs.depthwise(), graphs.pooled, graphs.dense))
    rng = np.random.default_rng(2)
    ends = {"written": 0, "refused": 0}
    for _ in range(300):
        damaged = bytearray(raw)
        for place in rng.integers(0, len(raw), rng.integers(1, 4)):
            damaged[place] = rng.integers(0, 256)
        try:
            assert jetson.qdq_onnx(bytes(damaged))
            ends["written"] += 1
        except EdgemedError:
            ends["refused"] += 1
    assert min(ends.values()) > 0


def test_without_onnx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)

    with pytest.raises(MissingDependencyError) as caught:
        jetson.qdq_onnx(graphs.raw(graphs.convolution()))

    assert str(caught.value) == (
        "onnx: cannot be loaded: import of onnx halted; None in sys.modules; writing ONNX needs the extra 'jetson': "
        "pip install 'edgemed[jetson]'"
    )


def float_graph(*, weight: float = 0.25) -> bytes:
    graph = Graph("float32")
    x = graph.input((1, 8, 7, 2))
    kernel = np.random.default_rng(1).normal(0, weight, (4, 3, 3, 2)).astype(np.float32)
    weights = graph.tensor(kernel.shape, data=kernel, scales=())
    options = {"strideH": 2, "strideW": 2, "fusedActivationFunction": FUSED.RELU6}
    return graph.finish(graph.op("CONV_2D", (x, weights, graph.bias(4)), (1, 4, 4, 4), options=options))


def test_float16_answers_as_the_float_model_to_its_precision() -> None:
    raw = float_graph()
    half = backends.load(jetson.float16_onnx(raw), backend="onnxruntime")
    whole = backends.load(raw, backend="litert")
    fed = {"tensor_0": np.random.default_rng(3).uniform(-4, 4, (1, 8, 7, 2)).astype(np.float32)}

    answers = [next(iter(interpreter.invoke(fed).values())) for interpreter in (half, whole)]

    assert answers[0].dtype == np.float32
    assert np.ptp(answers[1]) > 1
    # Eleven bits of mantissa, sums of 18 products.
    assert answers[0] == pytest.approx(answers[1], abs=6 * 2**-10)


def test_float16_stores_half_of_the_bytes() -> None:
    model = onnx.load_from_string(jetson.float16_onnx(float_graph()))
    assert constants(model)["conv_2d_0/weights"].dtype == np.float16


def test_weight_beyond_float16_is_refused() -> None:
    with pytest.raises(ConversionError) as caught:
        jetson.float16_onnx(float_graph(weight=1e6))

    assert str(caught.value).startswith(
        "conv_2d_0/weights: expected numbers that float16 can hold (at most 65504), got "
    )


def test_int8_model_is_refused_as_float() -> None:
    with pytest.raises(ConversionError) as caught:
        jetson.float16_onnx(graphs.raw(graphs.convolution()))

    assert str(caught.value) == (
        "float32.tflite: expected float32 activations only, got 2 others, the first tensors[0] 'tensor_0' of int8; "
        "export the float model without quantization"
    )
