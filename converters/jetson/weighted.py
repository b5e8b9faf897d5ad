"""Operators with weights: convolutions and the dense layer.

Weights move from TFLite's order to ONNX's and keep their integers: a real constant q * scale behind a Q/DQ pair of the
same scale rounds back to q.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.jetson import layout
from converters.jetson.layout import Window
from converters.jetson.translation import Call, CannotWriteError
from edgemed import tflite

__all__ = ["WRITERS"]


@dataclass(frozen=True, kw_only=True)
class _Arranged:
    """Weights in ONNX's order; ``scales`` is None for real ones.

    Attributes:
        values: real values.
        scales: float32, () or one per slice along ``axis``.
        axis: of the output channels in ONNX's order.
    """

    values: NDArray[np.float64]
    scales: NDArray[np.float32] | None
    axis: int


def _conv_2d(call: Call) -> str:
    out, height, width, inner = call.input(1).shape
    window = _window(call, (height, width))
    weights = _arranged(call, (0, 3, 1, 2), axis=0)
    group = _groups(call.input(0).shape[3], inner, out)
    return call.activated(_convolution(call, weights, window, group=group))


def _depthwise_conv_2d(call: Call) -> str:
    _, height, width, _ = call.input(1).shape
    window = _window(call, (height, width))
    # (1, h, w, channels * multiplier) -> (channels * multiplier, 1, h, w): TFLite's channel c * multiplier + m is the
    # m-th of ONNX's group c.
    weights = _arranged(call, (3, 0, 1, 2), axis=0)
    return call.activated(_convolution(call, weights, window, group=call.input(0).shape[3]))


def _convolution(call: Call, weights: _Arranged, window: Window, *, group: int) -> str:
    _, height, width, _ = call.input(0).shape
    pads = layout.padding((height, width), window, str(call.option("padding")))
    return call.node(
        "Conv",
        [call.load(0), _weights(call, weights), *_bias(call, 2)],
        kernel_shape=window.kernel,
        strides=window.stride,
        dilations=window.dilation,
        pads=pads,
        group=group,
    )


def _transpose_conv(call: Call) -> str:
    # Inputs: output shape, weights (out, h, w, in), image, bias.
    _, kernel_height, kernel_width, _ = call.input(1).shape
    stride = (int(call.option("stride_h")), int(call.option("stride_w")))
    weights = _arranged(call, (3, 0, 1, 2), axis=1)
    _, height, width, _ = call.output.shape
    window = Window(kernel=(kernel_height, kernel_width), stride=stride)
    pads = layout.padding((height, width), window, str(call.option("padding")))
    # ONNX's output is stride * (in - 1) + kernel - padding: what the true one has more is added at the end.
    made = [
        step * (size - 1) + kernel - before - after
        for step, size, kernel, before, after in zip(
            stride, call.input(2).shape[1:3], window.kernel, pads[:2], pads[2:], strict=True
        )
    ]
    extra = (height - made[0], width - made[1])
    if min(extra) < 0 or extra[0] >= stride[0] or extra[1] >= stride[1]:
        raise CannotWriteError(f"makes {height} x {width} pixels, expected what stride, kernel and padding give")
    name = call.node(
        "ConvTranspose",
        [call.load(2), _weights(call, weights), *_bias(call, 3, activation=2)],
        kernel_shape=window.kernel,
        strides=stride,
        pads=pads,
        output_padding=extra,
    )
    return call.activated(name)


def _fully_connected(call: Call) -> str:
    if call.option("weights_format") != "DEFAULT":
        raise CannotWriteError(f"has the weights format {call.option('weights_format')}, expected DEFAULT")
    before, after = call.input(0), call.output
    units, inner = call.input(1).shape
    rows = int(np.prod(before.shape)) // inner
    name = call.load(0)
    if before.shape != (rows, inner):
        name = _quantized_again(call, call.reshape(name, before.shape, (rows, inner)))
    weights = _arranged(call, (0, 1), axis=0)
    name = call.node("Gemm", [name, _weights(call, weights), *_bias(call, 2)], transB=1)
    return call.activated(call.reshape(name, (rows, units), after.shape))


def _quantized_again(call: Call, name: str) -> str:
    """Return the value behind a Q/DQ pair of its own scale, which changes nothing.

    TensorRT looks for the pair directly before the product.
    """
    scale = call.translation.scale(call.input(0).index)
    if scale is None:
        return name
    network = call.translation.network
    return network.dequantized(network.quantized(name, np.array(scale, np.float32), scope=call.scope), scope=call.scope)


def _window(call: Call, kernel: tuple[int, int]) -> Window:
    return Window(
        kernel=kernel,
        stride=(int(call.option("stride_h")), int(call.option("stride_w"))),
        dilation=(int(call.option("dilation_h_factor")), int(call.option("dilation_w_factor"))),
    )


def _groups(channels: int, inner: int, out: int) -> int:
    if inner <= 0 or channels % inner or out % (channels // inner):
        raise CannotWriteError(f"has weights for {inner} channels, expected a divisor of the input's {channels}")
    return channels // inner


def _arranged(call: Call, order: tuple[int, ...], *, axis: int) -> _Arranged:
    """Return the weights, input 1, with their axes in ``order`` and the output channels at ``axis``."""
    tensor = call.input(1)
    values = call.real(1).transpose(order)
    if not tensor.scales:
        return _Arranged(values=values, scales=None, axis=axis)
    if tensor.dtype != "int8" or any(tensor.zero_points) or min(tensor.scales) <= 0:
        raise CannotWriteError(
            f"has weights of {tensor.dtype}, tensors[{tensor.index}], expected int8, zero point 0, scales above 0"
        )
    several = len(tensor.scales) > 1
    if several and order[axis] != tensor.axis:
        raise CannotWriteError(f"has weight scales along axis {tensor.axis}, expected the output channels")
    scales = np.array(tensor.scales if several else tensor.scales[0], np.float32)
    return _Arranged(values=values, scales=scales, axis=axis)


def _weights(call: Call, weights: _Arranged) -> str:
    name = call.constant(weights.values, "weights")
    if weights.scales is None:
        return name
    network = call.translation.network
    axis = weights.axis if weights.scales.ndim else None
    scope = f"{call.scope}/weights"
    return network.dequantized(network.quantized(name, weights.scales, scope=scope, axis=axis), scope=scope, axis=axis)


def _bias(call: Call, number: int, *, activation: int = 0) -> list[str]:
    """Return the bias as a plain constant, input scale * weight scale * integer; nothing where there is none."""
    tensor = call.optional(number)
    if tensor is None:
        return []
    if tensor.dtype == "float32":
        return [call.constant(call.real(number), "bias")]
    if tensor.dtype != "int32" or not tensor.is_constant:
        raise CannotWriteError(f"has a bias of {tensor.dtype}, expected constant int32, tensors[{tensor.index}]")
    integers = tflite.values(call.translation.model, tensor).astype(np.float64)
    scales = call.input(activation).scales[0] * np.array(call.input(1).scales, np.float64)
    return [call.constant(integers * scales, "bias")]


WRITERS: Mapping[str, Callable[[Call], str]] = {
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise_conv_2d,
    "FULLY_CONNECTED": _fully_connected,
    "TRANSPOSE_CONV": _transpose_conv,
}
"""Writes the operator and returns its real output, by TFLite's name."""
