"""Small networks that between them have every layer that can be quantized, in the orders that people write.

Each is a function without arguments; inputs named ``plane`` take grey levels 0..255, others 0..1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

__all__ = ["NETWORKS", "inputs_of", "ranges_of", "with_weights"]


def _ended(inputs: Any, features: Any) -> keras.Model:
    pooled = layers.GlobalAveragePooling2D(name="pooled")(features)
    return keras.Model(inputs, {"logit": layers.Dense(2, name="logit")(pooled), "features": features}, name="net")


def convolutions() -> keras.Model:
    """Kernels of each kind, with and without bias, folded and not, dilated, grouped, strided."""
    plane = keras.Input((32, 32, 1), name="plane")
    x = layers.Conv2D(8, 3, strides=2, name="biased")(layers.Rescaling(1 / 64, offset=0.5, name="range")(plane))
    x = layers.ReLU(name="biased_relu")(layers.BatchNormalization(name="biased_norm")(x))
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, dilation_rate=2, name="deep")(x)
    x = kept = layers.BatchNormalization(center=False, name="deep_norm")(x)
    x = layers.Conv2D(16, 1, groups=2, use_bias=False, name="grouped")(layers.Dropout(0.5)(x))
    x = layers.BatchNormalization(scale=False, name="grouped_norm")(x)
    x = layers.ReLU(6.0, name="sum_relu")(layers.Add(name="sum")([kept, x]))
    x = layers.SeparableConv2D(8, 3, depth_multiplier=2, dilation_rate=2, activation="relu6", name="separable")(x)
    x = layers.SpatialDropout2D(0.5)(layers.BatchNormalization(name="alone")(x))
    x = layers.Conv2DTranspose(6, 3, strides=2, padding="same", name="transposed")(x)
    return _ended(plane, layers.ReLU(name="transposed_relu")(layers.BatchNormalization(name="last_norm")(x)))


def activations() -> keras.Model:
    """Every function of one value, as a layer, as an argument or as an operation, side by side."""
    frame = keras.Input((16, 16, 2), name="frame")
    features = layers.Conv2D(6, 3, name="features")(frame)

    def given(name: str, **options: Any) -> Any:
        return layers.Conv2D(3, 1, name=f"{name}_conv", **options)(features)

    outputs = {
        "leaky": given("leaky", activation="leaky_relu"),
        "leaky_layer": layers.LeakyReLU(negative_slope=0.3)(given("leaky_layer")),
        "prelu": layers.PReLU(shared_axes=[1, 2])(given("prelu")),
        "elu": given("elu", activation="elu"),
        "elu_layer": layers.ELU()(given("elu_layer")),
        "gelu": layers.Activation("gelu")(given("gelu")),
        "hard_swish": layers.Activation("hard_silu")(given("hard_swish")),
        "hard_sigmoid": given("hard_sigmoid", activation="hard_sigmoid"),
        "swish": given("swish", activation="silu"),
        "tanh": given("tanh", activation="tanh"),
        "sigmoid": given("sigmoid", activation="sigmoid"),
        "by_operations": ops.relu6(given("by_operations") + 3.0) * (1 / 6),
        "capped": layers.ReLU(max_value=0.8)(given("capped")),
        "softmax": layers.Softmax()(layers.Dense(3, name="dense")(layers.Flatten()(given("softmax")))),
    }
    return keras.Model(frame, outputs, name="activations")


def pools() -> keras.Model:
    """Layers that move, pick and average, and ReLU behind them."""
    frame = keras.Input((16, 16, 2), name="frame")
    x = layers.MaxPooling2D(2, name="largest")(layers.Conv2D(6, 3, padding="same", name="conv")(frame))
    x = layers.ReLU(name="behind_largest")(x)
    x = layers.UpSampling2D(2, name="nearest")(layers.ZeroPadding2D(1, name="padded")(x))
    x = layers.AveragePooling2D(2, padding="same", name="mean")(layers.Conv2D(6, 3, name="second")(x))
    x = layers.UpSampling2D((2, 3), interpolation="bilinear", name="bilinear")(layers.ReLU(name="behind_mean")(x))
    x = layers.Cropping2D(1, name="cropped")(layers.Resizing(12, 14, name="resized")(x))
    x = layers.Permute((2, 1, 3), name="turned")(x)
    peak = layers.GlobalMaxPooling2D(name="peak")(x)
    x = layers.BatchNormalization(name="row_norm")(layers.Reshape((-1, 6), name="rows")(x))
    return keras.Model(frame, [peak, layers.Dense(3, name="each_row")(x)], name="pools")


def several() -> keras.Model:
    """Two inputs, shared and nested layers, sums of three, products, shared ranges, a normalisation ahead."""
    left, right = (keras.Input((16, 16, 1), name=name) for name in ("plane", "other"))
    shared, norm = layers.Conv2D(4, 3, padding="same", name="shared"), layers.BatchNormalization(name="norm")
    x, y = layers.ReLU(name="left_relu")(norm(shared(left))), layers.ReLU(name="right_relu")(norm(shared(right)))
    gate = layers.Conv2D(2, 1, activation="sigmoid", name="gate")(x)
    joined = layers.Concatenate(name="joined")([x, y, gate])
    x = layers.Add(name="sum")([x, y, layers.Conv2D(4, 1, name="mixed")(joined)])
    inside = keras.Input((16, 16, 4), name="inside")
    inner = keras.Model(
        inside, layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(inside), name="inner"
    )
    x = layers.Subtract(name="difference")([inner(inner(x)), x])
    scale = layers.GlobalAveragePooling2D(keepdims=True, name="squeezed")(x)
    x = layers.Multiply(name="weighed")([x, layers.Conv2D(4, 1, activation="sigmoid", name="excited")(scale)])
    return _ended([left, right], x)


def dense_block() -> keras.Model:
    """Concatenations in a row, each behind a normalisation that stands alone: one range for all of them."""
    frame = keras.Input((16, 16, 3), name="plane")
    normalized = layers.Normalization(mean=[0.4, 0.5, 0.45], variance=[0.05, 0.04, 0.06], name="standard")
    x = layers.Rescaling([1.1, 1.2, 0.9], name="channels")(normalized(layers.Rescaling(1 / 255, name="unit")(frame)))
    x = layers.Conv2D(4, 3, padding="same", name="first")(x)
    for number in range(3):
        y = layers.ReLU(name=f"relu{number}")(layers.BatchNormalization(name=f"norm{number}")(x))
        y = layers.Conv2D(4, 3, padding="same", name=f"conv{number}")(y)
        x = layers.Concatenate(name=f"joined{number}")([x, y])
    return _ended(frame, layers.ReLU(name="last_relu")(x))


def sequential() -> keras.Model:
    """A Sequential model as tutorials write it, with layers that do nothing outside training."""
    return keras.Sequential(
        [
            keras.Input((16, 16, 1), name="plane"),
            layers.RandomFlip("horizontal"),
            layers.GaussianNoise(0.1),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Identity(),
            layers.Flatten(),
            layers.Dense(8, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ],
        name="sequential",
    )


NETWORKS: dict[str, Callable[[], keras.Model]] = {
    made.__name__: made for made in (convolutions, activations, pools, several, dense_block, sequential)
}


def with_weights(model: keras.Model, *, seed: int = 11) -> keras.Model:
    """Give every layer weights of its own: at initial normalisation, a missing fold would not show.

    Kernels keep the signal's size, so that what differs between inputs reaches the outputs.
    """
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        kind, shape = weight.path.split("/")[-1], tuple(weight.shape)
        if kind in _DRAWS:
            weight.assign(_DRAWS[kind](rng, shape))
        elif kind.endswith("kernel"):
            # A depthwise kernel sums over its window, a transposed one (h, w, out, in) over its last axis.
            others = shape[:2] if "depthwise" in weight.path or "deep" in weight.path else shape[:-1]
            weight.assign(rng.normal(0, np.sqrt(2 / np.prod(others)), shape))
    return model


_DRAWS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "moving_variance": lambda rng, shape: rng.uniform(0.5, 1.5, shape),
    "moving_mean": lambda rng, shape: rng.normal(0, 0.3, shape),
    "gamma": lambda rng, shape: rng.uniform(0.5, 2.0, shape),
    "beta": lambda rng, shape: rng.normal(0, 0.3, shape),
    "bias": lambda rng, shape: rng.normal(0, 0.3, shape),
    "alpha": lambda rng, shape: rng.uniform(0.1, 0.4, shape),
}


def inputs_of(model: keras.Model, *, count: int = 32, seed: int = 5) -> dict[str, np.ndarray]:
    """Return inputs that differ as pictures do, by name: in brightness, contrast and where things are."""
    rng = np.random.default_rng(seed)
    made = {}
    for tensor in model.inputs:
        height, width, channels = tensor.shape[1:]
        coarse = rng.integers(0, 256, (count, 4, 4, channels)).repeat(height // 4, axis=1).repeat(width // 4, axis=2)
        levels = np.clip(coarse + rng.normal(0, 12, coarse.shape), 0, 255).round().astype(np.float32)
        made[tensor.name] = levels if tensor.name == "plane" else levels / 255
    return made


def ranges_of(model: keras.Model) -> dict[str, tuple[float, float]]:
    """Return the known ranges of inputs."""
    return {tensor.name: (0.0, 255.0) for tensor in model.inputs if tensor.name == "plane"}
