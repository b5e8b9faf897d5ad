"""Bare arithmetic on tensors, as ``x / 127.5 - 1`` or ``ops.relu(x)``, said with the layer that does the same.

Layers have names and ranges that quantization can work with. What has no such layer stays as it is.

    result = bare.called(operation, "scaled", tensor, 1 / 127.5)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

__all__ = ["called", "is_line", "merged"]

_OF_TENSORS: dict[str, Callable[..., layers.Layer]] = {"Add": layers.Add, "Multiply": layers.Multiply}
_OF_ONE: dict[str, Callable[..., layers.Layer]] = {
    "Relu": layers.ReLU,
    "Relu6": lambda **options: layers.ReLU(6.0, **options),
}


def called(operation: Any, name: str, *args: Any, **options: Any) -> Any:
    """Return the result of an operation that is no layer, by a layer of that name where one computes the same."""
    kind = type(operation).__name__
    plain = not options and type(operation).__module__.startswith("keras.src.ops")
    if plain and len(args) == 2 and (line := _as_line(kind, *args)) is not None:
        tensor, scale, offset = line
        return merged(layers.Rescaling(scale, offset=offset, name=name), tensor)
    if plain and kind in _OF_TENSORS and len(args) == 2 and all(map(_is_tensor, args)):
        return _OF_TENSORS[kind](name=name)(list(args))
    if plain and kind in _OF_ONE and len(args) == 1:
        return _OF_ONE[kind](name=name)(args[0])
    if plain and kind == "Mean" and len(args) == 1 and len(args[0].shape) == 4 and _is_spatial(operation.axis):
        return layers.GlobalAveragePooling2D(keepdims=operation.keepdims, name=name)(args[0])
    return type(operation).from_config({**operation.get_config(), "name": name})(*args, **options)


def merged(layer: layers.Layer, *args: Any, **options: Any) -> Any:
    """Return the result of a layer; a rescaling of what another one rescaled becomes one rescaling of its input."""
    if not (isinstance(layer, layers.Rescaling) and _is_tensor(args[0]) and is_line(layer)):
        return layer(*args, **options)
    before = args[0]._keras_history.operation
    if not (isinstance(before, layers.Rescaling) and is_line(before)):
        return layer(*args, **options)
    scale, offset = before.scale * layer.scale, before.offset * layer.scale + layer.offset
    source = before._inbound_nodes[args[0]._keras_history.node_index].input_tensors[0]
    return layers.Rescaling(scale, offset=offset, name=layer.name)(source)


def _as_line(kind: str, left: Any, right: Any) -> tuple[Any, float, float] | None:
    """Return (tensor, scale, offset) where the operation is scale * tensor + offset, else None."""
    if _is_number(left) and _is_tensor(right):
        lines = {"Add": (1.0, float(left)), "Subtract": (-1.0, float(left)), "Multiply": (float(left), 0.0)}
        return (right, *lines[kind]) if kind in lines else None
    if not (_is_tensor(left) and _is_number(right)):
        return None
    if kind in ("TrueDivide", "Divide"):
        return (left, 1.0 / right, 0.0) if right else None
    lines = {"Add": (1.0, float(right)), "Subtract": (1.0, -float(right)), "Multiply": (float(right), 0.0)}
    return (left, *lines[kind]) if kind in lines else None


def is_line(layer: layers.Rescaling) -> bool:
    """Tell whether a rescaling has one scale and one offset for all channels."""
    return _is_number(layer.scale) and _is_number(layer.offset)


def _is_spatial(axis: Any) -> bool:
    """Tell whether an axis, or several, are height and width of (batch, height, width, channels)."""
    return isinstance(axis, (tuple, list)) and {place % 4 for place in axis} == {1, 2}


def _is_tensor(value: Any) -> bool:
    return isinstance(value, keras.KerasTensor)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
