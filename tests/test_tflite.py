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

DATA = Path(__file__).parent / "data"
TINY = (DATA / "tiny_int8.tflite").read_bytes()


def changed(change, *, raw: bytes = TINY) -> bytes:
    """Return the tiny model after ``change`` was made to the schema's object tree."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as tables

    model = tables.ModelT.InitFromObj(tables.Model.GetRootAs(bytearray(raw), 0))
    change(model)
    builder = flatbuffers.Builder(len(raw))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def rename_opcode(model, code: int) -> None:
    model.operatorCodes[0].builtinCode = code
    model.operatorCodes[0].deprecatedBuiltinCode = min(code, 127)


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


def operator_named(name: str) -> tflite.Operator:
    return next(one for one in tflite.read(TINY, source="tiny").operators if one.name == name)


def test_options_have_the_names_of_the_schema_and_enums_by_name() -> None:
    assert dict(operator_named("DEPTHWISE_CONV_2D").options) == {
        "padding": "SAME",
        "stride_w": 2,
        "stride_h": 2,
        "depth_multiplier": 1,
        "fused_activation_function": "RELU",
        "dilation_w_factor": 1,
        "dilation_h_factor": 1,
    }


def test_flags_are_booleans() -> None:
    assert operator_named("MEAN").options == {"keep_dims": False}


def snake_case(name: str) -> str:
    """As the reader has to, but from the object tree's names (``strideW``), by hand."""
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name)


def union_members(union: str) -> list[str]:
    tables = pytest.importorskip("ai_edge_litert.schema_py_generated")
    return [name for name, code in vars(getattr(tables, union)).items() if isinstance(code, int) and code]


MEMBERS = [("builtinOptions", name) for name in union_members("BuiltinOptions")]
MEMBERS2 = [("builtinOptions2", name) for name in union_members("BuiltinOptions2")]


@pytest.mark.parametrize(("field", "name"), [*MEMBERS, *MEMBERS2], ids=lambda value: value)
def test_options_of_every_kind_have_the_fields_of_the_object_tree(field: str, name: str) -> None:
    from ai_edge_litert import schema_py_generated as tables

    union = field[0].upper() + field[1:]
    expected = getattr(tables, f"{name}T")()

    def change(model) -> None:
        operator = model.subgraphs[0].operators[0]
        operator.builtinOptions, operator.builtinOptionsType = None, 0
        setattr(operator, field, expected)
        setattr(operator, f"{field}Type", getattr(getattr(tables, union), name))

    options = tflite.read(changed(change), source="tiny").operators[0].options
    assert sorted(options) == sorted(map(snake_case, vars(expected)))


def test_options_with_vectors_and_texts_are_read() -> None:
    from ai_edge_litert import schema_py_generated as tables

    def change(model) -> None:
        first, second = model.subgraphs[0].operators[:2]
        first.builtinOptions, first.builtinOptionsType = tables.ReshapeOptionsT(newShape=[1, -1, 8]), 17
        second.builtinOptions, second.builtinOptionsType = tables.VarHandleOptionsT(sharedName="state"), 111

    first, second, *_ = tflite.read(changed(change), source="tiny").operators
    assert first.options == {"new_shape": (1, -1, 8)}
    assert second.options == {"container": None, "shared_name": "state"}


def test_enum_of_a_newer_schema_stays_a_number() -> None:
    def change(model) -> None:
        model.subgraphs[0].operators[2].builtinOptions.fusedActivationFunction = 77

    assert tflite.read(changed(change), source="tiny").operators[2].options["fused_activation_function"] == 77


def test_values_equal_those_of_the_interpreter() -> None:
    library = pytest.importorskip("ai_edge_litert.interpreter")
    resolver = library.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    native = library.Interpreter(model_content=TINY, experimental_op_resolver_type=resolver)
    native.allocate_tensors()
    model = tflite.read(TINY, source="tiny")
    constants = [tensor for tensor in model.tensors if tensor.is_constant]
    assert {tensor.dtype for tensor in constants} == {"int8", "int32"}
    for tensor in constants:
        found = tflite.values(model, tensor)
        expected = native.get_tensor(tensor.index)
        np.testing.assert_array_equal(found, expected)
        assert (found.dtype, found.nbytes) == (expected.dtype, tensor.size_bytes)


def test_values_are_a_read_only_view_of_the_file() -> None:
    model = tflite.read(TINY, source="tiny")
    tensor = next(tensor for tensor in model.tensors if tensor.is_constant)
    found = tflite.values(model, tensor)
    assert not found.flags.writeable
    assert np.shares_memory(found, np.frombuffer(TINY, np.uint8))


# Name of the type, its code in the schema, numpy's type to compare with, and the bytes it is stored as.
STORED = {
    "float16": (1, np.array([1.5, -2.0], "<f2"), np.array([1.5, -2.0], "<f2").tobytes()),
    "float32": (0, np.array([1.5, -2.0], "<f4"), np.array([1.5, -2.0], "<f4").tobytes()),
    "int64": (4, np.array([-1, 1 << 40], "<i8"), np.array([-1, 1 << 40], "<i8").tobytes()),
    "bool": (6, np.array([True, False]), b"\x01\x00"),
    "int4": (17, np.array([-8, 7, -1], np.int8), b"\x78\x0f"),
}


def constant(code: int, shape: tuple[int, ...], raw: bytes):
    """Return a change that makes the first constant of the tiny model hold these bytes."""
    place = next(tensor.index for tensor in tflite.read(TINY, source="tiny").tensors if tensor.is_constant)

    def change(model) -> None:
        tensor = model.subgraphs[0].tensors[place]
        tensor.type, tensor.shape = code, list(shape)
        model.buffers[tensor.buffer].data = list(raw)

    return place, change


@pytest.mark.parametrize("name", STORED)
def test_constant_of_each_type_is_read(name: str) -> None:
    code, expected, raw = STORED[name]
    place, change = constant(code, expected.shape, raw)
    model = tflite.read(changed(change), source="tiny")
    found = tflite.values(model, model.tensors[place])
    assert model.tensors[place].dtype == name
    assert not found.flags.writeable
    np.testing.assert_array_equal(found, expected, strict=True)


def test_constant_whose_bytes_do_not_fill_its_shape_is_refused() -> None:
    place, change = constant(0, (3,), bytes(8))
    model = tflite.read(changed(change), source="tiny")
    with pytest.raises(ConversionError) as caught:
        tflite.values(model, model.tensors[place])
    assert str(caught.value) == (
        f"tensors[{place}]: expected 12 bytes for shape (3,) of float32, got 8; the file is damaged"
    )


def test_constant_of_a_type_numpy_lacks_is_refused() -> None:
    place, change = constant(18, (4,), bytes(8))
    model = tflite.read(changed(change), source="tiny")
    with pytest.raises(ConversionError) as caught:
        tflite.values(model, model.tensors[place])
    assert str(caught.value) == (
        f"tensors[{place}]: values are of type bfloat16; expected one of bool, int8, uint8, int16, uint16, int32, "
        "uint32, int64, uint64, float16, float32, float64, complex64, complex128, int4"
    )


def test_values_of_a_computed_tensor_are_the_callers_mistake() -> None:
    model = tflite.read(TINY, source="tiny")
    with pytest.raises(ValueError, match=r"^tensors\[0\]: expected a constant, got a tensor that is computed$"):
        tflite.values(model, model.inputs["plane"])


def data_behind_the_flatbuffer(size: int):
    """Return the tiny model with the first constant's 16 bytes behind it, as files past 2 GiB have all of them."""
    place, _ = constant(9, (16,), b"")
    end = len(TINY) + 4096

    def change(model) -> None:
        tensor = model.subgraphs[0].tensors[place]
        tensor.type, tensor.shape = 9, [16]
        buffer = model.buffers[tensor.buffer]
        buffer.data, buffer.offset, buffer.size = None, end, size

    raw = changed(change)
    return place, raw + bytes(end - len(raw)) + bytes(range(16))


def test_constant_behind_the_flatbuffer_is_read() -> None:
    place, raw = data_behind_the_flatbuffer(16)
    model = tflite.read(raw, source="tiny")
    np.testing.assert_array_equal(tflite.values(model, model.tensors[place]), np.arange(16, dtype=np.int8))


def test_constant_behind_the_end_of_the_file_is_refused() -> None:
    place, raw = data_behind_the_flatbuffer(17)
    with pytest.raises(ConversionError) as caught:
        tflite.read(raw, source="tiny")
    assert str(caught.value) == (
        f"tiny: tensors[{place}].buffer: expected its 17 bytes inside the file, got a place past its end"
    )


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
    for name in ("tiny_int8.tflite", "tiny_float32.tflite", "tiny_float16.tflite"):
        made = tflite.read((tmp_path / name).read_bytes(), source="made")
        kept = tflite.read((DATA / name).read_bytes(), source="kept")
        assert [operator.name for operator in made.operators] == [operator.name for operator in kept.operators]
        for one, other in zip(made.tensors, kept.tensors, strict=True):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
            assert one.scales == pytest.approx(other.scales, rel=1e-3)
