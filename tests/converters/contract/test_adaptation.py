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
from edgemed.training import models

pytestmark = pytest.mark.tensorflow


def shaken(model: keras.Model, *, momentum: float = 0.0) -> keras.Model:
    """Return a model with weights, and statistics of its normalisations, that are not those it was made with."""
    rng = np.random.default_rng(7)
    for layer in [layer for layer in model._flatten_layers(include_self=False) if not isinstance(layer, keras.Model)]:
        weights = [weight * rng.uniform(0.7, 1.3, weight.shape) for weight in layer.get_weights()]
        layer.set_weights([one + rng.uniform(0, 0.1, one.shape) if one.ndim == 1 else one for one in weights])
    return settled(model, momentum=momentum)


def settled(model: keras.Model, *, momentum: float) -> keras.Model:
    """Return a model whose normalisations have seen planes, so that what it answers depends on them."""
    norms = [one for one in model._flatten_layers() if isinstance(one, layers.BatchNormalization)]
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = momentum
    model(np.repeat(planes_for(model), model.inputs[0].shape[3], axis=3), training=True)
    for norm, before in zip(norms, kept, strict=True):
        norm.momentum = before
    return model


def answers(model: keras.Model, planes: np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in model(planes, training=False).items()}


def planes_for(model: keras.Model) -> np.ndarray:
    height, width = model.inputs[0].shape[1:3]
    rng = np.random.default_rng(3)
    planes = rng.integers(0, 256, (4, height, width, 1)).astype(np.float32)
    planes[1] //= 4
    planes[2] = np.linspace(0, 255, height).round()[:, None, None]
    return planes


def mobilenet(**options: Any) -> keras.Model:
    return keras.applications.MobileNetV2(input_shape=(96, 96, 3), alpha=0.35, weights=None, **options)


def backbone() -> keras.Model:
    """Return a small feature extractor in the manner of keras.applications."""
    picture = keras.Input((32, 24, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="Conv1")(picture)
    x = kept = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = ops.relu(x + kept) * 0.5
    return keras.Model(picture, layers.Conv2D(12, 1)(x), name="backbone")


def nested(head: Callable[[Any], Any]) -> keras.Model:
    """Return the usual transfer learning: augmentation, arithmetic of the backbone's author, backbone, head."""
    picture = keras.Input((32, 24, 3), name="picture")
    x = layers.RandomFlip("horizontal", name="flip")(picture)
    x = keras.applications.mobilenet_v2.preprocess_input(x)
    return keras.Model(picture, head(backbone()(x, training=False)), name="transferred")


def pooled_head(x: Any) -> Any:
    x = layers.Dropout(0.2, name="drop")(layers.GlobalAveragePooling2D(name="pool")(x))
    return layers.Dense(1, activation="sigmoid", name="dense")(x)


def sequential(*last: layers.Layer) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((24, 16, 1)),
            layers.Rescaling(1 / 127.5, offset=-1.0),
            layers.Conv2D(6, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(5, activation="relu", name="hidden"),
            *last,
        ],
        name="plain",
    )


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits[:, 0].astype(np.float64)))


def same_logit(logits: np.ndarray) -> np.ndarray:
    return logits[:, 0]


DERIVED = ("the output 'evidence' is derived from the graph", "the output 'embedding' is derived from the graph")
NO_EVIDENCE = "the model has no evidence, and none can be derived from its graph: there is no heatmap"
SUMMED = "the kernel of 'Conv1' is added up over the 3 channels, which get the same plane"
OPENED = "models inside the model are opened: 'backbone'"
CUT = "the sigmoid of {!r} is cut off: the logit is what went into it"
DIFFERENCE = "the softmax of {!r} is cut off: the logit is its second unit's input minus its first's"

# name -> model, range it was trained on, what its answer is of the logit, outputs, notes
MODELS: dict[str, tuple[Callable[[], keras.Model], Any, Callable[[np.ndarray], np.ndarray], str, tuple[str, ...]]] = {
    "mobilenet-sigmoid": (
        lambda: mobilenet(classes=1, classifier_activation="sigmoid"),
        (-1, 1),
        sigmoid,
        "embedding evidence logit",
        ("grey levels 0..255 are rescaled to -1..1 in front of the model", SUMMED, CUT.format("predictions"), *DERIVED),
    ),
    "mobilenet-softmax": (
        lambda: mobilenet(classes=2),
        (0, 1),
        sigmoid,
        "embedding evidence logit",
        (
            "grey levels 0..255 are rescaled to 0..1 in front of the model",
            SUMMED,
            DIFFERENCE.format("predictions"),
            *DERIVED,
        ),
    ),
    "nested-backbone": (
        lambda: nested(pooled_head),
        None,
        sigmoid,
        "embedding evidence logit",
        (OPENED, "layers that act in training only are left out: 'flip'", SUMMED, CUT.format("dense"), *DERIVED),
    ),
    "nested-max-pooling": (
        lambda: nested(lambda x: layers.Dense(1)(layers.GlobalMaxPooling2D()(x))),
        None,
        same_logit,
        "embedding logit",
        (
            OPENED,
            "layers that act in training only are left out: 'flip'",
            SUMMED,
            NO_EVIDENCE,
            "the output 'embedding' is derived from the graph",
        ),
    ),
    "efficientnet": (
        lambda: keras.applications.EfficientNetB0(
            input_shape=(64, 64, 3), weights=None, classes=1, classifier_activation="sigmoid"
        ),
        None,
        sigmoid,
        "embedding evidence logit",
        ("the plane is fed to all 3 channels of the input", CUT.format("predictions"), *DERIVED),
    ),
    "mobilenet-v3": (
        lambda: keras.applications.MobileNetV3Small(input_shape=(64, 64, 3), weights=None, classes=2),
        None,
        sigmoid,
        "embedding logit",
        (
            "the kernel of 'conv' is added up over the 3 channels, which get the same plane",
            DIFFERENCE.format("predictions"),
            NO_EVIDENCE,
            "the output 'embedding' is derived from the graph",
        ),
    ),
    "sequential-logit": (
        lambda: sequential(layers.Dense(1, name="out")),
        (0, 255),
        same_logit,
        "embedding logit",
        (NO_EVIDENCE, "the output 'embedding' is derived from the graph"),
    ),
    "sequential-softmax-layer": (
        lambda: sequential(layers.Dense(2), layers.Softmax(name="softmax")),
        None,
        sigmoid,
        "embedding logit",
        (DIFFERENCE.format("softmax"), NO_EVIDENCE, "the output 'embedding' is derived from the graph"),
    ),
    "sequential-around-a-backbone": (
        lambda: keras.Sequential(
            [
                keras.Input((32, 24, 3)),
                layers.Rescaling(1 / 127.5, offset=-1.0),
                backbone(),
                layers.GlobalAveragePooling2D(),
                layers.Dense(1, activation="sigmoid", name="dense"),
            ]
        ),
        None,
        sigmoid,
        "embedding evidence logit",
        (OPENED, SUMMED, CUT.format("dense"), *DERIVED),
    ),
    "of-the-contract": (
        lambda: models.mobilenet_v2(height=64, width=64, cut="block_2", alpha=0.35),
        None,
        same_logit,
        "embedding evidence logit",
        (),
    ),
}


SLOW = ("mobilenet-softmax", "efficientnet", "mobilenet-v3")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in MODELS])
def test_answers_stay_the_same_and_every_change_is_noted(name: str) -> None:
    keras.utils.set_random_seed(11)
    make, input_range, answer_of, outputs, notes = MODELS[name]
    # Taken whole, the statistics of its 2 x 2 maps would make its answers explode.
    model = shaken(make(), momentum=0.5 if name == "efficientnet" else 0.0)
    before = model.get_weights()
    made = contract.adapted(model, input_range=input_range)
    assert (" ".join(made.outputs), made.notes) == (outputs, notes)

    planes = planes_for(model)
    low, high = input_range or (0, 255)
    pictures = np.repeat(planes / 255 * (high - low) + low, model.inputs[0].shape[3], axis=3)
    returned = model(pictures, training=False)
    expected = np.asarray(returned["logit"] if isinstance(returned, dict) else returned)
    found = answers(made.model, planes)
    np.testing.assert_allclose(answer_of(found["logit"]), expected[:, -1], rtol=1e-4, atol=1e-4)
    assert np.ptp(expected[:, -1]) > 5e-4, "the planes hardly differ, so agreeing says nothing"
    if "evidence" in found:
        np.testing.assert_allclose(found["evidence"].mean(axis=(1, 2)), found["logit"], rtol=1e-4, atol=1e-4)
    assert all((one == other).all() for one, other in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("name", ["nested-backbone", "sequential-softmax-layer"])
def test_result_is_one_flat_float32_graph_of_a_plane(name: str) -> None:
    made = contract.adapted(MODELS[name][0]()).model
    (plane,) = made.inputs
    assert (plane.dtype, plane.shape[0], plane.shape[3], plane._keras_history.operation.name) == (
        "float32",
        None,
        1,
        "plane",
    )
    assert not [layer.name for layer in made.layers if isinstance(layer, keras.Model)]
    assert {layer.dtype_policy.name for layer in made.layers} == {"float32"}


def test_embedding_is_what_the_last_layer_takes() -> None:
    model = shaken(nested(pooled_head))
    planes = planes_for(model)
    pooled = keras.Model(model.input, model.get_layer("pool").output).predict_on_batch(np.repeat(planes, 3, axis=3))
    found = answers(contract.adapted(model).model, planes)["embedding"]
    np.testing.assert_allclose(found, pooled, rtol=1e-4, atol=1e-4)


def test_adapting_again_changes_nothing() -> None:
    once = contract.adapted(shaken(nested(pooled_head))).model
    twice = contract.adapted(once)
    assert twice.notes == ()
    planes = planes_for(once)
    for name, value in answers(once, planes).items():
        np.testing.assert_allclose(answers(twice.model, planes)[name], value, rtol=1e-5, atol=1e-5)


def test_arithmetic_in_front_of_the_backbone_is_one_rescaling_of_the_plane() -> None:
    made = contract.adapted(nested(pooled_head), input_range=(0, 510)).model
    rescaling, _ = [layer for layer in made.layers if isinstance(layer, layers.Rescaling)]
    assert rescaling.input is made.inputs[0]
    assert (rescaling.scale, rescaling.offset) == (pytest.approx(2 / 127.5), pytest.approx(-1.0))


def test_fixed_batch_is_opened() -> None:
    picture = keras.Input((12, 12, 1), batch_size=4)
    model = keras.Model(picture, layers.Dense(1)(layers.Flatten()(layers.Conv2D(2, 3)(picture))))
    made = contract.adapted(model)
    assert made.notes[0] == "the batch of 4 that the model was built for is left open"
    planes = np.concatenate([planes_for(model)] * 2)[:5]
    expected = np.concatenate([model.predict_on_batch(planes[:4]), model.predict_on_batch(planes[1:])[3:]])
    np.testing.assert_allclose(answers(made.model, planes)["logit"], expected, rtol=1e-4, atol=1e-4)


def test_batch_that_is_built_into_a_layer_is_refused() -> None:
    picture = keras.Input((12, 12, 1), batch_size=4)
    model = keras.Model(picture, layers.Dense(1)(ops.reshape(picture, (4, 144))), name="fours")
    with pytest.raises(ConversionError) as caught:
        contract.adapted(model)
    assert str(caught.value) == (
        "fours: cannot be rebuilt for a batch of one: a layer holds the batch of 4 that the model was built for; leave "
        "the size of the batch out of its layers, as in ops.reshape(x, (-1, 144))"
    )


def test_mixed_precision_is_rebuilt_in_float32() -> None:
    picture = keras.Input((12, 12, 1))
    x = layers.Rescaling(1 / 255)(picture)
    x = layers.Conv2D(4, 3, activation="relu", dtype="mixed_bfloat16")(x)
    model = keras.Model(picture, layers.Dense(1, dtype="float32")(layers.GlobalAveragePooling2D()(x)))
    made = contract.adapted(model)
    assert made.notes[0] == "layers compute in float32, not 'mixed_bfloat16'"
    planes = planes_for(model)
    np.testing.assert_allclose(
        answers(made.model, planes)["logit"], model.predict_on_batch(planes), rtol=0.05, atol=0.05
    )


def with_outputs(**outputs: Callable[[Any, Any], Any]) -> keras.Model:
    keras.utils.set_random_seed(2)
    picture = keras.Input((12, 12, 1))
    features = layers.Conv2D(4, 3, activation="relu")(layers.Rescaling(1 / 255)(picture))
    evidence = layers.Conv2D(1, 1)(features)
    return keras.Model(picture, {name: make(features, evidence) for name, make in outputs.items()}, name="several")


def mean_of(_: Any, evidence: Any) -> Any:
    return layers.GlobalAveragePooling2D()(evidence)


def test_output_that_the_contract_does_not_know_is_left_out() -> None:
    made = contract.adapted(with_outputs(logit=mean_of, age=lambda features, _: layers.Flatten()(features)))
    assert made.notes == ("the output 'age' is left out", *DERIVED)


def test_evidence_that_does_not_explain_the_logit_is_refused() -> None:
    model = with_outputs(logit=mean_of, evidence=lambda _, evidence: layers.Rescaling(2.0)(evidence))
    with pytest.raises(ConversionError) as caught:
        contract.adapted(model)
    assert str(caught.value) == (
        "several: output evidence: expected a map whose spatial mean is the logit, got one with another mean; leave it "
        "out, or make the logit its mean"
    )


def test_several_outputs_without_a_logit_are_refused() -> None:
    model = with_outputs(score=mean_of, age=mean_of)
    with pytest.raises(ConversionError) as caught:
        contract.adapted(model)
    assert str(caught.value) == (
        "several: expected one output, or one named logit, got age, score; return them as a dictionary, "
        "keras.Model(inputs, {'logit': ...})"
    )


def test_model_that_answers_no_number_is_refused() -> None:
    model = sequential(layers.Dense(1))
    model.layers[-1].set_weights([np.full((5, 1), np.nan), np.zeros(1)])
    with pytest.raises(ConversionError) as caught:
        contract.adapted(model)
    assert str(caught.value) == (
        "plain: expected finite answers, got [nan nan] for planes of noise and of a gradient; train it again"
    )


@pytest.mark.parametrize("bounds", [(1, 0), (0, 0), (0, float("nan")), (float("-inf"), 0)])
def test_range_that_is_none_is_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="input_range: expected two finite numbers, the lower first, got "):
        contract.adapted(sequential(layers.Dense(1)), input_range=bounds)
