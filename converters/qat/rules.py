"""For each layer that can be quantized, the steps that one call of it comes down to.

Values are read from the layers here; nothing of the float model is kept or changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from converters.graph import Call
from converters.qat import functions
from converters.qat import layers as quantized
from converters.qat.parts import Part, Refusal
from converters.qat.steps import Activate, Affine, Copy, Join, Kind, Pool, Share, Weighted

__all__ = ["LAYERS"]

_CONSTRAINTS = ("kernel_constraint", "depthwise_constraint", "bias_constraint")


def _weighted(kind: type[layers.Layer]) -> Callable[[Call], list[Part]]:
    def rule(call: Call) -> list[Part]:
        layer = call.operation
        behind = functions.activation(layer.activation)
        kernel, *bias = (np.asarray(value, np.float32) for value in layer.get_weights())
        made = Weighted(
            owner=(id(layer), ""),
            quantized=kind,
            # A layer that was frozen in transfer learning trains on: rounding moved it like any other.
            config={**layer.get_config(), "activation": "linear", "trainable": True},
            kernel=kernel,
            bias=bias[0] if bias else None,
            foldable=all(getattr(layer, name, None) is None for name in _CONSTRAINTS),
        )
        return [Part(does=made), *behind]

    return rule


def _separable(call: Call) -> list[Part]:
    """Return a depthwise convolution and one of 1 x 1: TFLite stores what lies between."""
    layer = call.operation
    depthwise, pointwise, *bias = (np.asarray(value, np.float32) for value in layer.get_weights())
    config = layer.get_config()
    shared = {name: config[name] for name in ("data_format",)}
    spatial = {name: config[name] for name in ("kernel_size", "strides", "padding", "dilation_rate")}
    first = Weighted(
        owner=(id(layer), "depthwise"),
        quantized=quantized.QuantizedDepthwiseConv2D,
        config={**shared, **spatial, "depth_multiplier": layer.depth_multiplier, "use_bias": False},
        kernel=depthwise,
        bias=None,
    )
    second = Weighted(
        owner=(id(layer), ""),
        quantized=quantized.QuantizedConv2D,
        config={**shared, "filters": layer.filters, "kernel_size": 1, "use_bias": layer.use_bias},
        kernel=pointwise,
        bias=bias[0] if bias else None,
    )
    parts = [Part(suffix="depthwise", does=first), Part(does=second)]
    return [*parts, *functions.activation(layer.activation)]


def _batch_normalization(call: Call) -> list[Part]:
    layer = call.operation
    if layer.axis not in (-1, call.rank - 1):
        raise Refusal(f"normalises axis {layer.axis}, expected the last one, -1 (rebuild it with that axis)")
    gain = 1.0 / np.sqrt(_double(layer.moving_variance) + layer.epsilon)
    if layer.scale:
        gain = gain * _double(layer.gamma)
    shift = -_double(layer.moving_mean) * gain
    if layer.center:
        shift = shift + _double(layer.beta)
    return [Part(does=Affine(owner=(id(layer), ""), gain=gain, shift=shift))]


def _normalization(call: Call) -> list[Part]:
    layer = call.operation
    if layer.invert:
        raise Refusal("has invert=True, expected False (use a Rescaling layer)")
    deviation = np.maximum(np.sqrt(_double(layer.variance)), keras.config.epsilon())
    gain, shift = 1.0 / deviation, -_double(layer.mean) / deviation
    return _affine(call, gain, shift, advice="normalise the last axis only, or none")


def _rescaling(call: Call) -> list[Part]:
    layer = call.operation
    gain, shift = np.broadcast_arrays(_double(layer.scale), _double(layer.offset))
    return _affine(call, gain, shift, advice="give one number, or one for each channel")


def _affine(call: Call, gain: NDArray[np.float64], shift: NDArray[np.float64], *, advice: str) -> list[Part]:
    """Return one number for all values as constants, one for each channel as an affine step."""
    if not (np.isfinite(gain).all() and np.isfinite(shift).all()):
        raise Refusal("has a scale, an offset, a mean or a variance that is no finite number")
    if gain.size == 1:
        return functions.constants(float(gain.reshape(())), float(shift.reshape(()))) or [Part(does=Copy())]
    if gain.size != gain.shape[-1]:
        raise Refusal(f"has factors of shape {gain.shape}, expected one, or one a channel ({advice})")
    return [Part(does=Affine(owner=(id(call.operation), ""), gain=gain.ravel(), shift=shift.ravel()))]


def _double(values: Any) -> NDArray[np.float64]:
    return np.asarray(keras.ops.convert_to_numpy(values), np.float64)


def _relu(call: Call) -> list[Part]:
    layer = call.operation
    if layer.threshold:
        raise Refusal(f"has threshold {float(layer.threshold):g}, expected 0 (shift its input instead)")
    limit = None if layer.max_value is None else float(layer.max_value)
    if not layer.negative_slope:
        return functions.relu(limit)
    if limit is not None:
        raise Refusal("has negative_slope and max_value, expected one of them")
    return functions.leaky_relu(float(layer.negative_slope))


def _prelu(call: Call) -> list[Part]:
    layer = call.operation
    (alpha,) = layer.get_weights()
    config = {**layer.get_config()}

    def made(name: str) -> layers.Layer:
        copy = quantized.QuantizedPReLU.from_config({**config, "name": name})
        copy.build((None, *alpha.shape))
        copy.set_weights([alpha])
        return copy

    return [Part(does=Activate(kind=Kind.PRELU, layer=made, owner=(id(layer), "")))]


def _elu(call: Call) -> list[Part]:
    if call.operation.alpha != 1.0:
        raise Refusal(f"has alpha {call.operation.alpha}, expected 1, the only one TFLite has (use it, or LeakyReLU)")
    return functions.activation(keras.activations.elu)


def _softmax(call: Call) -> list[Part]:
    if call.operation.axis not in (-1, call.rank - 1):
        raise Refusal(f"runs along axis {call.operation.axis}, expected the last one, -1 (permute its input)")
    return functions.activation(keras.activations.softmax)


def _join(kind: type[layers.Layer]) -> Callable[[Call], list[Part]]:
    """Return the rule of a sum or product: several inputs make a chain, as each partial result has a range."""

    def rule(call: Call) -> list[Part]:
        made = Join(layer=lambda name: kind(name=name))
        between = [
            Part(suffix=f"part{place}", does=made, takes=(-1 if place > 1 else 0, place))
            for place in range(1, len(call.sources) - 1)
        ]
        return [*between, Part(does=made, takes=(-1 if between else 0, len(call.sources) - 1))]

    return rule


def _concatenate(call: Call) -> list[Part]:
    config = call.operation.get_config()
    return [Part(does=Share(layer=lambda name, _: layers.Concatenate.from_config({**config, "name": name})))]


def _moved(call: Call) -> list[Part]:
    """Return a layer that moves values or picks among them."""
    return [Part(does=Share(layer=_same(call.operation)))]


def _max_pooling(call: Call) -> list[Part]:
    return [Part(does=Share(layer=_same(call.operation), takes_relu=True))]


def _average_pooling(call: Call) -> list[Part]:
    return [Part(does=Share(layer=_same(call.operation), rounds=True, takes_relu=True))]


def _same(layer: layers.Layer) -> Callable[[str, Any], layers.Layer]:
    kind, config = type(layer), layer.get_config()
    return lambda name, _: kind.from_config({**config, "name": name})


def _global_average(call: Call) -> list[Part]:
    kind, config = type(call.operation), call.operation.get_config()
    return [Part(does=Pool(layer=lambda name: kind.from_config({**config, "name": name})))]


def _up_sampling(call: Call) -> list[Part]:
    """Return a resize of fixed size: Keras repeats rows and columns, which TFLite turns into reshapes and tiles."""
    layer = call.operation
    _require_interpolation(layer)

    def made(name: str, shape: tuple[int | None, ...]) -> layers.Layer:
        height, width = (int(side or 0) * factor for side, factor in zip(shape[1:3], layer.size, strict=True))
        return layers.Resizing(height, width, interpolation=layer.interpolation, name=name)

    return [Part(does=Share(layer=made, rounds=layer.interpolation == "bilinear"))]


def _resizing(call: Call) -> list[Part]:
    layer = call.operation
    _require_interpolation(layer)
    for option in ("crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias"):
        if getattr(layer, option):
            raise Refusal(f"has {option}=True, expected False (do it in preprocessing)")
    return [Part(does=Share(layer=_same(layer), rounds=layer.interpolation == "bilinear"))]


def _require_interpolation(layer: Any) -> None:
    if layer.interpolation not in ("nearest", "bilinear"):
        raise Refusal(f"has the interpolation {layer.interpolation}, expected nearest or bilinear")


def _copied(_: Call) -> list[Part]:
    return [Part(does=Copy())]


def _activation_layer(call: Call) -> list[Part]:
    return functions.activation(call.operation.activation) or [Part(does=Copy())]


LAYERS: dict[type[layers.Layer], Callable[[Call], list[Part]]] = {
    layers.Conv2D: _weighted(quantized.QuantizedConv2D),
    layers.DepthwiseConv2D: _weighted(quantized.QuantizedDepthwiseConv2D),
    layers.SeparableConv2D: _separable,
    layers.Conv2DTranspose: _weighted(quantized.QuantizedConv2DTranspose),
    layers.Dense: _weighted(quantized.QuantizedDense),
    layers.BatchNormalization: _batch_normalization,
    layers.Normalization: _normalization,
    layers.Rescaling: _rescaling,
    layers.ReLU: _relu,
    layers.LeakyReLU: lambda call: functions.leaky_relu(float(call.operation.negative_slope)),
    layers.PReLU: _prelu,
    layers.ELU: _elu,
    layers.Softmax: _softmax,
    layers.Activation: _activation_layer,
    layers.Add: _join(layers.Add),
    layers.Subtract: _join(layers.Subtract),
    layers.Multiply: _join(layers.Multiply),
    layers.Concatenate: _concatenate,
    layers.MaxPooling2D: _max_pooling,
    layers.AveragePooling2D: _average_pooling,
    layers.GlobalAveragePooling2D: _global_average,
    layers.GlobalMaxPooling2D: _moved,
    layers.UpSampling2D: _up_sampling,
    layers.Resizing: _resizing,
    layers.ZeroPadding2D: _moved,
    layers.Cropping2D: _moved,
    layers.Flatten: _moved,
    layers.Reshape: _moved,
    layers.Permute: _moved,
    layers.Dropout: _copied,
    layers.SpatialDropout2D: _copied,
    layers.GaussianDropout: _copied,
    layers.GaussianNoise: _copied,
    layers.ActivityRegularization: _copied,
    layers.RandomBrightness: _copied,
    layers.RandomContrast: _copied,
    layers.RandomFlip: _copied,
    layers.RandomRotation: _copied,
    layers.RandomTranslation: _copied,
    layers.RandomZoom: _copied,
    layers.Identity: _copied,
}
