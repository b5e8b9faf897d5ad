"""A functional Keras model as a value: its operations, and who makes and who takes what each of them returns.

Only calls that lead to the model's outputs count: Keras notes on each layer whatever it was ever called on, in other
models as well.

    found = graph.of(model)
    found.followers["Conv1"]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from edgemed.errors import ConversionError

__all__ = ["Graph", "of"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Graph:
    """The calls of one model, by the name of the operation; a layer is an operation.

    Attributes:
        name: of the model.
        inputs: the symbolic tensors it takes.
        operations: inputs first.
        calls: how often each is called.
        sources: what makes its arguments, in their order.
        followers: what is called on its result, each call once.
        outputs: names of those whose result is an output of the model.
    """

    name: str
    inputs: tuple[Any, ...]
    operations: tuple[Any, ...]
    calls: Mapping[str, int]
    sources: Mapping[str, tuple[Any, ...]]
    followers: Mapping[str, tuple[Any, ...]]
    outputs: frozenset[str]


def of(model: keras.Model) -> Graph:
    """Return the graph of a functional model.

    Raises:
        ConversionError: the model is not functional.
    """
    if not isinstance(model, keras.Model) or not hasattr(model, "_nodes_by_depth"):
        raise ConversionError(
            f"{model.name}: expected a functional Keras model, got {type(model).__name__}; "
            "build it with keras.Model(inputs, outputs)"
        )
    nodes = [node for _, level in sorted(model._nodes_by_depth.items(), reverse=True) for node in level]
    calls: dict[str, int] = {operation.name: 0 for operation in model.operations}
    sources: dict[str, tuple[Any, ...]] = dict.fromkeys(calls, ())
    followers: dict[str, tuple[Any, ...]] = dict.fromkeys(calls, ())
    for node in nodes:
        calls[node.operation.name] += 1
        makers = tuple(tensor._keras_history.operation for tensor in node.input_tensors)
        sources[node.operation.name] += makers
        for name in sorted({maker.name for maker in makers}):
            followers[name] += (node.operation,)
    return Graph(
        name=model.name,
        inputs=tuple(model.inputs),
        operations=tuple(model.operations),
        calls=calls,
        sources=sources,
        followers=followers,
        outputs=frozenset(tensor._keras_history.operation.name for tensor in model.outputs),
    )
