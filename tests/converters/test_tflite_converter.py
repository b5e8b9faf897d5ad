from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras
from keras import layers, ops

from converters import tflite_converter
from edgemed import tflite
from edgemed.errors import ConversionError

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(3)
    plane = keras.Input((16, 12, 1), name="plane")
    evidence = layers.Conv2D(1, 3, name="evidence")(layers.Rescaling(1 / 128, offset=-1.0)(plane))
    return keras.Model(plane, {"logit": layers.GlobalAveragePooling2D()(evidence), "evidence": evidence}, name="small")


@pytest.fixture(scope="module")
def planes() -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (6, 16, 12)).astype(np.uint8)


FORMS: dict[str, tuple[Callable[[keras.Model, np.ndarray], bytes], str]] = {
    "int8": (tflite_converter.int8, "int8"),
    "float16": (lambda model, _: tflite_converter.float16(model), "float32"),
    "float32": (lambda model, _: tflite_converter.float32(model), "float32"),
}


@pytest.mark.parametrize("form", FORMS)
def test_file_takes_one_plane_and_keeps_the_names(form: str, model: keras.Model, planes: np.ndarray) -> None:
    convert, dtype = FORMS[form]
    made = tflite.read(convert(model, planes), source="model.tflite")
    named = {**made.inputs, **made.outputs}
    assert {name: (tensor.shape, tensor.dtype) for name, tensor in named.items()} == {
        "plane": ((1, 16, 12, 1), dtype),
        "logit": ((1, 1), dtype),
        "evidence": ((1, 14, 10, 1), dtype),
    }


@pytest.mark.parametrize("form", FORMS)
def test_converting_prints_nothing(
    form: str, model: keras.Model, planes: np.ndarray, capfd: pytest.CaptureFixture[str]
) -> None:
    FORMS[form][0](model, planes)
    assert capfd.readouterr() == ("", "")


def ending(last: Any) -> keras.Model:
    plane = keras.Input((4, 4, 1), name="plane")
    return keras.Model(plane, {"logit": last(layers.Flatten(name="flat")(plane))}, name="odd")


def test_float_tensors_that_are_left_are_named() -> None:
    with pytest.raises(ConversionError) as caught:
        tflite_converter.int8(ending(ops.sort), np.arange(32, dtype=np.uint8).reshape(2, 4, 4))
    assert str(caught.value) == (
        "odd: expected integer tensors only, got 4 float ones: tfl.dequantize, "
        "odd_1/sort/Neg;odd_1/flat_1/Reshape, odd_1/sort/TopKV2;odd_1/sort/TopKV212, PartitionedCall_1:01; the "
        "layers that make them cannot be quantized"
    )


def test_operators_that_tflite_lacks_are_named() -> None:
    with pytest.raises(ConversionError) as caught:
        tflite_converter.float32(ending(ops.erf))
    assert str(caught.value) == (
        "odd: the TFLite converter refused the model: no TFLite operator computes Erf (odd_1/Erf); replace those layers"
    )


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        pytest.param("", "ValueError", id="no message"),
        pytest.param(" \n ", "ValueError", id="blank message"),
        pytest.param("\nfirst\nsecond", "first", id="several lines"),
        pytest.param("x" * 400, "x" * 300, id="long line"),
    ],
)
def test_refusal_of_the_converter_is_one_line(words: str, shown: str) -> None:
    class Refusing:
        def convert(self) -> Any:
            raise ValueError(words)

    with pytest.raises(ConversionError) as caught:
        tflite_converter._run(Refusing(), "odd")
    assert str(caught.value) == f"odd: the TFLite converter refused the model: {shown}"
