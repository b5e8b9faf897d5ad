"""A Keras model as a flat list of calls: nested models opened, a shared layer once for each of its calls.

Only calls that lead to the model's outputs count: Keras notes on each layer whatever it was ever called on, in other
models as well.

    found = graph.of(model)
    for call in found.calls:
        print(call.name, type(call.operation).__name__, call.sources, call.result)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from edgemed.errors import ConversionError

__all__ = ["Call", "Graph", "Input", "functional", "of", "unique"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Input:
    """One input of a model.

    Attributes:
        value: number of its tensor.
        shape: batch first; None where a side is not fixed.
        dtype: Keras' name, e.g. ``float32``.
    """

    name: str
    value: int
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """One call of a layer, or of an operation on bare tensors.

    Attributes:
        name: unique in the graph: the operation's own, behind the names of the models it lies in.
        operation: the layer or operation; the same object in every call of a shared one.
        sources: numbers of the tensors among its arguments, in their order.
        result: number of the tensor it returns.
        rank: of that tensor, the batch counted.
        arguments: positional and named ones, tensors as `keras.KerasTensor`.
    """

    name: str
    operation: Any
    sources: tuple[int, ...]
    result: int
    rank: int
    arguments: tuple[tuple[Any, ...], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Graph:
    """The calls of one model; a tensor is a number.

    Attributes:
        name: of the model.
        inputs: in Keras' flat order.
        calls: each after those that make its sources.
        outputs: in Keras' flat order.
        structure: of the outputs as the model returns them, with their flat positions as leaves.
        problems: what cannot be opened, in words.
    """

    name: str
    inputs: tuple[Input, ...]
    calls: tuple[Call, ...]
    outputs: tuple[int, ...]
    structure: Any
    problems: tuple[str, ...]

    def followers(self, value: int) -> tuple[Call, ...]:
        """Return the calls that take a tensor, each once, in order."""
        return tuple(call for call in self.calls if value in call.sources)


def of(model: keras.Model) -> Graph:
    """Return the graph of a functional or Sequential model.

    Raises:
        ConversionError: the model is subclassed, or not built.
    """
    top = functional(model)
    walk = _Walk()
    inputs = tuple(
        Input(
            name=tensor._keras_history.operation.name,
            value=walk.number(),
            shape=tuple(tensor.shape),
            dtype=str(tensor.dtype),
        )
        for tensor in top.inputs
    )
    outputs = walk.through(top, [entry.value for entry in inputs], prefix="")
    places = iter(range(len(outputs)))
    return Graph(
        name=model.name,
        inputs=inputs,
        calls=tuple(walk.calls),
        outputs=tuple(outputs),
        structure=keras.tree.map_structure(lambda _: next(places), top.output),
        problems=tuple(walk.problems),
    )


def functional(model: Any) -> Any:
    """Return the functional model that a model is, or that a Sequential one holds.

    Raises:
        ConversionError: it is neither, its ``call`` is written by hand, or its input shape is not known yet.
    """
    if not isinstance(model, keras.Model):
        raise ConversionError(f"expected a Keras model, got {type(model).__name__}")
    if isinstance(model, keras.Sequential):
        if type(model).call is not keras.Sequential.call:
            raise ConversionError(_by_hand(model))
        if not model.built:
            raise ConversionError(f"{model.name}: expected a built model; give it a keras.Input as its first layer")
        return model._functional
    written = [kind for kind in type(model).__mro__ if "call" in vars(kind)]
    if written[0].__name__ != "Functional":
        raise ConversionError(_by_hand(model))
    return model


def _by_hand(model: keras.Model) -> str:
    return (
        f"{model.name}: expected a functional or Sequential Keras model, got the subclass {type(model).__name__} whose "
        "call() is code that a converter cannot see into; build it with keras.Model(inputs, outputs)"
    )


@dataclass(kw_only=True)
class _Walk:
    """Numbers tensors and lists calls while models are opened."""

    calls: list[Call] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    count: int = 0

    def number(self) -> int:
        self.count += 1
        return self.count - 1

    def through(self, model: Any, values: Sequence[int], *, prefix: str) -> list[int]:
        """List the calls of one functional model on given tensors, and return the numbers of its outputs."""
        known = {id(tensor): value for tensor, value in zip(model.inputs, values, strict=True)}
        for _, level in sorted(model._nodes_by_depth.items(), reverse=True):
            for node in level:
                if node.is_input or any(id(tensor) not in known for tensor in node.input_tensors):
                    continue
                sources = tuple(known[id(tensor)] for tensor in node.input_tensors)
                results = self._called(node, sources, prefix)
                known.update((id(tensor), value) for tensor, value in zip(node.outputs, results, strict=True))
        return [known[id(tensor)] for tensor in model.outputs]

    def _called(self, node: Any, sources: tuple[int, ...], prefix: str) -> list[int]:
        operation = node.operation
        name = unique(prefix + operation.name, self.names)
        if isinstance(operation, keras.Model):
            try:
                return self.through(functional(operation), sources, prefix=f"{name}_")
            except ConversionError as err:
                self.problems.append(str(err))
                return [self.number() for _ in node.outputs]
        if len(node.outputs) != 1:
            kind = type(operation).__name__
            self.problems.append(f"{name!r} is a {kind} that returns {len(node.outputs)} tensors, expected one")
            return [self.number() for _ in node.outputs]
        call = Call(
            name=name,
            operation=operation,
            sources=sources,
            result=self.number(),
            rank=len(node.outputs[0].shape),
            arguments=(tuple(node.arguments.args), dict(node.arguments.kwargs)),
        )
        self.calls.append(call)
        return [call.result]


def unique(name: str, taken: set[str]) -> str:
    """Return a name that is not taken, with a number behind it if need be, and add it to those taken."""
    found, number = name, 0
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    taken.add(found)
    return found
