from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras
from keras import layers

from converters import answers, export, qat
from edgemed import tflite
from edgemed.errors import ConversionError
from edgemed.runtime import backends
from edgemed.training import models

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def planes() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (48, 64, 64)).astype(np.uint8)


@pytest.fixture(scope="module")
def model(planes: np.ndarray) -> keras.Model:
    """Return a small network whose batch statistics are not those of initialisation."""
    keras.utils.set_random_seed(11)
    made = models.mobilenet_v2(height=64, width=64, cut="block_3", alpha=0.35, embedding=16)
    batch = planes[..., np.newaxis].astype(np.float32)
    for _ in range(60):
        made(batch[:16], training=True)
    return made


@pytest.fixture(scope="module")
def twin(model: keras.Model, planes: np.ndarray) -> keras.Model:
    made = qat.quantization_aware(model)
    qat.calibrate(made, planes)
    return made


def _kernel_error(kernel: np.ndarray, rounded: np.ndarray, axes: tuple[int, ...]) -> float:
    scale = np.abs(kernel).max(axis=axes, keepdims=True) / 127
    return float((np.abs(kernel - rounded) / scale).max())


def test_folded_twin_without_rounding_equals_the_float_model(model: keras.Model, planes: np.ndarray) -> None:
    """With ranges wide open and kernels kept, only the folding is left."""
    folded = qat.quantization_aware(model)
    names = {layer.name for layer in folded.layers}
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in folded.layers)
    conv, norm = model.get_layer("Conv1"), model.get_layer("bn_Conv1")
    kernel, bias = folded.get_layer("Conv1").get_weights()
    patch = planes[:4, ..., np.newaxis].astype(np.float32) / 128 - 1
    ours = keras.ops.conv(patch, kernel, strides=2, padding="same") + bias
    theirs = norm(conv(patch), training=False)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert "Conv1_relu_range" in names
    assert "Conv1_range" not in names, "TFLite fuses the activation: no tensor is stored before it"


def test_quantizer_stands_on_every_stored_tensor(twin: keras.Model) -> None:
    ranged = {layer.name for layer in twin.layers if isinstance(layer, qat.ActivationQuantizer)}
    for name in (
        "plane_range",
        "expanded_conv_project_BN_range",
        "block_2_add_range",
        "logit_range",
        "embedding_range",
    ):
        assert name in ranged


def test_int8_file_answers_like_the_twin(twin: keras.Model, planes: np.ndarray) -> None:
    raw = export.int8_tflite(twin, planes)
    assert tflite.float_tensors(tflite.read(raw, source="model.tflite")) == ()
    found = answers.of(backends.load(raw, backend="litert"), planes)
    expected = twin.predict_on_batch(planes[..., np.newaxis].astype(np.float32))
    for name in ("logit", "evidence", "embedding"):
        apart = np.abs(found.real(name) - expected[name]) / found.scales[name]
        assert apart.mean() < 2.0, f"{name}: {apart.mean():.2f} LSB apart in the mean"


def test_int8_ranges_are_the_trained_ones_not_the_representative_sets(twin: keras.Model, planes: np.ndarray) -> None:
    black, real = (
        tflite.read(export.int8_tflite(twin, stack), source="model.tflite") for stack in (np.zeros_like(planes), planes)
    )
    assert [tensor.scales for tensor in black.tensors] == [tensor.scales for tensor in real.tensors]
    plane = real.inputs["plane"]
    assert (plane.scales, plane.zero_points) == ((1.0,), (-128,))


def test_saved_twin_loads_with_its_ranges(twin: keras.Model, planes: np.ndarray, tmp_path: object) -> None:
    path = f"{tmp_path}/twin.keras"
    twin.save(path)
    batch = planes[:4, ..., np.newaxis].astype(np.float32)
    again = keras.models.load_model(path).predict_on_batch(batch)
    for name, value in twin.predict_on_batch(batch).items():
        np.testing.assert_array_equal(again[name], value)


def test_kernels_are_rounded_per_output_channel(rng: np.random.Generator) -> None:
    layer = qat.QuantizedConv2D(4, 3, use_bias=False)
    layer.build((None, 8, 8, 2))
    kernel = rng.normal(size=(3, 3, 2, 4)).astype(np.float32) * np.array([0.01, 1, 10, 100], np.float32)
    rounded = np.asarray(qat._fake_quantized(kernel, axis=3))
    assert _kernel_error(kernel, rounded, (0, 1, 2)) <= 0.5 + 1e-3
    depthwise = rng.normal(size=(3, 3, 4, 1)).astype(np.float32) * np.array([0.01, 1, 10, 100], np.float32)[:, None]
    assert _kernel_error(depthwise, np.asarray(qat._fake_quantized(depthwise, axis=2)), (0, 1, 3)) <= 0.5 + 1e-3


def test_first_batch_sets_the_range_and_later_ones_move_it() -> None:
    quantizer = qat.ActivationQuantizer(momentum=0.5)
    quantizer(np.array([[-1.0, 3.0]], np.float32), training=True)
    assert (float(quantizer.low), float(quantizer.high)) == (-1.0, 3.0)
    quantizer(np.array([[-3.0, 1.0]], np.float32), training=True)
    assert (float(quantizer.low), float(quantizer.high)) == (-2.0, 2.0)
    quantizer(np.array([[50.0]], np.float32), training=False)
    assert float(quantizer.high) == 2.0


def test_range_always_holds_zero() -> None:
    quantizer = qat.ActivationQuantizer()
    quantizer(np.array([[2.0, 3.0]], np.float32), training=True)
    assert (float(quantizer.low), float(quantizer.high)) == (0.0, 3.0)


def test_outputs_keep_the_widest_range() -> None:
    quantizer = qat.ActivationQuantizer(momentum=None)
    for value in (5.0, 1.0):
        quantizer(np.array([[value]], np.float32), training=True)
    assert float(quantizer.high) == 5.0


def test_unsupported_layers_are_all_named_before_training() -> None:
    plane = keras.Input((32, 32, 1), name="plane")
    x = layers.SeparableConv2D(4, 3, name="split")(plane)
    x = layers.BatchNormalization(name="alone")(layers.ReLU(name="on")(x))
    model = keras.Model(plane, layers.GlobalMaxPooling2D(name="top")(x), name="odd")
    with pytest.raises(ConversionError) as caught:
        qat.quantization_aware(model)
    assert str(caught.value) == (
        "odd: cannot be quantized: layer 'split' is a SeparableConv2D, the nearest supported one is DepthwiseConv2D; "
        "layer 'alone' is a BatchNormalization that follows no convolution or dense layer; "
        "layer 'top' is a GlobalMaxPooling2D, the nearest supported one is MaxPooling2D"
    )


def test_subclassed_model_is_refused() -> None:
    class Own(keras.Model):
        pass

    with pytest.raises(ConversionError, match="expected a functional Keras model, got Own"):
        qat.quantization_aware(Own(name="own"))
