from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras
from keras import layers

from converters import graph, quantizable
from edgemed.errors import ConversionError

pytestmark = pytest.mark.tensorflow


def _refusal(build: Callable[[Any], Any], *, shape: tuple[int | None, ...] = (8, 8, 1), dtype: str = "float32") -> str:
    plane = keras.Input(shape, name="plane", dtype=dtype)
    with pytest.raises(ConversionError) as caught:
        quantizable.require(graph.of(keras.Model(plane, build(plane), name="odd")))
    return str(caught.value).removeprefix("odd: cannot be quantized: ")


def _conv(x: Any, **options: Any) -> Any:
    return layers.Conv2D(2, 1, name="conv", **options)(x)


def _norm(x: Any, **options: Any) -> Any:
    return layers.BatchNormalization(name="norm", **options)(x)


def _relu(x: Any, **options: Any) -> Any:
    return layers.ReLU(name="relu", **options)(x)


def _twice(layer: layers.Layer, x: Any) -> Any:
    return layer(layer(x))


def _outputs_of(layer: Callable[[Any], Any], x: Any) -> list[Any]:
    return [x, layer(x)]


def _also_taken(x: Any) -> Any:
    return layers.Add(name="sum")([x, _norm(x)])


def _nested(x: Any) -> Any:
    inside = keras.Input(x.shape[1:])
    return keras.Model(inside, layers.Conv2D(1, 1)(inside), name="inner")(x)


def _with_lora(x: Any) -> Any:
    layer = layers.Dense(2, name="dense")
    made = layer(layers.Flatten()(x))
    layer.enable_lora(1)
    return made


@pytest.mark.parametrize(
    ("build", "message"),
    [
        pytest.param(
            lambda x: _norm(_conv(x, activation="relu")),
            "layer 'norm' comes after the activation of 'conv', expected before it (put a ReLU layer behind it)",
            id="normalisation after an activation",
        ),
        pytest.param(
            lambda x: _also_taken(_conv(x)),
            "layer 'norm' is folded into 'conv', whose own result is also used by 'sum' "
            "(take the normalised result there, or give it a layer of its own)",
            id="convolution with a second consumer",
        ),
        pytest.param(
            lambda x: _outputs_of(_norm, _conv(x)),
            "layer 'norm' is folded into 'conv', whose own result is also used by an output "
            "(take the normalised result there, or give it a layer of its own)",
            id="convolution is an output before its normalisation",
        ),
        pytest.param(
            lambda x: _outputs_of(_relu, _conv(x)),
            "layer 'conv' is an output, but TFLite merges it with 'relu' after it (make that the output)",
            id="convolution is an output before ReLU",
        ),
        pytest.param(
            lambda x: _outputs_of(_relu, _norm(_conv(x))),
            "layer 'norm' is an output, but TFLite merges it with 'relu' after it (make that the output)",
            id="normalisation is an output before ReLU",
        ),
        pytest.param(
            lambda x: _outputs_of(_relu, layers.Add(name="sum")([x, x])),
            "layer 'sum' is an output, but TFLite merges it with 'relu' after it (make that the output)",
            id="sum is an output before ReLU",
        ),
        pytest.param(
            _norm,
            "layer 'norm' is a BatchNormalization that follows no convolution or dense layer "
            "(put it directly behind one)",
            id="normalisation of the input",
        ),
        pytest.param(
            lambda x: _norm(_conv(x), axis=1),
            "layer 'norm' normalises axis 1, expected the last one, -1 (rebuild it with that axis)",
            id="normalisation of another axis",
        ),
        pytest.param(
            lambda x: _norm(_conv(x, kernel_constraint="non_neg")),
            "layer 'norm' is folded into 'conv', whose kernel_constraint would then hold another kernel (leave it out)",
            id="folded kernel with a constraint",
        ),
        pytest.param(
            lambda x: layers.Rescaling(2.0, name="range")(_conv(x)),
            "layer 'range' rescales the result of 'conv', expected the input (fold it into a kernel)",
            id="rescaling inside",
        ),
        pytest.param(
            layers.Rescaling(-1.0, name="range"),
            "layer 'range' has the scale -1.0, expected one number above 0 (fold others into the next kernel)",
            id="negative scale",
        ),
        pytest.param(
            layers.Rescaling([1.0, 2.0], name="range"),
            "layer 'range' has the scale [1.0, 2.0], expected one number above 0 (fold others into the next kernel)",
            id="several scales",
        ),
        pytest.param(
            layers.Rescaling(1.0, offset=[1.0], name="range"),
            "layer 'range' has the offset [1.0], expected one number (fold others into the next bias)",
            id="list of offsets",
        ),
        pytest.param(
            lambda x: _relu(x, negative_slope=0.1),
            "layer 'relu' has negative_slope 0.1, expected 0 (use a plain ReLU)",
            id="leaky ReLU",
        ),
        pytest.param(
            lambda x: _relu(x, threshold=1.0),
            "layer 'relu' has threshold 1.0, expected 0 (use a plain ReLU)",
            id="ReLU with a threshold",
        ),
        pytest.param(
            lambda x: _relu(x, max_value=4.0),
            "layer 'relu' has max_value 4.0, expected none or 6 (use one of them)",
            id="ReLU with another maximum",
        ),
        pytest.param(
            layers.DepthwiseConv2D(3, depth_multiplier=2, name="deep"),
            "layer 'deep' has depth_multiplier 2, expected 1 (use a Conv2D with a group for each channel)",
            id="depth multiplier",
        ),
        pytest.param(
            lambda x: _conv(x, activation="tanh"),
            "layer 'conv' has the activation tanh, expected linear or relu (leave it out, or put a ReLU layer behind)",
            id="activation",
        ),
        pytest.param(
            lambda x: _conv(x, activation=layers.ReLU(6.0)),
            "layer 'conv' has the activation ReLU, expected linear or relu (leave it out, or put a ReLU layer behind)",
            id="activation without a name",
        ),
        pytest.param(
            lambda x: _conv(x, dtype="mixed_float16"),
            "layer 'conv' computes in mixed_float16, expected float32 (rebuild the model with that dtype policy)",
            id="mixed precision",
        ),
        pytest.param(
            layers.MaxPooling2D((2, 1), data_format="channels_first", name="top"),
            "layer 'top' has data_format channels_first, expected channels_last (rebuild the model with it)",
            id="channels first",
        ),
        pytest.param(_with_lora, "layer 'dense' has LoRA weights, expected one kernel (merge them into it)", id="LoRA"),
        pytest.param(
            lambda x: layers.Add(name="sum")([x, x, x]),
            "layer 'sum' adds 3 tensors, expected 2 (chain several: each sum needs a range)",
            id="sum of three",
        ),
        pytest.param(
            lambda x: _twice(layers.Conv2D(1, 1, name="conv"), x),
            "layer 'conv' is used 2 times, expected once (give each call a layer of its own)",
            id="shared layer",
        ),
        pytest.param(
            _nested, "layer 'inner' is a model inside the model (call its layers in the outer one)", id="nested model"
        ),
        pytest.param(
            lambda x: keras.ops.multiply(x, 2.0),
            "operation 'multiply' is Multiply on bare tensors, expected layers only "
            "(use one that does the same, e.g. Add or ReLU)",
            id="operation that is no layer",
        ),
    ],
)
def test_graph_that_would_be_computed_wrongly_is_refused(build: Callable[[Any], Any], message: str) -> None:
    assert _refusal(build).replace("multiply_1", "multiply") == message


@pytest.mark.parametrize(
    ("shape", "dtype", "got"),
    [
        pytest.param((8, 8, 3), "float32", "float32 (8, 8, 3)", id="three channels"),
        pytest.param((None, 8, 1), "float32", "float32 (None, 8, 1)", id="any height"),
        pytest.param((8,), "float32", "float32 (8,)", id="vector"),
        pytest.param((8, 8, 1), "float16", "float16 (8, 8, 1)", id="float16"),
    ],
)
def test_input_that_is_no_plane_is_refused(shape: tuple[int | None, ...], dtype: str, got: str) -> None:
    message = _refusal(lambda x: layers.Flatten()(layers.ReLU()(x)) if len(shape) == 1 else x, shape=shape, dtype=dtype)
    assert message.startswith(f"inputs: expected one plane, float32 (H, W, 1) of fixed size, got {got}")


def test_second_input_is_refused() -> None:
    planes = [keras.Input((8, 8, 1), name=name) for name in ("left", "right")]
    with pytest.raises(ConversionError, match=r"got float32 \(8, 8, 1\), float32 \(8, 8, 1\)"):
        quantizable.require(graph.of(keras.Model(planes, layers.Add()(planes))))


def test_every_problem_is_named_at_once() -> None:
    def build(plane: Any) -> Any:
        x = layers.SeparableConv2D(4, 3, name="split")(plane)
        x = layers.ReLU(negative_slope=0.5, max_value=3.0, name="on")(x)
        return layers.GlobalMaxPooling2D(name="top")(layers.BatchNormalization(name="alone")(x))

    assert _refusal(build) == (
        "layer 'split' is a SeparableConv2D, the nearest supported one is DepthwiseConv2D; "
        "layer 'on' has negative_slope 0.5, expected 0 (use a plain ReLU); "
        "layer 'on' has max_value 3.0, expected none or 6 (use one of them); "
        "layer 'alone' is a BatchNormalization that follows no convolution or dense layer "
        "(put it directly behind one); "
        "layer 'top' is a GlobalMaxPooling2D, the nearest supported one is MaxPooling2D"
    )


def test_layer_that_goes_on_outside_the_model_is_judged_by_the_model() -> None:
    plane = keras.Input((8, 8, 1), name="plane")
    last = layers.Conv2D(2, 1, name="last")
    made = keras.Model(plane, last(plane))
    layers.ReLU()(made.output)
    last(plane)
    found = graph.of(made)
    quantizable.require(found)
    assert quantizable.merged_into(last, found) is None


def test_numpy_numbers_are_numbers() -> None:
    plane = keras.Input((8, 8, 1), name="plane")
    scaled = layers.Rescaling(np.float32(0.5), offset=np.float64(-1))(plane)
    quantizable.require(graph.of(keras.Model(plane, scaled)))
