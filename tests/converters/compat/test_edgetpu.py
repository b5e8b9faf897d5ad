"""Whole models for the Edge TPU: segments, what is stranded behind, and what gets no verdict."""

from __future__ import annotations

import numpy as np
import pytest

from converters import compat
from converters.compat import edgetpu_facts as facts
from edgemed import targets
from edgemed.errors import ConversionError, TargetMismatchError
from tests.converters.compat.graphs import SCALE, Graph
from tests.converters.compat.operators import (
    MAP,
    TINY,
    check,
    reduce,
    single,
)


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
