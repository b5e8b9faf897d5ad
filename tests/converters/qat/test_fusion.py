from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras
from keras import layers

from converters import graph
from converters.qat import fusion, lowering
from converters.qat.fusion import Fused
from converters.qat.steps import Affine, Weighted
from tests.converters.qat.networks import with_weights

pytestmark = pytest.mark.tensorflow


def _plane() -> Any:
    return keras.Input((8, 8, 1), name="plane")


def _fused(plane: Any, outputs: Any) -> dict[str, Fused]:
    found = graph.of(with_weights(keras.Model(plane, outputs)))
    return {operator.name: operator for operator in fusion.fused(lowering.of(found), found.outputs)}


def _norm(x: Any, name: str = "norm") -> Any:
    return layers.BatchNormalization(name=name)(x)


def _relu(x: Any) -> Any:
    return layers.ReLU(name="relu")(x)


def test_normalisation_and_relu_are_computed_inside_the_convolution() -> None:
    plane = _plane()
    found = _fused(plane, _relu(_norm(layers.Conv2D(2, 1, name="conv")(plane))))
    assert list(found) == ["relu"]
    assert (found["relu"].step.name, found["relu"].norm is not None) == ("conv", True)


@pytest.mark.parametrize("which", ["norm", "relu"])
def test_what_another_layer_takes_is_stored(which: str) -> None:
    plane = _plane()
    x = layers.Conv2D(2, 1, name="conv")(plane)
    after = _norm(x) if which == "norm" else _relu(x)
    found = _fused(plane, layers.Add(name="sum")([x, after]))
    assert list(found) == ["conv", which, "sum"]
    assert found["conv"].norm is None


@pytest.mark.parametrize("which", ["norm", "relu"])
def test_what_leaves_the_model_is_stored(which: str) -> None:
    plane = _plane()
    x = layers.Conv2D(2, 1, name="conv")(plane)
    after = _norm(x) if which == "norm" else _relu(x)
    assert list(_fused(plane, [x, after])) == ["conv", which]


def test_kernel_with_a_constraint_keeps_its_normalisation_outside() -> None:
    plane = _plane()
    found = _fused(plane, _norm(layers.Conv2D(2, 1, kernel_constraint="non_neg", name="conv")(plane)))
    assert list(found) == ["conv", "norm"]


def test_normalisation_behind_an_activation_stands_alone() -> None:
    plane = _plane()
    found = _fused(plane, _norm(layers.Conv2D(2, 1, activation="relu", name="conv")(plane)))
    assert [type(operator.step.does) for operator in found.values()] == [Weighted, Affine]


def test_shared_convolution_takes_the_normalisation_that_follows_each_of_its_calls() -> None:
    plane = _plane()
    shared, norm = layers.Conv2D(1, 1, name="conv"), layers.BatchNormalization(name="norm")
    found = _fused(plane, norm(shared(norm(shared(plane)))))
    assert [(name, operator.norm is not None) for name, operator in found.items()] == [("conv", True), ("conv_1", True)]


def test_shared_convolution_with_two_normalisations_takes_neither() -> None:
    plane = _plane()
    shared = layers.Conv2D(1, 1, name="conv")
    found = _fused(plane, _norm(shared(_norm(shared(plane), "first")), "second"))
    assert list(found) == ["conv", "first", "conv_1", "second"]


def test_scalings_in_a_row_are_one(rng: np.random.Generator) -> None:
    plane = keras.Input((8, 8, 3), name="plane")
    x = layers.Rescaling(1 / 255, offset=0.1, name="unit")(plane)
    x = layers.Rescaling([1.0, 2.0, 3.0], offset=[0.5, 0.0, -0.5], name="channels")(x)
    made = keras.Model(plane, layers.Rescaling(-2.0, name="last")(x))
    found = graph.of(made)
    (operator,) = fusion.fused(lowering.of(found), found.outputs)
    assert isinstance(operator.step.does, Affine)
    values = rng.uniform(0, 255, (2, 8, 8, 3))
    computed = values * operator.step.does.gain + operator.step.does.shift
    np.testing.assert_allclose(computed, np.asarray(made(values)), rtol=1e-5, atol=1e-5)


KERNELS = {
    "conv": lambda **options: layers.Conv2D(4, 3, **options),
    "grouped": lambda **options: layers.Conv2D(4, 3, groups=2, **options),
    "depthwise": lambda **options: layers.DepthwiseConv2D(3, depth_multiplier=2, **options),
    "transposed": lambda **options: layers.Conv2DTranspose(4, 3, strides=2, **options),
    "dense": lambda **options: layers.Dense(4, **options),
}


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("kind", KERNELS)
def test_folded_kernel_and_bias_do_what_layer_and_normalisation_did(
    kind: str, use_bias: bool, rng: np.random.Generator
) -> None:
    frame = keras.Input((8, 8, 2) if kind != "dense" else (6,), name="frame")
    model = with_weights(keras.Model(frame, _norm(KERNELS[kind](use_bias=use_bias, name="kernel")(frame))))
    found = graph.of(model)
    (operator,) = fusion.fused(lowering.of(found), found.outputs)
    assert isinstance(operator.step.does, Weighted)
    kernel, bias = fusion.folded(operator.step.does, operator.norm)
    assert bias is not None
    plain = KERNELS[kind](use_bias=True)
    values = rng.normal(size=(2, *frame.shape[1:])).astype(np.float32)
    plain.build(values.shape)
    plain.set_weights([kernel, bias])
    np.testing.assert_allclose(np.asarray(plain(values)), np.asarray(model(values, training=False)), atol=1e-4)


def test_relu_behind_a_transposed_convolution_stands_alone() -> None:
    plane = _plane()
    found = _fused(plane, _relu(_norm(layers.Conv2DTranspose(2, 2, strides=2, name="conv")(plane))))
    assert [(name, operator.norm is not None) for name, operator in found.items()] == [("conv", True), ("relu", False)]
