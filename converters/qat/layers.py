"""Keras layers that compute what int8 TFLite computes: kernels and activations rounded to 8 bits, in float.

Rounding goes through ``keras.quantizers``, which on TensorFlow emits the operators that the TFLite converter
recognises, and trains on Keras' other backends as well. The gradient passes rounding unchanged and stops at the ends
of a range.

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
CVPR 2018; TensorFlow Lite 8-bit quantization specification.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

__all__ = [
    "ActivationQuantizer",
    "CappedReLU",
    "HardSwish",
    "QuantizedConv2D",
    "QuantizedConv2DTranspose",
    "QuantizedDense",
    "QuantizedDepthwiseConv2D",
    "QuantizedPReLU",
    "Range",
    "Scaled",
    "Shifted",
]

Range = tuple[float, float]
"""Lowest and highest value of a tensor, in its own unit."""


@keras.saving.register_keras_serializable("edgemed")
class ActivationQuantizer(layers.Layer):
    """Fake-quantize one tensor, or several that share one range, to 8 bits over the values they were seen to take.

    Each of the tensors is a slot with limits of its own; the range in force spans all slots and 0. While training,
    limits follow the mean over batches: the plain mean of the first 1 / (1 - momentum) batches, a moving one from then
    on.

    Args:
        slots: tensors that share the range.
        momentum: of the moving mean, 0 <= momentum < 1; None keeps the widest limits seen, for outputs, whose extremes
            must not be clipped.
        fixed: for each slot (low, high) where it is known beforehand, or None where it is tracked; None: all tracked.
        symmetric: zero point 0 and scale max|x| / 127, as TensorRT wants it.
    """

    def __init__(
        self,
        *,
        slots: int = 1,
        momentum: float | None = 0.99,
        fixed: Sequence[Range | None] | None = None,
        symmetric: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        known = [None] * slots if fixed is None else [None if one is None else tuple(map(float, one)) for one in fixed]
        if len(known) != slots:
            raise ValueError(f"fixed: expected {slots} entries, one a slot, got {len(known)}")
        self.slots, self.momentum, self.fixed, self.symmetric = slots, momentum, known, symmetric

    def build(self, input_shape: Any) -> None:
        """Create the limits: 0..0 until a batch was seen."""
        starts = np.array([known or (0.0, 0.0) for known in self.fixed], np.float32)
        self.low = self._limit("low", starts[:, 0])
        self.high = self._limit("high", starts[:, 1])
        self.seen = self._limit("seen", np.zeros(self.slots, np.float32))

    def _limit(self, name: str, values: Any) -> Any:
        def start(shape: Any, dtype: Any = None) -> Any:
            return ops.convert_to_tensor(values, dtype=dtype)

        return self.add_weight(name=name, shape=(self.slots,), initializer=start, trainable=False)

    def call(self, inputs: Any, slot: int = 0, training: bool | None = None) -> Any:
        """Return the inputs rounded to the 256 levels of the range, which training widens or moves."""
        if training and self.fixed[slot] is None:
            self._track(inputs, slot)
        low, high = self._range()
        return keras.quantizers.fake_quant_with_min_max_vars(inputs, low, high, num_bits=8)

    @property
    def range(self) -> Range:
        """The range in force."""
        low, high = self._range()
        return float(ops.convert_to_numpy(low)), float(ops.convert_to_numpy(high))

    def _range(self) -> tuple[Any, Any]:
        low = ops.minimum(ops.min(self.low), 0.0)
        # An empty range would divide by zero before the first batch.
        high = ops.maximum(ops.maximum(ops.max(self.high), 0.0), low + 1e-6)
        if not self.symmetric:
            return low, high
        limit = ops.maximum(-low, high)
        return -limit * (128 / 127), limit

    def _track(self, inputs: Any, slot: int) -> None:
        here = ops.one_hot(slot, self.slots, dtype="float32")
        low, high = ops.cast(ops.min(inputs), "float32"), ops.cast(ops.max(inputs), "float32")
        if self.momentum is None:
            # The range holds 0 anyway, where the limits start: a slot that is not this one gets 0 added.
            self.low.assign(ops.minimum(self.low, here * low))
            self.high.assign(ops.maximum(self.high, here * high))
        else:
            share = here * ops.maximum(1.0 / (self.seen + 1.0), 1.0 - self.momentum)
            self.low.assign(self.low + share * (low - self.low))
            self.high.assign(self.high + share * (high - self.high))
        self.seen.assign(self.seen + here)

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        own = {"slots": self.slots, "momentum": self.momentum, "fixed": self.fixed, "symmetric": self.symmetric}
        return {**super().get_config(), **own}


def _rounded(kernel: Any, *, axis: int | None) -> Any:
    """Return a kernel rounded to int8, symmetric, its largest magnitude standing for 127.

    Args:
        kernel: of any rank.
        axis: that of the output channels, each of which gets a scale; None: one scale for all.
    """
    others = tuple(other for other in range(len(kernel.shape)) if other != axis)
    # 2**-20 keeps the scale of an all-zero channel positive; the step through the limit is no direction for training.
    limit = ops.stop_gradient(ops.maximum(ops.max(ops.abs(kernel), axis=others), 2.0**-20))
    return keras.quantizers.fake_quant_with_min_max_vars(
        kernel, -limit, limit, num_bits=8, narrow_range=True, axis=axis
    )


@keras.saving.register_keras_serializable("edgemed")
class QuantizedConv2D(layers.Conv2D):
    """Conv2D whose kernel (h, w, in, out) is fake-quantized per output channel."""

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Return the convolution with the rounded kernel."""
        return super().convolution_op(inputs, _rounded(kernel, axis=3))


@keras.saving.register_keras_serializable("edgemed")
class QuantizedDepthwiseConv2D(layers.DepthwiseConv2D):
    """DepthwiseConv2D whose kernel (h, w, channels, multiplier) is fake-quantized per output channel."""

    def call(self, inputs: Any) -> Any:
        """Return the convolution with the rounded kernel."""
        height, width, channels, multiplier = self.kernel.shape
        # Keras' fake quantization outside TensorFlow knows channels on the last axis only.
        flat = ops.reshape(self.kernel, (height, width, channels * multiplier))
        outputs = ops.depthwise_conv(
            inputs,
            ops.reshape(_rounded(flat, axis=2), self.kernel.shape),
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return ops.add(outputs, ops.reshape(self.bias, (1, 1, 1, -1))) if self.use_bias else outputs


@keras.saving.register_keras_serializable("edgemed")
class QuantizedConv2DTranspose(layers.Conv2DTranspose):
    """Conv2DTranspose whose kernel is fake-quantized with one scale: the TFLite converter refuses one per channel."""

    def call(self, inputs: Any) -> Any:
        """Return the transposed convolution with the rounded kernel."""
        outputs = ops.conv_transpose(
            inputs,
            _rounded(self.kernel, axis=None),
            strides=list(self.strides),
            padding=self.padding,
            output_padding=self.output_padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return ops.add(outputs, ops.reshape(self.bias, (1, 1, 1, -1))) if self.use_bias else outputs


@keras.saving.register_keras_serializable("edgemed")
class QuantizedDense(layers.Dense):
    """Dense whose kernel is fake-quantized with one scale: the TFLite converter refuses a trained one per unit."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the product with the rounded kernel."""
        outputs = ops.matmul(inputs, _rounded(self.kernel, axis=None))
        return ops.add(outputs, self.bias) if self.use_bias else outputs


@keras.saving.register_keras_serializable("edgemed")
class QuantizedPReLU(layers.PReLU):
    """PReLU whose slopes are fake-quantized with one scale, written the way the TFLite converter recognises."""

    def call(self, inputs: Any) -> Any:
        """Return relu(x) - slope * relu(-x)."""
        return ops.relu(inputs) + (-_rounded(self.alpha, axis=None)) * ops.relu(-inputs)


@keras.saving.register_keras_serializable("edgemed")
class CappedReLU(layers.Layer):
    """max(x, 0) whose result ends at a limit: not here, but in the range of the quantizer behind it, as in TFLite.

    Args:
        limit: highest value, above 0.
    """

    def __init__(self, *, limit: float, **options: Any) -> None:
        super().__init__(**options)
        self.limit = float(limit)

    def call(self, inputs: Any) -> Any:
        """Return the same shape."""
        return ops.relu(inputs)

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "limit": self.limit}


@keras.saving.register_keras_serializable("edgemed")
class HardSwish(layers.Layer):
    """x * relu6(x + 3) / 6, written the way the TFLite converter recognises as one operator."""

    def call(self, inputs: Any) -> Any:
        """Return the same shape."""
        return inputs * ops.relu6(inputs + 3.0) * (1 / 6)


@keras.saving.register_keras_serializable("edgemed")
class Scaled(layers.Layer):
    """Values times a number; ``keras.layers.Rescaling`` would add its offset of 0 as one more operator."""

    def __init__(self, *, factor: float, **options: Any) -> None:
        super().__init__(**options)
        self.factor = float(factor)

    def call(self, inputs: Any) -> Any:
        """Return the same shape."""
        return inputs * self.factor

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable("edgemed")
class Shifted(layers.Layer):
    """Values plus a number."""

    def __init__(self, *, term: float, **options: Any) -> None:
        super().__init__(**options)
        self.term = float(term)

    def call(self, inputs: Any) -> Any:
        """Return the same shape."""
        return inputs + self.term

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "term": self.term}
