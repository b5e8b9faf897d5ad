from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras
from keras import layers

from converters import qat
from edgemed.errors import ConversionError
from edgemed.training import models

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def planes() -> np.ndarray:
    """Return planes that differ as pictures do: in brightness, contrast and where things are."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (48, 4, 4)).repeat(16, axis=1).repeat(16, axis=2)
    return np.clip(coarse + rng.normal(0, 12, (48, 64, 64)), 0, 255).astype(np.uint8)


def _with_random_weights(model: keras.Model, seed: int = 11) -> keras.Model:
    """Give every layer weights of its own: at initial normalisation, a missing fold would not show.

    Kernels keep the signal's size, so that what differs between planes reaches the outputs.
    """
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            size = layer.moving_mean.shape
            if layer.scale:
                layer.gamma.assign(rng.uniform(0.5, 2.0, size))
            if layer.center:
                layer.beta.assign(rng.normal(0, 0.3, size))
            layer.moving_mean.assign(rng.normal(0, 0.3, size))
            layer.moving_variance.assign(rng.uniform(0.5, 1.5, size))
        elif isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)):
            shape = layer.kernel.shape
            inputs = np.prod(shape[:2] if isinstance(layer, layers.DepthwiseConv2D) else shape[:-1])
            layer.kernel.assign(rng.normal(0, np.sqrt(2 / inputs), shape))
            if layer.use_bias:
                layer.bias.assign(rng.normal(0, 0.3, layer.bias.shape))
    return model


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(11)
    return _with_random_weights(models.mobilenet_v2(height=64, width=64, cut="block_2", alpha=0.35, embedding=16))


@pytest.fixture(scope="module")
def mixed() -> keras.Model:
    """Return a network with every supported layer: kernels with and without bias, each form of normalisation."""
    keras.utils.set_random_seed(12)
    plane = keras.Input((64, 64, 1), name="plane")
    # The shifted range, 0.5..4.5, does not hold 0.
    x = layers.Conv2D(8, 3, strides=4, name="biased")(layers.Rescaling(1 / 64, offset=0.5, name="range")(plane))
    x = layers.ReLU(name="biased_relu")(layers.BatchNormalization(name="biased_norm")(x))
    x = layers.DepthwiseConv2D(3, padding="same", name="deep")(x)
    x = kept = layers.BatchNormalization(center=False, name="deep_norm")(x)
    x = layers.Conv2D(8, 1, groups=2, use_bias=False, name="grouped")(layers.Dropout(0.5, name="dropped")(x))
    x = layers.BatchNormalization(scale=False, name="grouped_norm")(x)
    x = layers.ReLU(6.0, name="sum_relu")(layers.Add(name="sum")([kept, x]))
    x = layers.AveragePooling2D(2, name="averaged")(layers.Conv2D(8, 3, activation="relu", name="plain")(x))
    x = layers.SpatialDropout2D(0.5, name="thinned")(layers.MaxPooling2D(2, name="largest")(x))
    x = layers.Flatten(name="flat")(layers.Reshape((9, 8), name="rows")(x))
    x = layers.Dense(6, name="dense")(x)
    x = layers.ReLU(name="dense_relu")(layers.BatchNormalization(name="dense_norm")(x))
    pooled = layers.GlobalAveragePooling2D(name="pooled")(kept)
    outputs = {"logit": layers.Dense(2, name="logit")(x), "pooled": layers.ReLU(name="pooled_relu")(pooled)}
    return _with_random_weights(keras.Model(plane, outputs, name="mixed"))


@pytest.fixture(scope="module")
def twin(model: keras.Model, planes: np.ndarray) -> keras.Model:
    made = qat.quantization_aware(model)
    qat.calibrate(made, planes)
    return made


def _kernel_error(kernel: np.ndarray, rounded: np.ndarray, axes: tuple[int, ...]) -> float:
    scale = np.abs(kernel).max(axis=axes, keepdims=True) / 127
    return float((np.abs(kernel - rounded) / scale).max())


def _layers_before_normalisation(model: keras.Model) -> list[tuple[layers.Layer, layers.Layer]]:
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    return [(norm.input._keras_history.operation, norm) for norm in norms]


@pytest.mark.parametrize("which", ["model", "mixed"])
def test_each_folded_kernel_and_bias_do_what_layer_and_normalisation_did(
    which: str, request: pytest.FixtureRequest, rng: np.random.Generator
) -> None:
    model = request.getfixturevalue(which)
    folded = qat.quantization_aware(model)
    pairs = _layers_before_normalisation(model)
    assert {type(layer) for layer, _ in pairs} >= {layers.Conv2D, layers.DepthwiseConv2D}
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in folded.layers)
    for layer, norm in pairs:
        values = rng.normal(size=(2, *layer.input.shape[1:])).astype(np.float32)
        plain = type(layer).from_config({**layer.get_config(), "use_bias": True, "name": f"{layer.name}_plain"})
        plain.build(values.shape)
        plain.set_weights(folded.get_layer(layer.name).get_weights())
        expected = np.asarray(norm(layer(values), training=False))
        np.testing.assert_allclose(np.asarray(plain(values)), expected, atol=1e-4, err_msg=layer.name)


@pytest.mark.parametrize("which", ["model", "mixed"])
def test_calibrated_twin_answers_like_the_float_model(
    which: str, request: pytest.FixtureRequest, planes: np.ndarray
) -> None:
    model = request.getfixturevalue(which)
    made = qat.quantization_aware(model)
    qat.calibrate(made, planes, batch=len(planes))
    batch = planes[..., np.newaxis].astype(np.float32)
    found, expected = made.predict_on_batch(batch), model.predict_on_batch(batch)
    assert list(found) == list(expected)
    for name, value in expected.items():
        # 0.01 to 0.06 by rounding to 8 bits alone.
        error = np.sqrt(np.mean((found[name] - value) ** 2)) / value.std()
        assert error < 0.1, f"{name}: off by {error:.3f} of its standard deviation"
        assert np.corrcoef(found[name].ravel(), value.ravel())[0, 1] > 0.99, name


def test_no_quantizer_stands_between_layers_that_tflite_merges(model: keras.Model, mixed: keras.Model) -> None:
    names = {layer.name for made in (model, mixed) for layer in qat.quantization_aware(made).layers}
    assert {"Conv1_relu_range", "sum_relu_range", "pooled_range", "plain_range"} <= names
    assert not names & {"Conv1_range", "bn_Conv1_range", "sum_range", "biased_norm_range", "largest_range"}


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


def test_saved_twin_loads_with_its_ranges(twin: keras.Model, planes: np.ndarray, tmp_path: object) -> None:
    path = f"{tmp_path}/twin.keras"
    twin.save(path)
    batch = planes[:4, ..., np.newaxis].astype(np.float32)
    again = keras.models.load_model(path).predict_on_batch(batch)
    for name, value in twin.predict_on_batch(batch).items():
        np.testing.assert_array_equal(again[name], value)


def test_kernels_are_rounded_along_the_named_axis(rng: np.random.Generator) -> None:
    kernel = rng.normal(size=(3, 3, 2, 4)).astype(np.float32) * np.array([0.01, 1, 10, 100], np.float32)
    rounded = np.asarray(qat._fake_quantized(kernel, axis=3))
    assert _kernel_error(kernel, rounded, (0, 1, 2)) <= 0.5 + 1e-3
    whole = np.asarray(qat._fake_quantized(kernel, axis=None))
    assert _kernel_error(kernel, whole, (0, 1, 2, 3)) <= 0.5 + 1e-3
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


@pytest.mark.parametrize(
    ("scale", "offset", "ranges"),
    [
        pytest.param(1 / 128, -1.0, [(0, 255 / 128), (-1, 127 / 128)], id="around zero"),
        pytest.param(1 / 255, 1.0, [(0, 1), (0, 2)], id="above zero"),
        pytest.param(1 / 255, -3.0, [(0, 1), (-3, 0)], id="below zero"),
    ],
)
def test_rescaled_ranges_hold_zero_and_clip_nothing(
    scale: float, offset: float, ranges: list[tuple[float, float]]
) -> None:
    layer = qat.QuantizedRescaling(scale=scale, offset=offset, source=qat.PLANE_RANGE)
    values = np.arange(256, dtype=np.float32)
    found = np.asarray(layer(values))
    assert [layer.scaled.fixed, layer.shifted.fixed] == [pytest.approx(pair) for pair in ranges]
    assert np.abs(found - (values * scale + offset)).max() <= (ranges[1][1] - ranges[1][0]) / 255


def test_range_always_holds_zero() -> None:
    quantizer = qat.ActivationQuantizer()
    quantizer(np.array([[2.0, 3.0]], np.float32), training=True)
    assert (float(quantizer.low), float(quantizer.high)) == (0.0, 3.0)


def test_outputs_keep_the_widest_range() -> None:
    quantizer = qat.ActivationQuantizer(momentum=None)
    for value in (5.0, 1.0):
        quantizer(np.array([[value]], np.float32), training=True)
    assert float(quantizer.high) == 5.0


def test_outputs_behind_layers_that_keep_the_range_keep_the_widest_too() -> None:
    plane = keras.Input((8, 8, 1), name="plane")
    hidden = layers.Conv2D(2, 3, name="hidden")(plane)
    x = layers.Flatten(name="flat")(layers.MaxPooling2D(2, name="largest")(layers.Conv2D(2, 3, name="last")(hidden)))
    made = qat.quantization_aware(keras.Model(plane, x))
    assert made.get_layer("last_range").momentum is None
    assert made.get_layer("hidden_range").momentum == 0.99


def test_plane_that_a_sum_takes_is_rounded_as_well() -> None:
    plane = keras.Input((8, 8, 1), name="plane")
    made = qat.quantization_aware(keras.Model(plane, layers.Add(name="sum")([plane, plane])))
    makers = {tensor._keras_history.operation.name for tensor in made.get_layer("sum").input}
    assert makers == {"plane_range"}


def test_calibration_without_planes_is_refused(twin: keras.Model, planes: np.ndarray) -> None:
    with pytest.raises(ValueError, match="planes: expected at least one, got none"):
        qat.calibrate(twin, planes[:0])


def test_model_that_cannot_be_quantized_is_refused_before_training() -> None:
    plane = keras.Input((32, 32, 1), name="plane")
    model = keras.Model(plane, layers.SeparableConv2D(4, 3, name="split")(plane), name="odd")
    with pytest.raises(ConversionError) as caught:
        qat.quantization_aware(model)
    assert str(caught.value) == (
        "odd: cannot be quantized: layer 'split' is a SeparableConv2D, the nearest supported one is DepthwiseConv2D"
    )
