from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras
from keras import layers, ops

from converters import contract
from edgemed.errors import ConversionError
from edgemed.runtime.labels import Labels

pytestmark = pytest.mark.tensorflow


def net(head: Callable[[Any], Any]) -> keras.Model:
    keras.utils.set_random_seed(4)
    picture = keras.Input((12, 10, 1))
    x = layers.Conv2D(6, 3, activation="relu", name="conv")(layers.Rescaling(1 / 64, offset=-2.0)(picture))
    return keras.Model(picture, head(x), name="net")


def pooled(x: Any) -> Any:
    return layers.GlobalAveragePooling2D()(x)


PLANES = np.random.default_rng(1).integers(0, 256, (5, 12, 10, 1)).astype(np.float32)

# What is behind the features -> the outputs that are found.
SIGMOIDS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "dense": (lambda x: layers.Dense(1, activation="sigmoid")(pooled(x)), "embedding evidence logit"),
    "layer": (lambda x: layers.Activation("sigmoid")(layers.Dense(1)(pooled(x))), "embedding evidence logit"),
    "function": (lambda x: ops.sigmoid(layers.Dense(1)(pooled(x))), "embedding evidence logit"),
    "dropout": (
        lambda x: layers.Dense(1, activation="sigmoid")(layers.Dropout(0.5)(pooled(x))),
        "embedding evidence logit",
    ),
    "reshaped": (
        lambda x: layers.Reshape((1,))(layers.Dense(1, activation="sigmoid")(pooled(x))),
        "embedding evidence logit",
    ),
    "convolution-as-dense": (
        lambda x: layers.Flatten()(
            layers.Conv2D(1, 1, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
        ),
        "embedding evidence logit",
    ),
    "average-over-the-whole-map": (
        lambda x: layers.Dense(1, activation="sigmoid")(layers.Flatten()(layers.AveragePooling2D((10, 8))(x))),
        "embedding evidence logit",
    ),
    "mean-as-a-function": (
        lambda x: layers.Dense(1, activation="sigmoid")(ops.mean(x, axis=(1, 2))),
        "embedding evidence logit",
    ),
    "average-over-parts": (
        lambda x: layers.Dense(1, activation="sigmoid")(layers.Flatten()(layers.AveragePooling2D(2)(x))),
        "logit",
    ),
    "mean-of-a-map": (lambda x: ops.sigmoid(pooled(layers.Conv2D(1, 1)(x))), "embedding evidence logit"),
    "mean-of-a-wide-map": (lambda x: ops.sigmoid(pooled(layers.Conv2D(1, 3)(x))), "evidence logit"),
    "hidden-layer": (
        lambda x: layers.Dense(1, activation="sigmoid")(layers.Dense(3, activation="relu")(pooled(x))),
        "embedding logit",
    ),
    "too-long-for-an-embedding": (
        lambda x: layers.Dense(1, activation="sigmoid")(layers.Flatten()(layers.Conv2D(40, 1)(x))),
        "logit",
    ),
}
SOFTMAXES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "dense": (lambda x: layers.Dense(2, activation="softmax")(pooled(x)), "embedding evidence logit"),
    "layer": (lambda x: layers.Softmax()(layers.Dense(2)(pooled(x))), "embedding evidence logit"),
    "function": (lambda x: ops.softmax(layers.Dense(2, use_bias=False)(pooled(x))), "embedding evidence logit"),
    "means-of-maps": (lambda x: ops.softmax(pooled(layers.Conv2D(2, 1)(x))), "embedding evidence logit"),
    "normalised": (
        lambda x: layers.Softmax()(layers.BatchNormalization()(layers.Dense(2)(pooled(x)))),
        "embedding logit",
    ),
}


@pytest.mark.parametrize("name", SIGMOIDS)
def test_logit_is_what_went_into_the_sigmoid(name: str) -> None:
    head, outputs = SIGMOIDS[name]
    model = net(head)
    made = contract.adapted(model)
    assert " ".join(made.outputs) == outputs
    found = made.model(PLANES, training=False)
    probability = np.asarray(model(PLANES, training=False), np.float64).reshape(5, 1)
    np.testing.assert_allclose(found["logit"], np.log(probability / (1 - probability)), rtol=1e-4, atol=1e-4)
    if "evidence" in found:
        np.testing.assert_allclose(np.asarray(found["evidence"]).mean(axis=(1, 2)), found["logit"], atol=1e-4)


@pytest.mark.parametrize("name", SOFTMAXES)
def test_logit_is_the_log_odds_of_the_second_unit(name: str) -> None:
    head, outputs = SOFTMAXES[name]
    model = net(head)
    made = contract.adapted(model)
    assert " ".join(made.outputs) == outputs
    found = made.model(PLANES, training=False)
    normal, abnormal = np.asarray(model(PLANES, training=False), np.float64).T
    np.testing.assert_allclose(np.asarray(found["logit"])[:, 0], np.log(abnormal / normal), rtol=1e-4, atol=1e-4)


def test_dropout_before_the_last_layer_drops_whole_maps() -> None:
    made = contract.adapted(net(lambda x: layers.Dense(1)(layers.Dropout(0.3)(pooled(x))))).model
    assert [(type(one).__name__, one.rate) for one in made.layers if "dropout" in one.name] == [
        ("SpatialDropout2D", 0.3)
    ]


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "two-units-without-softmax": (
        lambda x: layers.Dense(2, name="last")(pooled(x)),
        "has 2 units without a softmax, expected one logit; put a Softmax behind them if they are normal and abnormal, "
        "in this order; this release screens abnormal against normal, not several labels",
    ),
    "two-sigmoids": (
        lambda x: layers.Dense(2, activation="sigmoid", name="last")(pooled(x)),
        "has 2 units without a softmax, expected one logit; put a Softmax behind them if they are normal and abnormal, "
        "in this order; this release screens abnormal against normal, not several labels",
    ),
    "three-classes": (
        lambda x: layers.Dense(3, activation="softmax", name="last")(pooled(x)),
        "has 3 units, expected one logit, or a softmax of two; this release screens abnormal against normal: train one "
        "unit for it",
    ),
    "softmax-of-one": (
        lambda x: layers.Dense(1, activation="softmax", name="last")(pooled(x)),
        "is a softmax of one unit, which is always 1; give it two units, or a sigmoid, and train again",
    ),
    "tanh": (
        lambda x: layers.Dense(1, activation="tanh", name="last")(pooled(x)),
        "ends with tanh, expected a logit that nothing bounds, a sigmoid or a softmax; leave it out",
    ),
    "relu-layer": (
        lambda x: layers.ReLU(name="last")(layers.Dense(1)(pooled(x))),
        "ends with relu, expected a logit that nothing bounds, a sigmoid or a softmax; leave it out",
    ),
    "mask": (
        layers.Conv2D(1, 1, activation="sigmoid", name="last"),
        "has the shape (None, 10, 8, 1), expected one logit for the plane; this release has no segmentation",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_output_that_is_no_logit_is_refused(name: str) -> None:
    head, words = REFUSED[name]
    with pytest.raises(ConversionError) as caught:
        contract.adapted(net(head))
    assert str(caught.value) == f"output of 'last': {words}"


# What three labels end with -> the outputs that are found, and what is done to the answer to compare.
SEVERAL: dict[str, tuple[Callable[[Any], Any], str, bool]] = {
    "logits": (lambda x: layers.Dense(3)(pooled(x)), "embedding evidence logit", False),
    "softmax": (lambda x: layers.Dense(3, activation="softmax")(pooled(x)), "embedding evidence logit", True),
    "softmax layer": (lambda x: layers.Softmax()(layers.Dense(3)(pooled(x))), "embedding evidence logit", True),
    "maps": (lambda x: pooled(layers.Conv2D(3, 1)(x)), "embedding evidence logit", False),
    "hidden layer": (
        lambda x: layers.Dense(3, activation="softmax")(layers.Dense(4, activation="relu")(pooled(x))),
        "embedding logit",
        True,
    ),
}
THREE = Labels(names=("a", "b", "c"), normal=("a",))


@pytest.mark.parametrize("name", SEVERAL)
def test_several_labels_keep_a_logit_each(name: str) -> None:
    head, outputs, softmax = SEVERAL[name]
    original = net(head)
    adapted = contract.adapted(original, labels=THREE, input_range=(0, 255))
    assert adapted.outputs == tuple(outputs.split())
    found = {key: np.asarray(value) for key, value in adapted.model(PLANES, training=False).items()}
    expected = np.asarray(original(PLANES, training=False))
    assert found["logit"].shape == (5, 3)
    answered = np.exp(found["logit"]) / np.exp(found["logit"]).sum(axis=1, keepdims=True) if softmax else found["logit"]
    np.testing.assert_allclose(answered, expected, atol=1e-5)
    if "evidence" in found:
        np.testing.assert_allclose(found["evidence"].mean(axis=(1, 2)), found["logit"], atol=1e-4)
    assert any("softmax" in note for note in adapted.notes) == softmax


NOT_SEVERAL: dict[str, tuple[Callable[[Any], Any], str]] = {
    "too few": (
        lambda x: layers.Dense(2, name="end")(pooled(x)),
        "output of 'end': has 2 units, expected 3, one for each label; check the labels of the recipe",
    ),
    "a sigmoid each": (
        lambda x: layers.Dense(3, activation="sigmoid", name="end")(pooled(x)),
        "output of 'end': ends with sigmoid, expected logits that nothing bounds, or a softmax, as the labels exclude "
        "each other; leave it out",
    ),
    "a map": (
        lambda x: layers.Conv2D(3, 1, name="end")(layers.Activation("relu")(x)),
        "output of 'end': has the shape (None, 10, 8, 3), expected one logit for each label; this release has no "
        "segmentation",
    ),
}


@pytest.mark.parametrize("name", NOT_SEVERAL)
def test_what_is_no_logit_for_each_label_is_refused(name: str) -> None:
    head, message = NOT_SEVERAL[name]
    with pytest.raises(ConversionError) as caught:
        contract.adapted(net(head), labels=THREE)
    assert str(caught.value) == message
