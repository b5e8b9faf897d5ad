from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras
from keras import layers, ops

from converters import graph
from converters.qat import SUPPORTED, lowering
from edgemed.errors import ConversionError
from tests.converters.qat.networks import NETWORKS

pytestmark = pytest.mark.tensorflow


class OwnConv(layers.Conv2D):
    """A layer that computes something else than its name says."""


class OwnMix(layers.Layer):
    def call(self, inputs: Any) -> Any:
        return inputs


def _refusal(build: Callable[[Any], Any], *, shape: tuple[int | None, ...] = (8, 8, 1), **options: Any) -> str:
    plane = keras.Input(shape, name="plane", **options)
    with pytest.raises(ConversionError) as caught:
        lowering.of(graph.of(keras.Model(plane, build(plane), name="odd")))
    return str(caught.value).removeprefix("odd: cannot be quantized: ")


def _conv(x: Any, **options: Any) -> Any:
    return layers.Conv2D(2, 1, name="conv", **options)(x)


def _relu(x: Any, **options: Any) -> Any:
    return layers.ReLU(name="relu", **options)(x)


def _with_lora(x: Any) -> Any:
    layer = layers.Dense(2, name="dense")
    made = layer(layers.Flatten()(x))
    layer.enable_lora(1)
    return made


class _Nested(keras.Model):
    def __init__(self) -> None:
        super().__init__(name="nested")
        self.conv = layers.Conv2D(1, 1)

    def call(self, inputs: Any) -> Any:
        return self.conv(inputs)


REFUSALS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "layer with a near one": (
        layers.LayerNormalization(name="norm"),
        "layer 'norm' is a LayerNormalization, the nearest supported one is BatchNormalization",
    ),
    "layer near by its name": (
        layers.AveragePooling3D(1, name="top"),
        "layer 'top' is a AveragePooling3D, the nearest supported one is AveragePooling2D",
    ),
    "own layer": (
        OwnConv(2, 1, name="own"),
        "layer 'own' is a OwnConv, a layer of your own: the nearest supported one is Conv2D (rewrite it with Keras' "
        "layers)",
    ),
    "own activation": (
        lambda x: _conv(x, activation=lambda value: value),
        "layer 'conv' has the activation <lambda>, the nearest supported one is relu",
    ),
    "activation without an operator": (
        lambda x: _conv(x, activation="softplus"),
        "layer 'conv' has the activation softplus, the nearest supported one is relu",
    ),
    "normalisation of another axis": (
        lambda x: layers.BatchNormalization(axis=1, name="norm")(_conv(x)),
        "layer 'norm' normalises axis 1, expected the last one, -1 (rebuild it with that axis)",
    ),
    "normalisation of two axes": (
        layers.Normalization(axis=(1, 3), mean=np.ones((8, 1)), variance=np.ones((8, 1)), name="norm"),
        "layer 'norm' has factors of shape (1, 8, 1, 1), expected one, or one a channel (normalise the last axis only, "
        "or none)",
    ),
    "inverted normalisation": (
        layers.Normalization(axis=None, mean=1.0, variance=2.0, invert=True, name="norm"),
        "layer 'norm' has invert=True, expected False (use a Rescaling layer)",
    ),
    "infinite scale": (
        layers.Rescaling(float("inf"), name="range"),
        "layer 'range' has a scale, an offset, a mean or a variance that is no finite number",
    ),
    "ReLU with a threshold": (
        lambda x: _relu(x, threshold=1.0),
        "layer 'relu' has threshold 1, expected 0 (shift its input instead)",
    ),
    "leaky ReLU with a maximum": (
        lambda x: _relu(x, negative_slope=0.1, max_value=3.0),
        "layer 'relu' has negative_slope and max_value, expected one of them",
    ),
    "ELU of another alpha": (
        layers.ELU(alpha=0.5, name="elu"),
        "layer 'elu' has alpha 0.5, expected 1, the only one TFLite has (use it, or LeakyReLU)",
    ),
    "softmax of another axis": (
        layers.Softmax(axis=1, name="softmax"),
        "layer 'softmax' runs along axis 1, expected the last one, -1 (permute its input)",
    ),
    "resizing that crops": (
        layers.Resizing(4, 4, crop_to_aspect_ratio=True, name="small"),
        "layer 'small' has crop_to_aspect_ratio=True, expected False (do it in preprocessing)",
    ),
    "resizing by another rule": (
        layers.Resizing(4, 4, interpolation="bicubic", name="small"),
        "layer 'small' has the interpolation bicubic, expected nearest or bilinear",
    ),
    "mixed precision": (
        lambda x: _conv(x, dtype="mixed_float16"),
        "layer 'conv' computes in mixed_float16, expected float32 (rebuild the model with that policy)",
    ),
    "double precision": (
        lambda x: _conv(x, dtype="float64"),
        "layer 'conv' computes in float64, expected float32 (rebuild the model with that policy)",
    ),
    "channels first": (
        layers.MaxPooling2D((2, 1), data_format="channels_first", name="top"),
        "layer 'top' has data_format channels_first, expected channels_last (rebuild the model with it)",
    ),
    "LoRA": (_with_lora, "layer 'dense' has LoRA weights, expected one kernel (merge them into it)"),
    "operation that is no layer": (
        lambda x: ops.erf(_conv(x)),
        "operation 'erf' is Erf on bare tensors, expected layers (use one that does the same)",
    ),
    "operation with an array": (
        lambda x: ops.multiply(_conv(x), np.ones((2,), np.float32)),
        "operation 'multiply' is Multiply with an array, expected one finite number (use a Rescaling or Normalization "
        "layer)",
    ),
    "subclassed model inside": (
        _Nested(),
        "nested: expected a functional or Sequential Keras model, got the subclass _Nested whose call() is code that a "
        "converter cannot see into; build it with keras.Model(inputs, outputs)",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_layer_that_cannot_be_quantized_is_named(case: str) -> None:
    build, message = REFUSALS[case]
    found = _refusal(build, shape=(8, 8, 8, 1)) if "AveragePooling3D" in message else _refusal(build)
    # Keras numbers the operations of a process.
    assert re.sub(r"(erf|multiply)_\d+", r"\1", found) == message


def test_layer_unlike_any_other_is_told_them_all() -> None:
    message = _refusal(OwnMix(name="mix"))
    assert message.startswith(
        "layer 'mix' is a OwnMix, a layer of your own: expected one of Activation, ActivityRegularization, Add, "
    )


INPUTS = {
    "float16": (
        {"dtype": "float16"},
        "input 'plane' is float16, expected float32 (the int8 file takes integers by itself)",
    ),
    "any height": (
        {"shape": (None, 8, 1)},
        "input 'plane' has the shape (None, 8, 1), expected fixed sides (build the model for one size)",
    ),
    "batch of eight": (
        {"shape": None, "batch_shape": (8, 8, 8, 1)},
        "input 'plane' has a batch of 8, expected none or 1 (a device runs one frame at a time)",
    ),
}


@pytest.mark.parametrize("case", INPUTS)
def test_input_that_no_device_can_take_is_refused(case: str) -> None:
    options, message = INPUTS[case]
    assert _refusal(lambda x: x, **options) == message


def test_every_problem_is_named_at_once() -> None:
    def build(plane: Any) -> Any:
        x = layers.Conv2D(4, 3, activation="selu", name="selu")(plane)
        return layers.GroupNormalization(groups=2, name="groups")(layers.ReLU(threshold=1.0, name="on")(x))

    assert _refusal(build) == (
        "layer 'selu' has the activation selu, the nearest supported one is elu; "
        "layer 'on' has threshold 1, expected 0 (shift its input instead); "
        "layer 'groups' is a GroupNormalization, the nearest supported one is BatchNormalization"
    )


def test_the_networks_of_these_tests_have_every_supported_layer() -> None:
    used = {type(call.operation) for build in NETWORKS.values() for call in graph.of(build()).calls}
    like_them = {layers.RandomBrightness, layers.RandomContrast, layers.RandomRotation, layers.RandomTranslation}
    alike = {layers.RandomZoom, layers.GaussianDropout, layers.ActivityRegularization, *like_them}
    assert {kind.__name__ for kind in set(SUPPORTED) - used} <= {kind.__name__ for kind in alike}


def test_layer_that_goes_on_outside_the_model_is_judged_by_the_model() -> None:
    plane = keras.Input((8, 8, 1), name="plane")
    last = layers.Conv2D(2, 1, name="last")
    made = keras.Model(plane, last(plane))
    layers.LayerNormalization()(made.output)
    last(plane)
    assert [step.name for step in lowering.of(graph.of(made))] == ["last"]


def test_steps_carry_the_names_of_their_layers() -> None:
    plane = keras.Input((8, 8, 1), name="plane")
    x = layers.Rescaling(2.0, offset=1.0, name="range")(plane)
    x = layers.SeparableConv2D(2, 1, activation="silu", name="split")(x)
    steps = lowering.of(graph.of(keras.Model(plane, layers.ReLU(name="relu")(x))))
    assert [step.name for step in steps] == [
        "range_scaled",
        "range",
        "split_depthwise",
        "split",
        "split_sigmoid",
        "split_product",
        "relu",
    ]
