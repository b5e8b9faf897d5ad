"""Activation functions, and operations on bare tensors, as steps.

Each comes as a layer of its own, as the ``activation`` of another layer, or as an operation (``keras.ops.relu``).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from converters.graph import Call
from converters.qat.layers import CappedReLU, HardSwish
from converters.qat.parts import Part, Refusal
from converters.qat.steps import Activate, Copy, Join, Kind, Scale, Share, Shift

__all__ = ["activation", "constants", "leaky_relu", "of_operation", "relu"]


def activation(function: Any) -> list[Part]:
    """Return the parts of a Keras activation function; none for a linear one.

    Raises:
        Refusal: TFLite has no int8 operator for it.
    """
    name = getattr(function, "__name__", type(function).__name__)
    known = {name: made for name, made in _FUNCTIONS.items() if function is getattr(keras.activations, name)}
    if not known:
        near = _NEAREST.get(name) or next(iter(difflib.get_close_matches(name, _FUNCTIONS, n=1, cutoff=0.6)), "relu")
        raise Refusal(f"has the activation {name}, the nearest supported one is {near}")
    return next(iter(known.values()))()


def relu(limit: float | None = None) -> list[Part]:
    """Return max(x, 0), and no more than ``limit``."""

    def layer(name: str) -> layers.Layer:
        # TFLite fuses no other limit than 6.
        return layers.ReLU(limit, name=name) if limit in (None, 6.0) else CappedReLU(limit=limit, name=name)

    return [Part(suffix="relu", does=Activate(kind=Kind.RELU, limit=limit, layer=layer))]


def leaky_relu(slope: float) -> list[Part]:
    """Return x where x > 0, else slope * x."""
    made = Activate(kind=Kind.LEAKY_RELU, layer=lambda name: layers.LeakyReLU(negative_slope=slope, name=name))
    return [Part(suffix="leaky_relu", does=made)]


def _named(kind: Kind, function: str) -> Callable[[], list[Part]]:
    made = Activate(kind=kind, layer=lambda name: layers.Activation(function, name=name))
    return lambda: [Part(suffix=kind.value, does=made)]


def _hard_swish() -> list[Part]:
    return [Part(suffix="hard_swish", does=Activate(kind=Kind.HARD_SWISH, layer=lambda name: HardSwish(name=name)))]


def _hard_sigmoid() -> list[Part]:
    """Return relu6(x + 3) / 6."""
    shifted, scaled = (
        Part(suffix="shifted", does=Shift(term=3.0)),
        Part(suffix="scaled", does=Scale(factor=1 / 6)),
    )
    return [shifted, *relu(6.0), scaled]


def _silu() -> list[Part]:
    """Return x * sigmoid(x): TFLite stores the sigmoid as well."""
    product = Join(layer=lambda name: layers.Multiply(name=name))
    return [*_FUNCTIONS["sigmoid"](), Part(suffix="product", does=product, takes=(-2, -1))]


_FUNCTIONS: dict[str, Callable[[], list[Part]]] = {
    "elu": _named(Kind.ELU, "elu"),
    "gelu": _named(Kind.GELU, "gelu"),
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": _hard_swish,
    "leaky_relu": lambda: leaky_relu(0.2),
    "linear": list,
    "relu": relu,
    "relu6": lambda: relu(6.0),
    "sigmoid": _named(Kind.SIGMOID, "sigmoid"),
    "silu": _silu,
    "softmax": _named(Kind.SOFTMAX, "softmax"),
    "tanh": _named(Kind.TANH, "tanh"),
}


_NEAREST = {
    "celu": "elu",
    "log_sigmoid": "sigmoid",
    "log_softmax": "softmax",
    "mish": "hard_silu",
    "selu": "elu",
    "soft_shrink": "leaky_relu",
    "softplus": "relu",
    "softsign": "tanh",
    "squareplus": "relu",
}


def constants(factor: float = 1.0, term: float = 0.0) -> list[Part]:
    """Return values times a factor plus a term: as many operators as there is something to do."""
    parts = [Part(suffix="scaled", does=Scale(factor=factor))] if factor != 1 else []
    return parts + ([Part(suffix="shifted", does=Shift(term=term))] if term != 0 else [])


def of_operation(call: Call) -> list[Part]:
    """Return the parts of an operation on bare tensors, e.g. ``x + y``, ``x * 2`` or ``keras.ops.relu(x)``.

    Raises:
        Refusal: no layer does the same.
    """
    kind = type(call.operation).__name__
    if kind in _ARITHMETIC:
        return _arithmetic(kind, call)
    if kind == "Concatenate":
        axis = call.operation.axis
        return [Part(does=Share(layer=lambda name, _: layers.Concatenate(axis=axis, name=name)))]
    if kind in _OPERATIONS:
        return _OPERATIONS[kind](call.operation)
    known = sorted({*_ARITHMETIC, *_OPERATIONS, "Concatenate"})
    near = next(iter(difflib.get_close_matches(kind, known, n=1, cutoff=0.6)), None)
    hint = f"the nearest supported one is {near}" if near else "expected layers (use one that does the same)"
    raise Refusal(f"is {kind} on bare tensors, {hint}")


_ARITHMETIC: dict[str, type[layers.Layer]] = {
    "Add": layers.Add,
    "Subtract": layers.Subtract,
    "Multiply": layers.Multiply,
}


def _arithmetic(kind: str, call: Call) -> list[Part]:
    if len(call.sources) == 2:
        return [Part(does=Join(layer=lambda name: _ARITHMETIC[kind](name=name)))]
    (left, right) = call.arguments[0][:2]
    number = right if isinstance(left, keras.KerasTensor) else left
    if np.size(number) != 1 or not math.isfinite(float(np.reshape(number, ()))):
        raise Refusal(f"is {kind} with an array, expected one finite number (use a Rescaling or Normalization layer)")
    value = float(np.reshape(number, ()))
    if kind == "Multiply":
        return constants(factor=value) or [Part(does=Copy())]
    if kind == "Add":
        return constants(term=value) or [Part(does=Copy())]
    ahead = isinstance(left, keras.KerasTensor)
    return (constants(term=-value) if ahead else constants(factor=-1.0, term=value)) or [Part(does=Copy())]


_OPERATIONS: dict[str, Callable[[Any], list[Part]]] = {
    "Relu": lambda _: relu(),
    "Relu6": lambda _: relu(6.0),
    "LeakyRelu": lambda operation: leaky_relu(float(operation.negative_slope)),
    "HardSigmoid": lambda _: _hard_sigmoid(),
    "HardSilu": lambda _: _hard_swish(),
    "Sigmoid": lambda _: _FUNCTIONS["sigmoid"](),
    "Silu": lambda _: _silu(),
    "Tanh": lambda _: _FUNCTIONS["tanh"](),
}
