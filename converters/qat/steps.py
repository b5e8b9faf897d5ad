"""The few kinds of steps that every supported layer comes down to, each one operator of TFLite.

A step takes and makes tensors, which are numbers as in `converters.graph`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from keras import layers
from numpy.typing import NDArray

from converters.qat.layers import Scaled, Shifted

__all__ = [
    "Activate",
    "Affine",
    "Copy",
    "Does",
    "Join",
    "Kind",
    "Pool",
    "Scale",
    "Share",
    "Shift",
    "Step",
    "Weighted",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class Weighted:
    """A kernel and a bias: convolution, depthwise or transposed convolution, dense layer.

    Attributes:
        owner: the same for every call of a shared layer.
        quantized: class of the fake-quantized layer.
        config: of the float layer.
        kernel: as Keras shapes it.
        bias: (C,) or None.
        foldable: a normalisation behind it may be folded into the kernel.
    """

    owner: tuple[int, str]
    quantized: type[layers.Layer]
    config: dict[str, Any]
    kernel: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    foldable: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class Affine:
    """Values times ``gain`` plus ``shift``, channel by channel, (C,) each; a normalisation outside training is one."""

    owner: tuple[int, str]
    gain: NDArray[np.float64]
    shift: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scale:
    """Values times a number, the same for all of them."""

    factor: float

    def layer(self, name: str) -> layers.Layer:
        """Return the Keras layer of a name."""
        return Scaled(factor=self.factor, name=name)


@dataclass(frozen=True, kw_only=True, eq=False)
class Shift:
    """Values plus a number, the same for all of them."""

    term: float

    def layer(self, name: str) -> layers.Layer:
        """Return the Keras layer of a name."""
        return Shifted(term=self.term, name=name)


class Kind(enum.Enum):
    """Functions of one value that TFLite has an int8 operator for."""

    RELU = "relu"
    LEAKY_RELU = "leaky_relu"
    PRELU = "prelu"
    ELU = "elu"
    GELU = "gelu"
    HARD_SWISH = "hard_swish"
    SIGMOID = "sigmoid"
    TANH = "tanh"
    SOFTMAX = "softmax"


@dataclass(frozen=True, kw_only=True, eq=False)
class Activate:
    """A function of each value; softmax of each row of the last axis.

    Attributes:
        limit: of RELU: the highest value; None without one.
        layer: makes the Keras layer of a name.
        owner: of a function with weights, the same for every call of a shared layer; None for others.
    """

    kind: Kind
    layer: Callable[[str], layers.Layer]
    limit: float | None = None
    owner: tuple[int, str] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Join:
    """A sum, difference or product of two tensors, each with a range of its own."""

    layer: Callable[[str], layers.Layer]


@dataclass(frozen=True, kw_only=True, eq=False)
class Share:
    """An operator whose inputs and output have one range in TFLite: values are moved, picked or averaged.

    Attributes:
        layer: makes the Keras layer for a name and the shape of the first input, batch first.
        rounds: the results are not all among the input's values, so they are rounded once more.
        takes_relu: TFLite merges a ReLU behind it into it, which must then have the same range too.
    """

    layer: Callable[[str, tuple[int | None, ...]], layers.Layer]
    rounds: bool = False
    takes_relu: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """A mean over all of a feature map: TFLite gives it a range of its own."""

    layer: Callable[[str], layers.Layer]


@dataclass(frozen=True, kw_only=True, eq=False)
class Copy:
    """Nothing outside training."""


Does: TypeAlias = Weighted | Affine | Scale | Shift | Activate | Join | Share | Pool | Copy


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One operator.

    Attributes:
        name: unique.
        sources: numbers of the tensors it takes.
        result: number of the tensor it makes.
        rank: of it, the batch counted.
    """

    name: str
    does: Does
    sources: tuple[int, ...]
    result: int
    rank: int
