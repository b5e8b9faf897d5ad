from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras
from keras import layers, ops

from converters import contract, qat
from edgemed.errors import ConversionError

pytestmark = pytest.mark.tensorflow


class Subclassed(keras.Model):
    """A model whose graph is Python code."""

    def __init__(self) -> None:
        super().__init__(name="net")
        self.last = layers.Dense(1)

    def call(self, inputs: Any) -> Any:
        return self.last(ops.mean(inputs, axis=(1, 2)))


class Overridden(keras.Model):
    """A functional model that does something else when it is called."""

    def call(self, inputs: Any, **options: Any) -> Any:
        return 2 * super().call(inputs, **options)


class Blur(layers.Layer):
    def call(self, inputs: Any) -> Any:
        return inputs


class ScaledConv2D(layers.Conv2D):
    pass


class DepthwiseConv(layers.Layer):
    def call(self, inputs: Any) -> Any:
        return inputs


def steep(values: Any) -> Any:
    return 2 * values


def net(*middle: Any, shape: tuple[int | None, ...] = (12, 16, 1), **options: Any) -> keras.Model:
    picture = keras.Input(shape, **options)
    x = picture
    for layer in middle:
        x = layer(x)
    return keras.Model(picture, layers.Dense(1, name="last")(layers.GlobalAveragePooling2D()(x)), name="net")


def overridden() -> keras.Model:
    picture = keras.Input((12, 16, 1))
    return Overridden(picture, layers.Dense(1)(layers.Flatten()(picture)), name="net")


def two_inputs() -> keras.Model:
    views = [keras.Input((12, 16, 1), name=name) for name in ("frontal", "lateral")]
    return keras.Model(views, layers.Dense(1)(layers.Flatten()(layers.Concatenate()(views))), name="net")


def inside() -> keras.Model:
    picture = keras.Input((12, 16, 1))
    return keras.Model(picture, Subclassed()(picture), name="outer")


SUBCLASS = (
    "expected a functional or Sequential Keras model, got the subclass {}, whose graph is Python code; for layers "
    "called on tensors only, rebuild it with x = keras.Input((H, W, C)) and keras.Model(x, model.call(x)), else "
    "write it with keras.Model(inputs, outputs) and copy the weights"
)
LOOSE = (
    "rebuild the model with keras.Input((H, W, {})) of the size it was trained for and copy the weights with "
    "set_weights"
)
PICTURE = "expected (batch, H, W, 1), or 3 channels that are fed with the same plane"

REFUSED: dict[str, tuple[Callable[[], keras.Model], str]] = {
    "subclassed": (Subclassed, SUBCLASS.format("Subclassed")),
    "call-overridden": (overridden, SUBCLASS.format("Overridden")),
    "sequential-not-built": (
        lambda: keras.Sequential([layers.Flatten(), layers.Dense(1)], name="net"),
        "the Sequential model is not built; put keras.Input((H, W, 1)) first and load the weights again",
    ),
    "custom-layer": (
        lambda: net(Blur(name="blur")),
        "layer 'blur' is a Blur, a custom layer; build it from layers of Keras' own",
    ),
    "custom-layer-of-a-known-kind": (
        lambda: net(ScaledConv2D(2, 3, name="scaled")),
        "layer 'scaled' is a ScaledConv2D, a custom layer; the nearest that can be converted is Conv2D",
    ),
    "custom-layer-named-like-a-known-one": (
        lambda: net(DepthwiseConv(name="own")),
        "layer 'own' is a DepthwiseConv, a custom layer; the nearest that can be converted is DepthwiseConv2D",
    ),
    "several-at-once": (
        lambda: net(ScaledConv2D(2, 3, name="scaled"), layers.Lambda(steep, name="lambda")),
        "layer 'scaled' is a ScaledConv2D, a custom layer; the nearest that can be converted is Conv2D; layer 'lambda' "
        "is a Lambda, which is Python code; use layers that do the same",
    ),
    "custom-activation": (
        lambda: net(layers.Conv2D(2, 3, activation=steep, name="conv")),
        "layer 'conv' has the custom activation steep; use one of Keras' own",
    ),
    "recurrent": (
        lambda: net(layers.ConvLSTM1D(2, 3, name="lstm"), layers.Reshape((1, 14, 2))),
        "layer 'lstm' is a ConvLSTM1D; this release screens planes one by one, without recurrent layers",
    ),
    "float64": (
        lambda: net(layers.Conv2D(2, 3, dtype="float64", name="conv"), dtype="float64"),
        "the input is float64, expected float32 grey levels 0..255; rebuild the model with keras.Input((H, W, C), "
        "dtype='float32') and copy the weights; layer 'conv' has the dtype policy float64, expected float32; rebuild "
        "the model under keras.config.set_dtype_policy('float32') and copy the weights with set_weights",
    ),
    "uint8-input": (
        lambda: net(layers.Rescaling(1 / 255), dtype="uint8"),
        "the input is uint8, expected float32 grey levels 0..255; rebuild the model with keras.Input((H, W, C), "
        "dtype='float32') and copy the weights",
    ),
    "height-and-width-open": (
        lambda: net(shape=(None, None, 3)),
        "the input has the shape (None, None, None, 3), whose height and width are not fixed; " + LOOSE.format(3),
    ),
    "width-open": (
        lambda: net(shape=(12, None, 1)),
        "the input has the shape (None, 12, None, 1), whose width is not fixed; " + LOOSE.format(1),
    ),
    "four-channels": (
        lambda: net(shape=(12, 16, 4)),
        f"the input has the shape (None, 12, 16, 4), {PICTURE}",
    ),
    "channels-first": (
        lambda: net(shape=(3, 12, 16)),
        f"the input has the shape (None, 3, 12, 16), {PICTURE} (channels first: rebuild the model with "
        "data_format='channels_last')",
    ),
    "two-inputs": (
        two_inputs,
        "has 2 inputs ('frontal', 'lateral'), expected one image; this release screens one plane at a time",
    ),
    "resizing": (
        lambda: net(layers.Rescaling(1 / 255), layers.Resizing(8, 8, name="smaller")),
        "layer 'smaller' is a Resizing of the input, which preprocessing does on the device; build the model from the "
        "tensor behind it, with keras.Input of that size",
    ),
    "fake-quantized": (
        lambda: qat.quantization_aware(net(layers.Conv2D(2, 3))),
        "it is fake-quantized already; give the float model that it was made from",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_model_that_cannot_be_read_is_refused_with_the_way_out(name: str) -> None:
    make, words = REFUSED[name]
    with pytest.raises(ConversionError) as caught:
        contract.adapted(make())
    assert str(caught.value) == f"net: cannot be converted: {words}"


def test_subclassed_model_inside_a_functional_one_is_named() -> None:
    with pytest.raises(ConversionError) as caught:
        contract.adapted(inside())
    assert str(caught.value) == f"outer: cannot be converted: inside it, 'net': {SUBCLASS.format('Subclassed')}"


def test_way_out_of_a_subclassed_model_works() -> None:
    trained = Subclassed()
    picture = keras.Input((12, 16, 1))
    rebuilt = keras.Model(picture, trained.call(picture))
    assert contract.adapted(rebuilt).outputs == ("embedding", "evidence", "logit")


def test_resizing_inside_the_network_is_no_resizing_of_the_input() -> None:
    model = net(layers.Conv2D(2, 3), layers.Resizing(8, 8))
    assert contract.adapted(model).outputs == ("embedding", "evidence", "logit")
