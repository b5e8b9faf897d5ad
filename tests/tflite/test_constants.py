"""Values of constants: those of the interpreter, as a view of the file."""

from __future__ import annotations

import numpy as np
import pytest

from edgemed import tflite
from edgemed.errors import ConversionError
from tests.tflite.changed import TINY, changed


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
