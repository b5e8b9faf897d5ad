"""Reading TFLite files: the tiny model as it is, damaged files, and any bytes."""

from __future__ import annotations

import contextlib
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemed import tflite
from edgemed.errors import ConversionError
from tests.tflite.changed import DATA, TINY, changed, rename_opcode


def test_operators_come_in_execution_order() -> None:
    model = tflite.read(TINY, source="tiny")
    names = [operator.name for operator in model.operators]
    assert names == ["MUL", "ADD", "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D", "CONV_2D", "MEAN", "MEAN"]
    assert [operator.index for operator in model.operators] == list(range(8))


def test_signature_names_lead_to_their_tensors() -> None:
    model = tflite.read(TINY, source="tiny")
    shapes = {name: tensor.shape for name, tensor in {**model.inputs, **model.outputs}.items()}
    assert shapes == {"plane": (1, 16, 16, 1), "logit": (1, 1), "evidence": (1, 4, 4, 1), "embedding": (1, 8)}


def test_tensors_equal_those_of_the_interpreter() -> None:
    library = pytest.importorskip("ai_edge_litert.interpreter")
    resolver = library.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    native = library.Interpreter(model_content=TINY, experimental_op_resolver_type=resolver)
    native.allocate_tensors()
    expected = {detail["index"]: detail for detail in native.get_tensor_details()}
    for tensor in tflite.read(TINY, source="tiny").tensors:
        detail = expected[tensor.index]
        parameters = detail["quantization_parameters"]
        assert tensor.name == detail["name"]
        assert tensor.shape == tuple(detail["shape"])
        assert tensor.dtype == np.dtype(detail["dtype"]).name
        np.testing.assert_array_equal(np.float32(tensor.scales), parameters["scales"])
        np.testing.assert_array_equal(tensor.zero_points, parameters["zero_points"])
        assert tensor.axis == parameters["quantized_dimension"]


def test_weights_are_constant_and_activations_are_not() -> None:
    model = tflite.read(TINY, source="tiny")
    for operator in model.operators:
        _, *weights = operator.inputs
        assert all(model.tensors[place].is_constant for place in weights)
        assert not any(model.tensors[place].is_constant for place in operator.outputs)


def test_full_int8_model_has_no_float_tensor() -> None:
    assert tflite.float_tensors(tflite.read(TINY, source="tiny")) == ()


@pytest.mark.parametrize(
    "code", [pytest.param(0, id="float32"), pytest.param(1, id="float16"), pytest.param(18, id="bfloat16")]
)
def test_float_tensor_is_found(code: int) -> None:
    def change(model) -> None:
        model.subgraphs[0].tensors[14].type = code

    (found,) = tflite.float_tensors(tflite.read(changed(change), source="tiny"))
    assert found.index == 14


def test_custom_operator_keeps_its_own_name() -> None:
    def change(model) -> None:
        rename_opcode(model, 32)
        model.operatorCodes[0].customCode = "edgetpu-custom-op"

    operator = tflite.read(changed(change), source="tiny").operators[0]
    assert (operator.name, operator.custom_name) == ("CUSTOM", "edgetpu-custom-op")


def test_operator_code_above_127_is_read_from_the_wide_field() -> None:
    raw = changed(lambda model: rename_opcode(model, 150))
    assert tflite.read(raw, source="tiny").operators[0].name == "GELU"


def test_model_without_signature_names_its_tensors() -> None:
    def change(model) -> None:
        model.signatureDefs = []

    model = tflite.read(changed(change), source="tiny")
    assert list(model.inputs) == ["serving_default_plane:0"]
    assert len(model.outputs) == 3


def test_dimension_that_is_not_static_is_minus_one() -> None:
    def change(model) -> None:
        model.subgraphs[0].tensors[0].shapeSignature = [-1, 16, 16, 1]

    plane = tflite.read(changed(change), source="tiny").inputs["plane"]
    assert (plane.shape, plane.allocated_shape) == ((-1, 16, 16, 1), (1, 16, 16, 1))


def test_optional_input_left_out_is_minus_one() -> None:
    def change(model) -> None:
        model.subgraphs[0].operators[2].inputs[2] = -1

    assert tflite.read(changed(change), source="tiny").operators[2].inputs[2] == -1


def test_file_of_the_edge_tpu_compiler_is_recognised() -> None:
    def change(model) -> None:
        rename_opcode(model, 32)
        model.operatorCodes[0].customCode = "edgetpu-custom-op"

    assert not tflite.is_compiled(tflite.read(TINY, source="tiny"))
    assert tflite.is_compiled(tflite.read(changed(change), source="tiny"))


def two_subgraphs(model) -> None:
    model.subgraphs.append(model.subgraphs[0])


def two_signatures(model) -> None:
    model.signatureDefs[0].signatureKey = b"one"
    model.signatureDefs.append(type(model.signatureDefs[0])())
    model.signatureDefs[1].signatureKey = b"two"


def unknown_operator(model) -> None:
    rename_opcode(model, 9999)


def operand_outside(model) -> None:
    model.subgraphs[0].operators[1].inputs[0] = 99


def buffer_outside(model) -> None:
    model.subgraphs[0].tensors[3].buffer = 1000


def nan_scale(model) -> None:
    model.subgraphs[0].tensors[0].quantization.scale = [float("nan")]


def missing_zero_point(model) -> None:
    model.subgraphs[0].tensors[0].quantization.zeroPoint = []


def nan_option(model) -> None:
    from ai_edge_litert import schema_py_generated as tables

    operator = model.subgraphs[0].operators[1]
    operator.builtinOptions, operator.builtinOptionsType = tables.SoftmaxOptionsT(beta=float("nan")), 9


def repeated_name(model) -> None:
    model.signatureDefs[0].outputs[0].name = model.signatureDefs[0].outputs[1].name


REFUSALS = {
    "two-subgraphs": (
        two_subgraphs,
        "subgraphs: expected 1, got 2; export a graph without if, while or other control flow",
    ),
    "two-signatures": (
        two_signatures,
        "signature_defs: expected one, or one named 'serving_default', got ['one', 'two']",
    ),
    "unknown-operator": (
        unknown_operator,
        "operator_codes: unknown code 9999; the file may be newer than the ai-edge-litert installed here",
    ),
    "operand": (operand_outside, "operators[1].inputs: expected a place in 0..19, got 99"),
    "buffer": (buffer_outside, "tensors[3].buffer: expected a place in 0..{last}, got 1000"),
    "nan-scale": (nan_scale, "tensors[0].quantization.scale: expected finite numbers, got NaN or infinity"),
    "zero-points": (
        missing_zero_point,
        "tensors[0].quantization: expected as many zero points as scales, got 1 and 0",
    ),
    "nan-option": (nan_option, "operators[1].options.beta: expected a finite number, got nan"),
    "names": (repeated_name, "signature_defs.outputs: names repeat"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_file_outside_the_contract_is_refused(name: str) -> None:
    from ai_edge_litert import schema_py_generated as tables

    change, message = REFUSALS[name]
    last = tables.Model.GetRootAs(TINY, 0).BuffersLength() - 1
    with pytest.raises(ConversionError) as caught:
        tflite.read(changed(change), source="tiny.tflite")
    assert str(caught.value) == "tiny.tflite: " + message.format(last=last)


@pytest.mark.parametrize("raw", [pytest.param(b"", id="empty"), pytest.param(b"not a model at all", id="text")])
def test_file_of_another_format_is_refused(raw: bytes) -> None:
    with pytest.raises(ConversionError) as caught:
        tflite.read(raw, source="photo.tflite")
    assert str(caught.value) == (
        f"photo.tflite: expected a TFLite file (identifier 'TFL3' at byte 4), got {len(raw)} other bytes"
    )


def test_file_cut_short_is_refused() -> None:
    with pytest.raises(ConversionError, match=r"^cut\.tflite: expected a whole TFLite file, got a damaged one: "):
        tflite.read(TINY[:40], source="cut.tflite")


def read_or_refused(raw: bytes) -> None:
    try:
        model = tflite.read(raw, source="fuzz")
    except ConversionError:
        return
    count = len(model.tensors)
    for operator in model.operators:
        assert all(-1 <= place < count for place in operator.inputs)
        assert all(0 <= place < count for place in operator.outputs)
    for tensor in model.tensors:
        assert tensor.data_start + tensor.size_bytes <= len(raw)
        values_or_refused(model, tensor)


def values_or_refused(model: tflite.Model, tensor: tflite.Tensor) -> None:
    if tensor.is_constant:
        with contextlib.suppress(ConversionError):
            assert tflite.values(model, tensor).shape == tensor.allocated_shape


@given(st.binary(max_size=400))
def test_any_bytes_give_a_model_or_a_refusal(raw: bytes) -> None:
    read_or_refused(raw[:4] + b"TFL3" + raw[8:])
    read_or_refused(raw)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(TINY) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_any_changed_bytes_give_a_model_or_a_refusal(changes: list[tuple[int, int]]) -> None:
    raw = bytearray(TINY)
    for place, value in changes:
        raw[place] = value
    read_or_refused(bytes(raw))


@settings(max_examples=200)
@given(st.integers(2, len(TINY) // 4 - 1), st.sampled_from([0, 1, 64, 0x7FFFFFFF, -1, -64, -0x80000000]))
def test_any_changed_word_gives_a_model_or_a_refusal(word: int, value: int) -> None:
    raw = bytearray(TINY)
    struct.pack_into("<i", raw, 4 * word, value)
    read_or_refused(bytes(raw))


@given(st.integers(0, len(TINY)))
def test_any_cut_gives_a_model_or_a_refusal(length: int) -> None:
    read_or_refused(TINY[:length])


@pytest.mark.tensorflow
@pytest.mark.slow
def test_script_still_makes_the_tiny_models(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    # A process of its own: TensorFlow warns at import, and must not stay loaded for the other tests.
    subprocess.run(
        [sys.executable, str(DATA / "make_tiny_models.py"), str(tmp_path)],
        check=True,
        capture_output=True,
        timeout=300,
    )
    for name in ("tiny_int8.tflite", "tiny_labels_int8.tflite", "tiny_float32.tflite", "tiny_float16.tflite"):
        made = tflite.read((tmp_path / name).read_bytes(), source="made")
        kept = tflite.read((DATA / name).read_bytes(), source="kept")
        assert [operator.name for operator in made.operators] == [operator.name for operator in kept.operators]
        for one, other in zip(made.tensors, kept.tensors, strict=True):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
            assert one.scales == pytest.approx(other.scales, rel=1e-3)
