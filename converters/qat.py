"""Quantization-aware training for Keras 3: a float model becomes its fake-quantized twin.

What the twin computes is what int8 TFLite computes, up to rounding inside the kernels:

- BatchNormalization is folded into the convolution or dense layer before it, as TFLite does;
- weights are int8, symmetric, in [-127, 127]: convolutions per output channel, dense layers per tensor;
- activations are int8 per tensor, asymmetric, with a tracked range that always holds 0. A quantizer stands where
  TFLite stores a tensor: after an activation that TFLite fuses, not before it.

Fake quantization goes through ``keras.quantizers``, which on TensorFlow emits the operators that the TFLite
converter recognises, and trains on Keras' other backends as well.

Graphs of which this cannot be kept are refused: `converters.quantizable`.

    twin = qat.quantization_aware(model)
    qat.calibrate(twin, planes)
    twin.fit(...)

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
CVPR 2018.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from converters import graph, quantizable
from converters.graph import Graph
from converters.quantizable import REMOVED, SAME_RANGE, WEIGHTED

__all__ = [
    "ActivationQuantizer",
    "QuantizedConv2D",
    "QuantizedDense",
    "QuantizedDepthwiseConv2D",
    "QuantizedRescaling",
    "batches",
    "calibrate",
    "quantization_aware",
]

PLANE_RANGE = (0.0, 255.0)  # grey levels of the input plane


@keras.saving.register_keras_serializable("edgemed")
class ActivationQuantizer(layers.Layer):
    """Fake-quantize a tensor to 8 bits over the range it was seen to take.

    Args:
        momentum: of the moving average over batches while training; the first batch sets the range. None keeps the
            widest range seen, for outputs whose extremes must not be clipped.
        fixed: (low, high) known beforehand; nothing is tracked then.
    """

    def __init__(
        self, *, momentum: float | None = 0.99, fixed: tuple[float, float] | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.momentum = momentum
        self.fixed = None if fixed is None else (float(fixed[0]), float(fixed[1]))

    def build(self, input_shape: Any) -> None:
        """Create the range: 0..0 until a batch was seen."""
        low, high = self.fixed or (0.0, 0.0)
        self.low = self.add_weight(name="low", shape=(), initializer=keras.initializers.Constant(low), trainable=False)
        self.high = self.add_weight(
            name="high", shape=(), initializer=keras.initializers.Constant(high), trainable=False
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the inputs rounded to the 256 levels of the range, which training widens or moves."""
        if training and self.fixed is None:
            self._track(inputs)
        # An empty range would divide by zero before the first batch.
        high = ops.maximum(self.high, self.low + 1e-6)
        return keras.quantizers.fake_quant_with_min_max_vars(inputs, self.low, high, num_bits=8)

    def _track(self, inputs: Any) -> None:
        low = ops.minimum(ops.min(inputs), 0.0)
        high = ops.maximum(ops.max(inputs), 0.0)
        if self.momentum is None:
            self.low.assign(ops.minimum(self.low, low))
            self.high.assign(ops.maximum(self.high, high))
            return
        unseen = ops.cast(ops.equal(self.low, self.high), self.low.dtype)
        share = (1.0 - self.momentum) * (1.0 - unseen) + unseen
        self.low.assign(self.low + share * (low - self.low))
        self.high.assign(self.high + share * (high - self.high))

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "momentum": self.momentum, "fixed": self.fixed}


def _fake_quantized(kernel: Any, *, axis: int | None) -> Any:
    """Return a kernel rounded to int8, symmetric, its largest magnitude standing for 127.

    Args:
        kernel: of any rank.
        axis: that of the output channels, each of which gets a scale: 3 of a convolution's kernel (h, w, in, out); 2 of
            a depthwise kernel (h, w, channels, 1), where every input channel makes one output channel. None: one scale.
    """
    others = tuple(other for other in range(len(kernel.shape)) if other != axis)
    # 2**-20 keeps the scale of an all-zero channel positive; the step through the limit is no direction for training.
    limit = ops.stop_gradient(ops.maximum(ops.max(ops.abs(kernel), axis=others), 2.0**-20))
    return keras.quantizers.fake_quant_with_min_max_vars(
        kernel, -limit, limit, num_bits=8, narrow_range=True, axis=axis
    )


@keras.saving.register_keras_serializable("edgemed")
class QuantizedConv2D(layers.Conv2D):
    """Conv2D whose kernel is fake-quantized per output channel."""

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Return the convolution with the rounded kernel."""
        return super().convolution_op(inputs, _fake_quantized(kernel, axis=3))


@keras.saving.register_keras_serializable("edgemed")
class QuantizedDepthwiseConv2D(layers.DepthwiseConv2D):
    """DepthwiseConv2D of multiplier 1 whose kernel is fake-quantized per channel."""

    def call(self, inputs: Any) -> Any:
        """Return the convolution with the rounded kernel."""
        outputs = ops.depthwise_conv(
            inputs,
            _fake_quantized(self.kernel, axis=2),  # (h, w, channels, 1)
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        if self.use_bias:
            outputs = ops.add(outputs, ops.reshape(self.bias, (1, 1, 1, -1)))
        return self.activation(outputs) if self.activation is not None else outputs


@keras.saving.register_keras_serializable("edgemed")
class QuantizedDense(layers.Dense):
    """Dense whose kernel is fake-quantized with one scale: the TFLite converter refuses a trained one per unit."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the product with the rounded kernel."""
        outputs = ops.matmul(inputs, _fake_quantized(self.kernel, axis=None))
        if self.use_bias:
            outputs = ops.add(outputs, self.bias)
        return self.activation(outputs) if self.activation is not None else outputs


def _with_zero(low: float, high: float) -> tuple[float, float]:
    """Return the range widened to hold 0, which int8 must be able to express."""
    return min(low, 0.0), max(high, 0.0)


@keras.saving.register_keras_serializable("edgemed")
class QuantizedRescaling(layers.Layer):
    """Scale, then shift, both to 8 bits: TFLite runs them as two operators with a tensor between.

    Args:
        scale: factor, above 0.
        offset: added after the factor.
        source: (low, high) of the input, which fixes both ranges.
    """

    def __init__(self, *, scale: float, offset: float, source: tuple[float, float], **options: Any) -> None:
        super().__init__(**options)
        self.scale, self.offset, self.source = float(scale), float(offset), (float(source[0]), float(source[1]))
        low, high = (edge * self.scale for edge in self.source)
        self.scaled = ActivationQuantizer(fixed=_with_zero(low, high), name="scaled")
        self.shifted = ActivationQuantizer(fixed=_with_zero(low + self.offset, high + self.offset), name="shifted")

    def build(self, input_shape: Any) -> None:
        """Build the two quantizers."""
        self.scaled.build(input_shape)
        self.shifted.build(input_shape)

    def call(self, inputs: Any) -> Any:
        """Return inputs * scale + offset."""
        outputs = self.scaled(inputs * self.scale)
        return self.shifted(outputs + self.offset) if self.offset else outputs

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "scale": self.scale, "offset": self.offset, "source": self.source}


def quantization_aware(model: keras.Model) -> keras.Model:
    """Return the fake-quantized twin of a float model, with its weights, its ranges still unseen.

    Args:
        model: functional, one input plane of grey levels 0..255, built from `converters.quantizable.SUPPORTED`.

    Raises:
        ConversionError: the model is not functional, or has layers that cannot be quantized; all are named.
    """
    found = graph.of(model)
    quantizable.require(found)
    folded = _folded(found)

    def call(layer: layers.Layer, *args: Any, **kwargs: Any) -> Any:
        args = keras.tree.map_structure(lambda value: plane_range(value) if _is_plane(value) else value, args)
        result = args[0] if isinstance(layer, layers.Identity) else layer(*args, **kwargs)
        quantizer = quantizers.get(layer.name)
        return quantizer(result) if quantizer is not None else result

    # Without it the input's scale would come from the representative set.
    plane_range = ActivationQuantizer(fixed=PLANE_RANGE, name="plane_range")
    quantizers = {layer.name: _quantizer(layer, found) for layer in model.layers if _is_stored(layer, found)}
    twin = keras.models.clone_model(model, clone_function=lambda layer: _clone(layer, folded), call_function=call)
    _copy_weights(model, twin, folded)
    return twin


def _is_plane(value: Any) -> bool:
    return isinstance(value, keras.KerasTensor) and isinstance(value._keras_history.operation, layers.InputLayer)


def calibrate(twin: keras.Model, planes: NDArray[np.uint8], *, batch: int = 32) -> None:
    """Set every range of a twin from real planes, without training.

    Args:
        twin: result of `quantization_aware`.
        planes: (N, H, W) uint8, N >= 1, of the train split.
        batch: planes a step.

    Raises:
        ValueError: no plane was given.
    """
    if len(planes) == 0:
        raise ValueError("planes: expected at least one, got none")
    for stack in batches(planes, batch):
        twin(stack, training=True)


def _folded(found: Graph) -> dict[str, layers.BatchNormalization]:
    """Return the normalisation to fold into each weighted layer, by that layer's name."""
    norms = (layer for layer in found.operations if isinstance(layer, layers.BatchNormalization))
    return {found.sources[norm.name][0].name: norm for norm in norms}


def _is_stored(layer: layers.Layer, found: Graph) -> bool:
    """Tell whether TFLite stores this layer's output with a range of its own."""
    if isinstance(layer, (*REMOVED, *SAME_RANGE, layers.InputLayer, layers.Rescaling)):
        return False
    return quantizable.merged_into(layer, found) is None


def _quantizer(layer: layers.Layer, found: Graph) -> ActivationQuantizer:
    return ActivationQuantizer(momentum=None if _is_output(layer, found) else 0.99, name=f"{layer.name}_range")


def _is_output(layer: layers.Layer, found: Graph) -> bool:
    """Tell whether the values of this layer leave the model, perhaps through layers that keep its range."""
    keeping = [after for after in found.followers[layer.name] if isinstance(after, (*REMOVED, *SAME_RANGE))]
    return layer.name in found.outputs or any(_is_output(after, found) for after in keeping)


_QUANTIZED: dict[type[layers.Layer], type[layers.Layer]] = {
    layers.Conv2D: QuantizedConv2D,
    layers.DepthwiseConv2D: QuantizedDepthwiseConv2D,
    layers.Dense: QuantizedDense,
}


def _clone(layer: layers.Layer, folded: dict[str, layers.BatchNormalization]) -> layers.Layer:
    config = layer.get_config()
    if isinstance(layer, (layers.BatchNormalization, *REMOVED)):
        return layers.Identity(name=layer.name)
    if isinstance(layer, layers.Rescaling):
        return QuantizedRescaling(scale=layer.scale, offset=layer.offset, source=PLANE_RANGE, name=layer.name)
    if type(layer) in _QUANTIZED:
        config["use_bias"] = layer.use_bias or layer.name in folded
        return _QUANTIZED[type(layer)].from_config(config)
    return type(layer).from_config(config)


def _copy_weights(model: keras.Model, twin: keras.Model, folded: dict[str, layers.BatchNormalization]) -> None:
    for layer in model.layers:
        if not isinstance(layer, WEIGHTED):
            continue
        kernel, *bias = layer.get_weights()
        if layer.name in folded:
            kernel, bias = _fold(layer, kernel, bias, folded[layer.name])
        twin.get_layer(layer.name).set_weights([kernel, *bias])


def _fold(
    layer: layers.Layer, kernel: NDArray[np.float32], bias: list[NDArray[np.float32]], norm: layers.BatchNormalization
) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """Return kernel * g and (bias - mean) * g + beta with g = gamma / sqrt(variance + epsilon)."""
    gain = 1.0 / np.sqrt(np.asarray(norm.moving_variance, np.float64) + norm.epsilon)
    if norm.scale:
        gain = gain * np.asarray(norm.gamma, np.float64)
    shift = -np.asarray(norm.moving_mean, np.float64) * gain
    if bias:
        shift = shift + bias[0] * gain
    if norm.center:
        shift = shift + np.asarray(norm.beta, np.float64)
    # A depthwise kernel is (h, w, channels, 1).
    shape = kernel.shape[-2:] if isinstance(layer, layers.DepthwiseConv2D) else kernel.shape[-1:]
    return (kernel * gain.reshape(shape)).astype(np.float32), [shift.astype(np.float32)]


def batches(planes: NDArray[np.uint8], size: int) -> Iterable[NDArray[np.float32]]:
    """Yield float32 (n, H, W, 1) batches of planes, n <= size, in order."""
    for start in range(0, len(planes), size):
        yield planes[start : start + size, ..., np.newaxis].astype(np.float32)
