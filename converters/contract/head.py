"""From a model's last layers to the outputs of the contract: one logit and, where the graph has them, what explains it.

A sigmoid is cut off; a softmax of two units becomes the difference of what goes into it, which is the logit of the
second. A model of several labels keeps a logit for each; a softmax over them is cut off. Where a logit is a linear
function of average-pooled features, it is also the spatial mean of that function taken at each place: the evidence map
(class activation mapping), and the pooled features are the embedding.

    found = head.logit(tensor)
    explained = head.explained(found.tensor)

Source: Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from edgemed.errors import ConversionError

__all__ = ["LONGEST_EMBEDDING", "Ending", "Explained", "Logit", "explained", "logit"]

LONGEST_EMBEDDING = 2048
"""Values; a decision document holds the covariance of no more."""

_DROPOUT = (layers.Dropout, layers.SpatialDropout2D)
_PASSIVE = (*_DROPOUT, layers.Flatten, layers.Reshape, layers.Identity)


class Ending(enum.Enum):
    """What a model answers with."""

    LOGIT = "logit"
    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"


@dataclass(frozen=True, kw_only=True, eq=False)
class Logit:
    """The logit of abnormal against normal, or the logits of several labels.

    Attributes:
        tensor: symbolic, (batch, 1), or (batch, K).
        ending: what came behind it.
        notes: what was cut off, a line each.
    """

    tensor: Any
    ending: Ending
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Explained:
    """A logit, or several, with what explains it; None where the graph has no such thing.

    Attributes:
        logit: symbolic, (batch, K): the spatial mean of the evidence where there is one.
        evidence: symbolic, (batch, h, w, K).
        embedding: symbolic, (batch, C), C <= `LONGEST_EMBEDDING`.
    """

    logit: Any
    evidence: Any | None = None
    embedding: Any | None = None


def logit(output: Any, *, count: int = 1) -> Logit:
    """Return the logit behind an output of one unit or of a softmax of two, or the logits of several labels.

    Args:
        output: symbolic tensor of a flat graph.
        count: of the logits: 1, or as many as there are labels.

    Raises:
        ConversionError: the output is no such logit, nor made of one.
    """
    last = _before_passive(output)
    operation, source = _made_by(last)
    units, activation = math.prod(last.shape[1:]), _activation(operation)
    shape = tuple(last.shape)
    problem = _problem(units, activation, shape) if count == 1 else _problem_of_several(units, activation, shape, count)
    if problem:
        raise ConversionError(f"output of {operation.name!r}: {problem}")
    if activation == "softmax" and count > 1:
        words = f"the softmax of {operation.name!r} is cut off: the logits are what went into it"
        return Logit(tensor=_vector(_uncut(operation, source), "contract_flat"), ending=Ending.SOFTMAX, notes=(words,))
    if activation == "softmax":
        words = f"the softmax of {operation.name!r} is cut off: the logit is its second unit's input minus its first's"
        return Logit(tensor=_vector(_difference(last), "contract_flat"), ending=Ending.SOFTMAX, notes=(words,))
    if activation == "sigmoid":
        words = f"the sigmoid of {operation.name!r} is cut off: the logit is what went into it"
        return Logit(tensor=_vector(_uncut(operation, source), "contract_flat"), ending=Ending.SIGMOID, notes=(words,))
    return Logit(tensor=_vector(output, "contract_flat"), ending=Ending.LOGIT)


def explained(tensor: Any) -> Explained:
    """Return a logit with its evidence map and embedding, as far as the graph has them; the same logit up to rounding.

    Args:
        tensor: of `logit`, (batch, K).
    """
    count = tensor.shape[-1]
    operation, source = _made_by(_before_passive(tensor))
    if _pools(operation) and source.shape[-1] == count:
        features = _features_of(source)
        pooled = None if features is None else layers.GlobalAveragePooling2D(name="contract_embedding")(features)
        return Explained(logit=tensor, evidence=source, embedding=_short(pooled))
    if not _is_weighted(operation) or _activation(operation) != "linear":
        return Explained(logit=tensor)
    vector, dropped = _before_dropout(source)
    pool, features = _made_by(vector)
    if not (_pools(pool) and math.prod(operation.kernel.shape) == features.shape[-1] * count):
        return Explained(logit=tensor, embedding=_short(vector))
    for place, rate in enumerate(dropped):
        features = layers.SpatialDropout2D(rate, name=f"contract_dropout_{place}")(features)
    evidence = _at_each_place(operation)(features)
    return Explained(
        logit=layers.GlobalAveragePooling2D(name="contract_logit")(evidence),
        evidence=evidence,
        embedding=_short(vector),
    )


def _made_by(tensor: Any) -> tuple[Any, Any]:
    """Return the operation that made a tensor and its first argument, None for an input."""
    made = tensor._keras_history
    sources = made.operation._inbound_nodes[made.node_index].input_tensors
    return made.operation, sources[0] if sources else None


def _before_passive(tensor: Any) -> Any:
    """Return the tensor before layers that only drop or arrange values."""
    return _before_dropout(tensor)[0]


def _before_dropout(tensor: Any) -> tuple[Any, tuple[float, ...]]:
    """Return the tensor before layers that only drop or arrange values, and the shares that they drop."""
    rates = []
    operation, source = _made_by(tensor)
    while isinstance(operation, _PASSIVE) or (isinstance(operation, layers.Activation) and _is_linear(operation)):
        if isinstance(operation, _DROPOUT):
            rates.append(operation.rate)
        tensor = source
        operation, source = _made_by(tensor)
    return tensor, tuple(reversed(rates))


def _is_linear(operation: Any) -> bool:
    return operation.activation is keras.activations.linear


def _is_weighted(operation: Any) -> bool:
    return type(operation) in (layers.Dense, layers.Conv2D)


def _activation(operation: Any) -> str:
    """Return the name of the function an operation ends with; ``linear`` where it has none."""
    if isinstance(operation, layers.Activation) or _is_weighted(operation):
        return str(getattr(operation.activation, "__name__", operation.activation))
    kind = type(operation).__name__
    named = isinstance(operation, (layers.ReLU, layers.LeakyReLU, layers.PReLU, layers.ELU, layers.Softmax))
    return kind.lower() if named or kind in ("Sigmoid", "Softmax", "Relu", "Tanh", "HardSigmoid") else "linear"


def _problem(units: int, activation: str, shape: tuple[int | None, ...]) -> str | None:
    """Return what is wrong with an output, or None."""
    if len([size for size in shape[1:] if size != 1]) > 1:
        return f"has the shape {shape}, expected one logit for the plane; this release has no segmentation"
    if units == 1 and activation == "softmax":
        return "is a softmax of one unit, which is always 1; give it two units, or a sigmoid, and train again"
    if units == 2 and activation != "softmax":
        return (
            "has 2 units without a softmax, expected one logit; put a Softmax behind them if they are normal and "
            "abnormal, in this order; this release screens abnormal against normal, not several labels"
        )
    if units != 1 and not (units == 2 and activation == "softmax"):
        return (
            f"has {units} units, expected one logit, or a softmax of two; this release screens abnormal against "
            "normal: train one unit for it"
        )
    if activation not in ("linear", "sigmoid", "softmax"):
        return f"ends with {activation}, expected a logit that nothing bounds, a sigmoid or a softmax; leave it out"
    return None


def _problem_of_several(units: int, activation: str, shape: tuple[int | None, ...], count: int) -> str | None:
    """Return what is wrong with the output of a model of several labels, or None."""
    if len([size for size in shape[1:] if size != 1]) > 1:
        return f"has the shape {shape}, expected one logit for each label; this release has no segmentation"
    if units != count:
        return (
            f"has {units} unit{'s' * (units > 1)}, expected {count}, one for each label; check the labels of the recipe"
        )
    if activation not in ("linear", "softmax"):
        return (
            f"ends with {activation}, expected logits that nothing bounds, or a softmax, as the labels exclude each "
            "other; leave it out"
        )
    return None


def _uncut(operation: Any, source: Any) -> Any:
    """Return what went into the function that an operation ends with."""
    return _linear(operation)(source) if _is_weighted(operation) else source


def _difference(tensor: Any) -> Any:
    """Return the second unit minus the first of what goes into the softmax that ends at ``tensor``."""
    operation, source = _made_by(tensor)
    return _differenced(operation)(source) if _is_weighted(operation) else _second_minus_first(source)


def _second_minus_first(tensor: Any) -> Any:
    inner = _before_passive(tensor)
    operation, source = _made_by(inner)
    if _is_weighted(operation) and _is_linear(operation) and operation.kernel.shape[-1] == 2:
        return _differenced(operation)(source)
    if _pools(operation):
        return layers.GlobalAveragePooling2D(name="contract_pooled")(_second_minus_first(source))
    minus = layers.Dense(1, use_bias=False, name="contract_difference")
    result = minus(_vector(inner, "contract_units"))
    minus.set_weights([np.array([-1.0, 1.0], np.float32).reshape(minus.kernel.shape)])
    return result


def _linear(layer: layers.Layer) -> layers.Layer:
    """Return a weighted layer without its activation."""
    return _remade(layer, layer.get_weights(), activation="linear")


def _differenced(layer: layers.Layer) -> layers.Layer:
    """Return the layer of one unit that gives the second unit minus the first."""
    weights = [(one[..., 1:].astype(np.float64) - one[..., :1]).astype(np.float32) for one in layer.get_weights()]
    key = "units" if isinstance(layer, layers.Dense) else "filters"
    return _remade(layer, weights, activation="linear", **{key: 1})


def _remade(layer: layers.Layer, weights: list[NDArray[np.float32]], **changes: Any) -> layers.Layer:
    copy = type(layer).from_config({**layer.get_config(), **changes})
    copy.build_from_config(layer.get_build_config())
    copy.set_weights(weights)
    return copy


def _at_each_place(layer: layers.Layer) -> layers.Conv2D:
    """Return the 1x1 convolution that computes at each place what a layer computes of the mean."""
    kernel, *bias = layer.get_weights()
    units = kernel.shape[-1]
    copy = layers.Conv2D(units, 1, use_bias=layer.use_bias, name="contract_evidence")
    copy.build((None, None, None, kernel.size // units))
    copy.set_weights([kernel.reshape(1, 1, -1, units), *bias])
    return copy


def _pools(operation: Any) -> bool:
    """Tell whether an operation averages each channel over the whole picture."""
    if isinstance(operation, layers.GlobalAveragePooling2D):
        return bool(operation.data_format == "channels_last")
    if not isinstance(operation, layers.AveragePooling2D):
        return False
    node = operation._inbound_nodes[0]
    return tuple(node.outputs[0].shape[1:3]) == (1, 1) and tuple(operation.pool_size) == tuple(
        node.input_tensors[0].shape[1:3]
    )


def _features_of(evidence: Any) -> Any | None:
    """Return what a linear 1x1 convolution made an evidence map of, None where no such one did."""
    operation, source = _made_by(evidence)
    if type(operation) is not layers.Conv2D or tuple(operation.kernel_size) != (1, 1) or not _is_linear(operation):
        return None
    while isinstance(_made_by(source)[0], _DROPOUT):
        source = _made_by(source)[1]
    return source


def _short(vector: Any | None) -> Any | None:
    """Return a vector that is short enough for an embedding, as (batch, C), else None."""
    if vector is None or math.prod(vector.shape[1:]) != vector.shape[-1] or vector.shape[-1] > LONGEST_EMBEDDING:
        return None
    return _vector(vector, "contract_vector")


def _vector(tensor: Any, name: str) -> Any:
    return tensor if len(tensor.shape) == 2 else layers.Flatten(name=name)(tensor)
