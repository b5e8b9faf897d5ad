"""Operators that look at an image as a whole: pooling, means, padding and resizing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from converters.jetson import layout
from converters.jetson.layout import Window
from converters.jetson.translation import Call, CannotWriteError

__all__ = ["WRITERS"]


def _average_pool_2d(call: Call) -> str:
    _, height, width, _ = call.input(0).shape
    window = _pooling(call)
    if window.kernel == (height, width) and call.option("padding") == "VALID":
        return call.activated(call.node("GlobalAveragePool", [call.load(0)]))
    # Neither TFLite nor ONNX, unasked, counts the padding into the mean.
    return call.activated(_pooled(call, "AveragePool", window))


def _max_pool_2d(call: Call) -> str:
    return call.activated(_pooled(call, "MaxPool", _pooling(call)))


def _pooling(call: Call) -> Window:
    return Window(
        kernel=(int(call.option("filter_height")), int(call.option("filter_width"))),
        stride=(int(call.option("stride_h")), int(call.option("stride_w"))),
    )


def _pooled(call: Call, kind: str, window: Window) -> str:
    _, height, width, _ = call.input(0).shape
    pads = layout.padding((height, width), window, str(call.option("padding")))
    return call.node(kind, [call.load(0)], kernel_shape=window.kernel, strides=window.stride, pads=pads)


def _reduced(kind: str, of_image: str) -> Callable[[Call], str]:
    """Return the writer of a reduction; over height and width it is a pooling, for which TensorRT has int8."""

    def write(call: Call) -> str:
        shape = call.input(0).shape
        rank = len(shape)
        axes = sorted({place % rank for place in call.integers(1)})
        if rank == 4 and axes == [1, 2]:
            name = call.node(of_image, [call.load(0)])
        else:
            places = sorted(layout.axis(place, rank) for place in axes)
            name = call.node(kind, [call.load(0)], axes=places, keepdims=1)
        kept = tuple(1 if place in axes else side for place, side in enumerate(shape))
        return call.reshape(name, kept, call.output.shape)

    return write


def _pad(call: Call) -> str:
    rank = len(call.input(0).shape)
    before_after = np.array(call.integers(1), np.int64).reshape(rank, 2)
    arranged = before_after[list(layout.TO_IMAGE)] if rank == 4 else before_after
    inputs = [call.load(0), call.constant(np.concatenate([arranged[:, 0], arranged[:, 1]]), "pads")]
    if call.optional(2) is not None:
        inputs.append(call.constant(call.real(2).reshape(()), "value"))
    return call.node("Pad", inputs)


def _resize_bilinear(call: Call) -> str:
    return _resized(call, mode="linear", coordinate_transformation_mode=_coordinates(call))


def _resize_nearest_neighbor(call: Call) -> str:
    coordinates = _coordinates(call)
    # TFLite takes the pixel below (x + 0.5) / factor: the one nearest to half_pixel's (x + 0.5) / factor - 0.5. For a
    # whole factor that is the one below x / factor as well, the plainest of all modes.
    if coordinates == "half_pixel" and all(float(factor).is_integer() for factor in _factors(call)):
        coordinates = "asymmetric"
    nearest = "floor" if coordinates == "asymmetric" else "round_prefer_ceil"
    return _resized(call, mode="nearest", coordinate_transformation_mode=coordinates, nearest_mode=nearest)


def _coordinates(call: Call) -> str:
    if call.option("align_corners"):
        return "align_corners"
    return "half_pixel" if call.option("half_pixel_centers") else "asymmetric"


def _factors(call: Call) -> tuple[float, float]:
    before, after = call.input(0).shape, call.output.shape
    return after[1] / before[1], after[2] / before[2]


def _resized(call: Call, **attributes: str) -> str:
    factors = _factors(call)
    before, after = call.input(0).shape, call.output.shape
    # Sizes follow from float32 factors only where those are exact; TensorRT takes either.
    exact = all(
        float(np.float32(factor)) == factor and math.floor(side * factor) == made
        for factor, side, made in zip(factors, before[1:3], after[1:3], strict=True)
    )
    if exact:
        scales = call.translation.network.exact(
            np.array([1.0, 1.0, *factors], np.float32), scope=f"{call.scope}/scales"
        )
        return call.node("Resize", [call.load(0), "", scales], **attributes)
    sizes = call.constant(np.array(layout.stored(after), np.int64), "sizes")
    return call.node("Resize", [call.load(0), "", "", sizes], **attributes)


def _softmax(call: Call) -> str:
    rank = len(call.input(0).shape)
    name = call.load(0)
    beta = float(call.option("beta"))
    if beta <= 0:
        raise CannotWriteError(f"has beta {beta:g}, expected a number above 0")
    if beta != 1.0:
        name = call.node("Mul", [name, call.constant(np.array(beta, np.float32), "beta")])
    return call.node("Softmax", [name], axis=layout.axis(-1, rank))


WRITERS: Mapping[str, Callable[[Call], str]] = {
    "AVERAGE_POOL_2D": _average_pool_2d,
    "MAX_POOL_2D": _max_pool_2d,
    "MEAN": _reduced("ReduceMean", "GlobalAveragePool"),
    "PAD": _pad,
    "PADV2": _pad,
    "REDUCE_MAX": _reduced("ReduceMax", "GlobalMaxPool"),
    "RESIZE_BILINEAR": _resize_bilinear,
    "RESIZE_NEAREST_NEIGHBOR": _resize_nearest_neighbor,
    "SOFTMAX": _softmax,
}
"""Writes the operator and returns its real output, by TFLite's name."""
