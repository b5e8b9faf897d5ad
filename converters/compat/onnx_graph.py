"""An ONNX file as a value: its nodes, constants and ends, read with nothing run and no file beside it opened.

Rules: any bytes give a `Graph` or a `ConversionError`; work and memory stay in proportion to the file's size; constants
are decoded where a rule asks for them, and only when they hold as many values as their shape says. Subgraphs of control
flow are not entered.

    graph = onnx_graph.read(raw, source="qdq.onnx")
    graph.makers["conv_2d_0/Conv"].kind

Source: the protobuf messages of the package onnx (onnx.proto, IR versions 3 to 13).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemed.errors import ConversionError, MissingDependencyError

__all__ = ["Constant", "End", "Graph", "Node", "read"]

_STANDARD = ("", "ai.onnx")


@dataclass(frozen=True, kw_only=True)
class Constant:
    """A stored tensor.

    Attributes:
        dtype: numpy's name of its type, ``int8`` say; ONNX's own in lower case where numpy has none.
        message: the protobuf message.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    message: Any

    def values(self) -> NDArray[Any]:
        """Return its values, of its shape.

        Raises:
            ConversionError: it holds another number of values than its shape says.
        """
        from onnx import numpy_helper

        try:
            # Nothing outside the file is read: `read` has refused external data.
            return np.asarray(numpy_helper.to_array(self.message)).reshape(self.shape)
        except (ValueError, TypeError, OverflowError, KeyError) as err:
            raise ConversionError(
                f"constant {self.name!r}: expected {self.dtype} {self.shape}, got other data: {err}"
            ) from err


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operator.

    Attributes:
        index: its place in the file.
        kind: ONNX's name of it, e.g. ``Conv``.
        domain: empty for the standard operators.
        inputs: names of values; empty for an optional one left out.
        integers: its attributes that are one integer.
    """

    index: int
    kind: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    integers: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class End:
    """An input or output of the model; a dimension that is not static is -1, no shape at all is None."""

    name: str
    dtype: str
    shape: tuple[int, ...] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Graph:
    """The main graph of a file.

    Attributes:
        opset: version of the standard operators.
        inputs: without those that only name a constant.
        constants: initializers and the values of Constant nodes, by name.
        makers: the node that computes each value, by the value's name.
        readers: the nodes that take each value, in the file's order.
        folded: names of the values that are constant, or computed from constants alone.
    """

    opset: int
    nodes: tuple[Node, ...]
    inputs: tuple[End, ...]
    outputs: tuple[End, ...]
    constants: Mapping[str, Constant]
    makers: Mapping[str, Node]
    readers: Mapping[str, tuple[Node, ...]]
    folded: frozenset[str]


def read(raw: bytes, *, source: str) -> Graph:
    """Return the graph in an ONNX file.

    Args:
        raw: the file's bytes.
        source: the file's name for messages.

    Raises:
        ConversionError: not an ONNX file, damaged, data outside the file, or values that two nodes make.
        MissingDependencyError: onnx is not installed.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as err:
        raise MissingDependencyError(
            f"onnx: cannot be loaded: {err}; reading ONNX needs the extra 'jetson': pip install 'edgemed[jetson]'"
        ) from err
    try:
        model = onnx.ModelProto.FromString(raw)
        return _graph(model, onnx)
    except DecodeError as err:
        raise ConversionError(f"{source}: expected an ONNX file, got {len(raw)} other bytes") from err
    except _DamageError as err:
        raise ConversionError(f"{source}: {err}") from err
    except UnicodeDecodeError as err:
        raise ConversionError(f"{source}: expected a whole ONNX file, got a damaged one: {err}") from err


class _DamageError(Exception):
    """A place in the file and what is wrong there."""


def _graph(model: Any, onnx: Any) -> Graph:
    if not model.HasField("graph") or not model.graph.node:
        raise _DamageError("expected an ONNX file, got one without a graph of operators")
    nodes = tuple(_node(index, message, onnx) for index, message in enumerate(model.graph.node))
    constants = {one.name: one for one in _constants(model.graph, onnx)}
    made = [(output, node) for node in nodes for output in node.outputs if output]
    makers = dict(made)
    if len(makers) != len(made) or any(name in constants and node.kind != "Constant" for name, node in made):
        raise _DamageError("graph: expected each value to be made once, got a name that repeats")
    return Graph(
        opset=_opset(model),
        nodes=nodes,
        inputs=tuple(_end(message, onnx) for message in model.graph.input if message.name not in constants),
        outputs=tuple(_end(message, onnx) for message in model.graph.output),
        constants=MappingProxyType(constants),
        makers=MappingProxyType(makers),
        readers=MappingProxyType(_readers(nodes)),
        folded=_folded(nodes, constants),
    )


def _opset(model: Any) -> int:
    versions = [int(entry.version) for entry in model.opset_import if entry.domain in _STANDARD]
    if len(versions) != 1:
        raise _DamageError(f"opset_import: expected one version of the standard operators, got {versions}")
    return versions[0]


def _node(index: int, message: Any, onnx: Any) -> Node:
    integers = {one.name: int(one.i) for one in message.attribute if one.type == onnx.AttributeProto.INT}
    return Node(
        index=index,
        kind=message.op_type,
        domain="" if message.domain in _STANDARD else message.domain,
        name=message.name,
        inputs=tuple(message.input),
        outputs=tuple(message.output),
        integers=MappingProxyType(integers),
    )


def _constants(graph: Any, onnx: Any) -> Iterator[Constant]:
    if graph.sparse_initializer:
        raise _DamageError("sparse_initializer: expected dense constants, got sparse ones")
    for message in graph.initializer:
        yield _constant(message.name, message, onnx)
    for node in graph.node:
        if node.op_type == "Constant" and len(node.output) == 1:
            for attribute in node.attribute:
                if attribute.name == "value":
                    yield _constant(node.output[0], attribute.t, onnx)


def _constant(name: str, message: Any, onnx: Any) -> Constant:
    if message.data_location == onnx.TensorProto.EXTERNAL or message.external_data:
        raise _DamageError(f"constant {name!r}: expected its data in the file, got data in another file")
    shape = tuple(int(side) for side in message.dims)
    if any(side < 0 for side in shape) or math.prod(shape) > 1 << 40:
        raise _DamageError(f"constant {name!r}: expected a shape of sizes, got {shape}")
    return Constant(name=name, dtype=_type(message.data_type, onnx), shape=shape, message=message)


def _type(code: int, onnx: Any) -> str:
    names: dict[int, str] = {number: name for name, number in onnx.TensorProto.DataType.items()}
    if code not in names:
        raise _DamageError(f"data_type: unknown code {code}; the file may be newer than the onnx installed here")
    return {"FLOAT": "float32", "DOUBLE": "float64"}.get(names[code], names[code].lower())


def _end(message: Any, onnx: Any) -> End:
    tensor = message.type.tensor_type
    shape = None
    if tensor.HasField("shape"):
        shape = tuple(int(side.dim_value) if side.HasField("dim_value") else -1 for side in tensor.shape.dim)
    return End(name=message.name, dtype=_type(tensor.elem_type, onnx), shape=shape)


def _folded(nodes: tuple[Node, ...], constants: Mapping[str, Constant]) -> frozenset[str]:
    found = set(constants)
    # Nodes stand in an order they can run in, so one pass sees every constant before its readers.
    for node in nodes:
        taken = [name for name in node.inputs if name]
        if taken and found.issuperset(taken):
            found.update(filter(None, node.outputs))
    return frozenset(found)


def _readers(nodes: tuple[Node, ...]) -> dict[str, tuple[Node, ...]]:
    found: dict[str, list[Node]] = {}
    for node in nodes:
        for name in dict.fromkeys(filter(None, node.inputs)):
            found.setdefault(name, []).append(node)
    return {name: tuple(readers) for name, readers in found.items()}
