from __future__ import annotations

import msgspec
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras
from keras import layers

from converters import calibration, ptq, tflite_converter
from edgemed import tensors, tflite
from edgemed.errors import ConversionError
from edgemed.runtime import backends

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(5)
    plane = keras.Input((16, 12, 1), name="plane")
    x = layers.Conv2D(8, 3, use_bias=False)(layers.Rescaling(1 / 128, offset=-1.0)(plane))
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    evidence = layers.Conv2D(1, 1)(x)
    return keras.Model(plane, {"logit": layers.GlobalAveragePooling2D()(evidence), "evidence": evidence}, name="small")


def some_planes(low: int, high: int) -> calibration.Calibration:
    planes = np.random.default_rng(9).integers(low, high, (8, 4, 3)).repeat(4, axis=1).repeat(4, axis=2)
    return calibration.of(planes.astype(np.uint8), name=f"blocks of {low}..{high}")


@pytest.fixture(scope="module")
def chosen() -> calibration.Calibration:
    return some_planes(20, 200)


@pytest.fixture(scope="module")
def raw(model: keras.Model, chosen: calibration.Calibration) -> bytes:
    return ptq.int8_tflite(model, chosen)


def test_int8_file_answers_like_the_float_model(
    raw: bytes, model: keras.Model, chosen: calibration.Calibration
) -> None:
    interpreter = backends.load(raw, backend="litert")
    q = interpreter.outputs["evidence"].quantization
    assert q is not None
    signed = (chosen.planes.astype(np.int16) - 128).astype(np.int8)
    found = np.concatenate([interpreter.invoke({"plane": plane[None, ..., None]})["evidence"] for plane in signed])
    expected = np.asarray(model(chosen.planes[..., None].astype(np.float32), training=False)["evidence"])
    assert np.abs(tensors.dequantize(found, q) - expected).mean() < 2.0 * q.scale
    assert np.ptp(expected) > 50 * q.scale


def test_input_has_one_level_a_step_though_the_planes_leave_some_out(raw: bytes) -> None:
    plane = tflite.read(raw, source="model.tflite").inputs["plane"]
    assert (plane.dtype, plane.scales, plane.zero_points) == ("int8", (1.0,), (-128,))


def test_planes_of_another_size_are_refused_before_the_converter_sees_them(model: keras.Model) -> None:
    turned = calibration.of(some_planes(0, 256).planes.transpose(0, 2, 1), name="turned")
    with pytest.raises(ConversionError) as caught:
        ptq.int8_tflite(model, turned)
    assert str(caught.value) == (
        "calibration: expected planes of 16 x 12 (height x width), the input of 'small', got 12 x 16; make them with "
        "the preprocessing of this model"
    )


@pytest.mark.parametrize(
    ("convert", "apart"), [(ptq.float32_tflite, 1e-5), (ptq.float16_tflite, 1e-2)], ids=["float32", "float16"]
)
def test_float_file_answers_like_the_model(convert: object, apart: float, model: keras.Model) -> None:
    from ai_edge_litert.interpreter import Interpreter

    plane = some_planes(0, 256).planes[:1, ..., None].astype(np.float32)
    runner = Interpreter(model_content=convert(model)).get_signature_runner()  # type: ignore[operator]
    found = runner(plane=plane)
    for name, expected in model(plane, training=False).items():
        np.testing.assert_allclose(found[name], np.asarray(expected), rtol=apart, atol=apart)


def test_float16_file_holds_float16_weights(model: keras.Model) -> None:
    made = tflite.read(ptq.float16_tflite(model), source="model.tflite")
    assert {tensor.dtype for tensor in made.tensors if tensor.is_constant and len(tensor.shape) == 4} == {"float16"}


def test_proof_counts_ranges_that_the_set_made(model: keras.Model, raw: bytes, chosen: calibration.Calibration) -> None:
    proof = ptq.proof(model, raw, chosen)
    assert (proof.calibration, proof.size, proof.digest) == ("blocks of 20..200", 8, chosen.digest)
    assert (proof.activations, proof.differing) == (3, 3)  # convolution with ReLU6, evidence, logit
    assert proof.largest_ratio > 1.1
    assert proof.tensor in {tensor.name for tensor in tflite.read(raw, source="model.tflite").tensors}


def test_proof_is_read_back_as_it_was_written(model: keras.Model, raw: bytes, chosen: calibration.Calibration) -> None:
    proof = ptq.proof(model, raw, chosen)
    assert msgspec.json.decode(msgspec.json.encode(proof), type=calibration.Proof) == proof


def test_file_that_another_set_would_have_given_too_is_no_proof(
    model: keras.Model, chosen: calibration.Calibration
) -> None:
    black = np.zeros_like(chosen.planes[:1])
    black[0, -1, -1] = 255
    unused = tflite_converter.int8(model, black)
    with pytest.raises(ConversionError) as caught:
        ptq.proof(model, unused, chosen)
    assert str(caught.value) == (
        "small: expected ranges from the calibration set 'blocks of 20..200', got those of one black plane in all 3 "
        "activation tensors; the calibration was not used: the model's ranges are fixed, or the file was made with "
        "another set"
    )
