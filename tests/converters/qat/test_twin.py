from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras
from keras import layers

from converters import qat
from converters.qat import ActivationQuantizer
from edgemed.errors import ConversionError
from edgemed.training import models
from tests.converters.qat.networks import NETWORKS, inputs_of, ranges_of, with_weights

pytestmark = pytest.mark.tensorflow


def _answers(model: keras.Model, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    given = inputs if len(inputs) > 1 else next(iter(inputs.values()))
    return keras.tree.flatten(model.predict_on_batch(given))


def _calibrated(model: keras.Model, *, symmetric: bool = False) -> keras.Model:
    made = qat.quantization_aware(model, input_ranges=ranges_of(model), symmetric=symmetric)
    inputs = inputs_of(model)
    qat.calibrate(made, inputs if len(inputs) > 1 else next(iter(inputs.values())))
    return made


@pytest.mark.parametrize("symmetric", [False, True], ids=["asymmetric", "symmetric"])
@pytest.mark.parametrize("name", NETWORKS)
def test_calibrated_twin_answers_like_the_float_model(name: str, symmetric: bool) -> None:
    model = with_weights(NETWORKS[name]())
    made, inputs = _calibrated(model, symmetric=symmetric), inputs_of(model)
    for found, expected in zip(_answers(made, inputs), _answers(model, inputs), strict=True):
        assert found.shape == expected.shape
        # Rounding to 8 bits alone.
        error = np.sqrt(np.mean((found - expected) ** 2)) / expected.std()
        assert error < 0.2, f"off by {error:.3f} of its standard deviation"
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.98


def test_twin_of_the_zoo_answers_like_the_float_model() -> None:
    keras.utils.set_random_seed(11)
    model = with_weights(models.mobilenet_v2(height=64, width=64, cut="block_2", alpha=0.35, embedding=16))
    made, inputs = _calibrated(model), inputs_of(model)
    for found, expected in zip(_answers(made, inputs), _answers(model, inputs), strict=True):
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in made.layers)
    assert list(made.output) == ["logit", "evidence", "embedding"]


def test_float_model_is_left_as_it_was() -> None:
    model = with_weights(NETWORKS["several"]())
    before = model.get_weights()
    made = _calibrated(model)
    made.compile(optimizer="sgd", loss={"logit": "mse", "features": None})
    made.fit(inputs_of(model), {"logit": np.ones((32, 2))}, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_shared_layer_stays_one_layer() -> None:
    made = _calibrated(with_weights(NETWORKS["several"]()))
    assert len(made.get_layer("shared")._inbound_nodes) == 2
    assert len([layer for layer in made.layers if layer.name.startswith("inner")]) == len(
        {"inner_conv", "inner_conv_relu", "inner_conv_relu_range", "inner_1_conv_relu", "inner_1_conv_relu_range"}
    )


@pytest.mark.parametrize("name", ["several", "dense_block", "activations"])
def test_saved_twin_goes_on_as_if_it_had_not_been_saved(name: str, tmp_path: Path) -> None:
    model = with_weights(NETWORKS[name]())
    inputs = inputs_of(model)
    given = inputs if len(inputs) > 1 else next(iter(inputs.values()))
    targets = [np.zeros_like(value) for value in _answers(model, inputs)]
    targets = keras.tree.pack_sequence_as(model.output, targets)
    made = _calibrated(model)
    made.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mse")
    made.fit(given, targets, verbose=0, shuffle=False)
    made.save(tmp_path / "twin.keras")
    again = keras.models.load_model(tmp_path / "twin.keras")
    for one in (made, again):
        one.fit(given, targets, verbose=0, shuffle=False)
    for left, right in zip(made.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_training_heals_what_rounding_cost() -> None:
    model = with_weights(NETWORKS["dense_block"]())
    inputs = inputs_of(model, count=64)["plane"]
    expected = model.predict_on_batch(inputs)["logit"]
    made = _calibrated(model)
    before = float(np.mean((made.predict_on_batch(inputs)["logit"] - expected) ** 2))
    made.compile(optimizer=keras.optimizers.Adam(1e-3), loss={"logit": "mse", "features": None})
    made.fit(inputs, {"logit": expected}, epochs=15, verbose=0)
    assert np.mean((made.predict_on_batch(inputs)["logit"] - expected) ** 2) < 0.7 * before


def test_gradient_passes_rounding() -> None:
    tensor = keras.Input((4,), name="x")
    made = qat.quantization_aware(keras.Model(tensor, layers.Dense(1, name="last")(tensor)))
    values = np.linspace(-1, 1, 32, dtype=np.float32).reshape(8, 4)
    qat.calibrate(made, values)
    start = made.get_layer("last").kernel.numpy()
    made.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    made.fit(values, np.ones((8, 1)), verbose=0)
    assert np.abs(made.get_layer("last").kernel.numpy() - start).min() > 0


def test_names_that_are_taken_get_a_number() -> None:
    plane = keras.Input((8, 8, 1), name="plane")
    x = layers.Conv2D(1, 1, name="conv_range")(layers.Conv2D(1, 1, name="conv")(plane))
    names = [layer.name for layer in qat.quantization_aware(keras.Model(plane, x)).layers]
    assert names == ["plane", "plane_range", "conv", "conv_range_1", "conv_range", "conv_range_range"]


def test_limits_of_inputs_are_checked() -> None:
    plane = keras.Input((8, 8, 1), name="plane")
    model = keras.Model(plane, layers.ReLU()(plane))
    with pytest.raises(ValueError, match="input_ranges: expected names of plane, got 'plan'"):
        qat.quantization_aware(model, input_ranges={"plan": (0, 255)})
    with pytest.raises(ValueError, match=r"input_ranges: plane: expected low < high, got 5..5"):
        qat.quantization_aware(model, input_ranges={"plane": (5, 5)})


def test_input_without_limits_is_tracked() -> None:
    plane = keras.Input((8, 8, 1), name="plane")
    made = qat.quantization_aware(keras.Model(plane, layers.ReLU(name="relu")(plane)))
    qat.calibrate(made, np.full((3, 8, 8, 1), 2.0))
    quantizer = made.get_layer("plane_range")
    assert isinstance(quantizer, ActivationQuantizer)
    assert quantizer.range == (0.0, 2.0)


def test_calibration_wants_inputs_as_many_of_each() -> None:
    made = qat.quantization_aware(NETWORKS["several"]())
    inputs = inputs_of(made)
    with pytest.raises(ValueError, match="inputs: expected at least one, got none"):
        qat.calibrate(made, {name: values[:0] for name, values in inputs.items()})
    with pytest.raises(ValueError, match=r"inputs: expected as many of each, got \[3, 32\]"):
        qat.calibrate(made, {**inputs, "other": inputs["other"][:3]})


def test_model_that_cannot_be_quantized_is_refused_before_training() -> None:
    plane = keras.Input((32, 32, 1), name="plane")
    model = keras.Model(plane, layers.LayerNormalization(name="norm")(plane), name="odd")
    with pytest.raises(ConversionError) as caught:
        qat.quantization_aware(model)
    assert str(caught.value) == (
        "odd: cannot be quantized: layer 'norm' is a LayerNormalization, the nearest supported one is "
        "BatchNormalization"
    )


def test_layer_that_was_frozen_trains_on() -> None:
    model = NETWORKS["convolutions"]()
    model.trainable = False
    assert len(qat.quantization_aware(model).trainable_weights) == len(
        qat.quantization_aware(NETWORKS["convolutions"]()).trainable_weights
    )


JOINED = {
    "concatenated": lambda capped, x: layers.Concatenate(name="joined")([capped(x), layers.Conv2D(2, 1, name="b")(x)]),
    "behind a pooling": lambda capped, x: capped(layers.MaxPooling2D(name="top")(x)),
}


@pytest.mark.parametrize("case", JOINED)
def test_relu_whose_limit_a_shared_range_would_lose_is_refused(case: str) -> None:
    plane = keras.Input((8, 8, 1), name="plane")
    x = layers.Conv2D(2, 1, name="a")(plane)
    with pytest.raises(ConversionError) as caught:
        qat.quantization_aware(keras.Model(plane, JOINED[case](layers.ReLU(1.5, name="capped"), x), name="odd"))
    assert str(caught.value) == (
        "odd: cannot be quantized: layer 'capped' has a max_value other than 6 and a range that it shares with other "
        "tensors, which would not end there (use ReLU(6.0), or put a convolution between it and the concatenation or "
        "pooling)"
    )
    assert qat.quantization_aware(keras.Model(plane, JOINED[case](layers.ReLU(6.0, name="capped"), x)))


def test_relu_ends_at_its_limit_where_the_ranges_beside_it_do_not_go_further() -> None:
    plane = keras.Input((8, 8, 1), name="plane")
    capped = layers.ReLU(1.5, name="capped")(layers.Conv2D(2, 1, kernel_initializer="ones", name="a")(plane))
    gate = layers.Conv2D(2, 1, activation="sigmoid", kernel_initializer="ones", name="b")(plane)
    pooled = layers.AveragePooling2D(2)(layers.Concatenate()([capped, gate]))
    model, values = keras.Model(plane, pooled), np.linspace(0, 4, 8 * 64, dtype=np.float32).reshape(8, 8, 8, 1)
    made = qat.quantization_aware(model)
    qat.calibrate(made, values)
    assert np.abs(made.predict_on_batch(values) - model.predict_on_batch(values)).max() < 0.02


def test_shared_normalisation_and_prelu_stay_one_layer_each() -> None:
    plane = keras.Input((8, 8, 2), name="plane")
    norm, prelu = layers.BatchNormalization(name="norm"), layers.PReLU(shared_axes=[1, 2], name="prelu")
    made = qat.quantization_aware(keras.Model(plane, prelu(norm(prelu(norm(plane))))))
    assert [len(made.get_layer(name)._inbound_nodes) for name in ("norm", "prelu")] == [2, 2]
