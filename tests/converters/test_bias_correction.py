from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras
from keras import layers

from converters import bias_correction, calibration, ptq
from edgemed import tflite
from edgemed.errors import ConversionError

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def chosen() -> calibration.Calibration:
    planes = np.random.default_rng(9).integers(0, 256, (20, 4, 3)).repeat(4, axis=1).repeat(4, axis=2)
    return calibration.of(planes.astype(np.uint8), name="blocks")


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """Return a model with every kind of layer that is treated, normalised and not."""
    keras.utils.set_random_seed(5)
    plane = keras.Input((16, 12, 1), name="plane")
    x = layers.Conv2D(6, 3, padding="same", use_bias=False, name="first")(layers.Rescaling(1 / 64)(plane))
    x = layers.ReLU(6.0)(layers.BatchNormalization(name="first_BN")(x))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", name="depthwise")(x)
    x = layers.ReLU()(layers.BatchNormalization(scale=False, center=False, name="depthwise_BN")(x))
    x = layers.Conv2D(8, 1, groups=2, activation="relu", name="grouped")(x)
    x = layers.Dense(5, use_bias=False, name="dense")(layers.GlobalAveragePooling2D()(x))
    made = keras.Model(plane, {"logit": layers.Dense(1, name="last")(x)}, name="mixed")
    rng = np.random.default_rng(6)
    for layer in made.layers:
        layer.set_weights([weight + rng.uniform(0, 0.5, weight.shape) for weight in layer.get_weights()])
    return made


@pytest.fixture(scope="module")
def prepared(model: keras.Model, chosen: calibration.Calibration) -> keras.Model:
    return bias_correction.corrected(model, chosen)


# Layer -> axes of the kernel that share a step, and what the converter multiplies into it.
TREATED: dict[str, tuple[tuple[int, ...], str | None]] = {
    "first": ((0, 1, 2), "first_BN"),
    "depthwise": ((0, 1), "depthwise_BN"),
    "grouped": ((0, 1, 2), None),
    "dense": ((0,), None),
    "last": ((0,), None),
}


def gain_of(model: keras.Model, norm: str | None) -> Any:
    if norm is None:
        return 1.0
    layer = model.get_layer(norm)
    return (np.asarray(layer.gamma) if layer.scale else 1.0) / np.sqrt(np.asarray(layer.moving_variance) + 1e-3)


@pytest.mark.parametrize("name", TREATED)
def test_kernel_is_whole_steps_of_its_channel(name: str, prepared: keras.Model, model: keras.Model) -> None:
    axes, norm = TREATED[name]
    before, after = (one.get_layer(name).get_weights()[0] for one in (model, prepared))
    shape = before.shape[-2:] if name == "depthwise" else before.shape[-1:]
    gain = np.broadcast_to(gain_of(model, norm), np.prod(shape)).reshape(shape)
    step = np.abs(before * gain).max(axis=axes, keepdims=True) / 127
    steps = after * gain / step
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)
    assert np.abs(after - before).max() > 0
    assert (np.abs(after - before) * np.abs(gain) <= step * 0.5001).all()


@pytest.mark.parametrize("name", TREATED)
def test_layer_answers_the_same_in_the_mean(
    name: str, prepared: keras.Model, model: keras.Model, chosen: calibration.Calibration
) -> None:
    layer = model.get_layer(name)
    planes = chosen.planes[..., None].astype(np.float32)
    given = keras.Model(model.input, layer.input)(planes, training=False)

    def mean(kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
        config = {**layer.get_config(), "use_bias": True, "activation": "linear"}
        linear = type(layer).from_config(config)
        linear.build(given.shape)
        linear.set_weights([kernel, bias])
        return np.asarray(linear(given), np.float64).reshape(-1, bias.size).mean(axis=0)

    rounded, bias = prepared.get_layer(name).get_weights()
    kernel, *old = layer.get_weights()
    kept = old[0] if old else np.zeros_like(bias)
    expected = mean(kernel, kept)
    np.testing.assert_allclose(mean(rounded, bias), expected, rtol=1e-5, atol=1e-5)
    assert np.abs(mean(rounded, kept) - expected).max() > 1e-4, (
        "rounding shifts nothing, so there is nothing to correct"
    )


def test_converter_keeps_the_rounded_kernels(prepared: keras.Model, chosen: calibration.Calibration) -> None:
    from ai_edge_litert.interpreter import Interpreter

    raw = ptq.int8_tflite(prepared, chosen)
    interpreter = Interpreter(model_content=raw)
    constants = [
        tensor for tensor in tflite.read(raw, source="x").tensors if tensor.is_constant and tensor.dtype == "int8"
    ]
    stored = [interpreter.get_tensor(tensor.index) for tensor in constants]
    kernel = prepared.get_layer("grouped").get_weights()[0]  # (1, 1, in, out)
    step = np.abs(kernel).max(axis=(0, 1, 2)) / 127
    expected = np.round(kernel / step).astype(np.int8).transpose(3, 0, 1, 2)
    assert any(one.shape == expected.shape and (one == expected).all() for one in stored)


def test_given_model_is_not_changed(model: keras.Model, chosen: calibration.Calibration) -> None:
    before = model.get_weights()
    bias_correction.corrected(model, chosen)
    assert all((one == other).all() for one, other in zip(before, model.get_weights(), strict=True))


def test_channel_that_its_normalisation_silences_stays_as_it_is(
    model: keras.Model, chosen: calibration.Calibration
) -> None:
    silenced = keras.models.clone_model(model)
    silenced.set_weights(model.get_weights())
    norm = silenced.get_layer("first_BN")
    gamma, *others = norm.get_weights()
    gamma[2] = 0
    norm.set_weights([gamma, *others])
    kernel, bias = bias_correction.corrected(silenced, chosen).get_layer("first").get_weights()
    assert (kernel[..., 2] == silenced.get_layer("first").get_weights()[0][..., 2]).all()
    assert bias[2] == 0
    assert np.isfinite(kernel).all()


def test_planes_of_another_size_are_refused(model: keras.Model) -> None:
    other = calibration.of(np.arange(32, dtype=np.uint8).reshape(2, 4, 4), name="small")
    with pytest.raises(ConversionError) as caught:
        bias_correction.corrected(model, other)
    assert str(caught.value) == (
        "calibration: expected planes of 16 x 12 (height x width), the input of 'mixed', got 4 x 4; make them with the "
        "preprocessing of this model"
    )
