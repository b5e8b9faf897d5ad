"""Bytes to `Model`: every index checked, every element counted.

Source: the TFLite schema, version 3 (file identifier ``TFL3``), through the flatbuffer classes of ai-edge-litert.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from edgemed.errors import ConversionError
from edgemed.tflite.damage import DamageError
from edgemed.tflite.model import Model, Operator, Tensor
from edgemed.tflite.options import Options

__all__ = ["read"]

_DEFAULT_SIGNATURE = "serving_default"
_DATA_SLOT = 4  # of field ``data`` in the table Buffer, the first of schema.fbs


def read(raw: bytes, *, source: str) -> Model:
    """Return the graph in a TFLite file.

    Args:
        raw: the file's bytes.
        source: the file's name for messages.

    Raises:
        ConversionError: not a TFLite file, damaged, an unknown operator or type, or more than one subgraph or
            signature to choose from.
    """
    if raw[4:8] != b"TFL3":
        raise ConversionError(
            f"{source}: expected a TFLite file (identifier 'TFL3' at byte 4), got {len(raw)} other bytes"
        )
    from ai_edge_litert import schema_py_generated as tables

    try:
        return _Reader(raw, tables).model()
    except DamageError as err:
        raise ConversionError(f"{source}: {err}") from err
    except (struct.error, IndexError, ValueError, TypeError, OverflowError) as err:
        # What the flatbuffer classes raise when an offset leaves the file or a field is not what it claims.
        raise ConversionError(f"{source}: expected a whole TFLite file, got a damaged one: {err}") from err


class _Reader:
    """Reads one file; counts every element taken, because offsets may overlap and multiply a small file."""

    def __init__(self, raw: bytes, tables: Any) -> None:
        self._raw = raw
        self._root = tables.Model.GetRootAs(raw, 0)
        self._types = {code: name.lower() for name, code in vars(tables.TensorType).items() if name.isupper()}
        self._builtins = {code: name for name, code in vars(tables.BuiltinOperator).items() if name.isupper()}
        self._left = 4 * len(raw) + 1024
        self._options = Options(tables, self._take)

    def model(self) -> Model:
        graph = self._only_subgraph()
        tensors = tuple(self._tensor(i, table) for i, table in enumerate(self._items(graph, "Tensors")))
        codes = tuple(self._code(table) for table in self._items(self._root, "OperatorCodes"))
        operators = tuple(
            self._operator(i, table, codes, len(tensors)) for i, table in enumerate(self._items(graph, "Operators"))
        )
        inputs, outputs = self._ends(graph, tensors)
        return Model(operators=operators, tensors=tensors, inputs=inputs, outputs=outputs, raw=self._raw)

    def _only_subgraph(self) -> Any:
        count = self._root.SubgraphsLength()
        if count != 1:
            raise DamageError(
                f"subgraphs: expected 1, got {count}; export a graph without if, while or other control flow"
            )
        return self._root.Subgraphs(0)

    def _tensor(self, index: int, table: Any) -> Tensor:
        where = f"tensors[{index}]"
        scales, zero_points, axis = self._quantization(table.Quantization(), where)
        shape = tuple(int(side) for side in self._numbers(table, "Shape"))
        start, size_bytes = self._data(table.Buffer(), f"{where}.buffer")
        return Tensor(
            index=index,
            name=self._text(table.Name(), f"{where}.name"),
            shape=tuple(int(side) for side in self._numbers(table, "ShapeSignature")) or shape,
            allocated_shape=shape,
            dtype=_known(self._types, table.Type(), f"{where}.type"),
            scales=scales,
            zero_points=zero_points,
            axis=axis,
            is_constant=size_bytes > 0,
            is_variable=bool(table.IsVariable()),
            buffer=table.Buffer() if size_bytes else 0,
            data_start=start,
            size_bytes=size_bytes,
        )

    def _quantization(self, table: Any, where: str) -> tuple[tuple[float, ...], tuple[int, ...], int]:
        if table is None:
            return (), (), 0
        scales = tuple(float(scale) for scale in self._numbers(table, "Scale"))
        zero_points = tuple(int(point) for point in self._numbers(table, "ZeroPoint"))
        if not all(math.isfinite(scale) for scale in scales):
            raise DamageError(f"{where}.quantization.scale: expected finite numbers, got NaN or infinity")
        if len(zero_points) != len(scales):
            got = f"{len(scales)} and {len(zero_points)}"
            raise DamageError(f"{where}.quantization: expected as many zero points as scales, got {got}")
        return scales, zero_points, int(table.QuantizedDimension())

    def _data(self, buffer: int, where: str) -> tuple[int, int]:
        """Return where a buffer's bytes begin in the file and how many they are; (0, 0) for an empty one."""
        # Buffer 0 is empty by definition: the tensor is computed.
        if buffer == 0:
            return 0, 0
        _check_place(buffer, self._root.BuffersLength(), where)
        table = self._root.Buffers(buffer)
        start, size_bytes = table.Offset(), table.Size()
        # An offset above 1 points at data behind the flatbuffer, in files past 2 GiB.
        if start <= 1:
            size_bytes = table.DataLength()
            # The generated classes give the values of a vector, not its place.
            start = table._tab.Vector(table._tab.Offset(_DATA_SLOT)) if size_bytes else 0
        if size_bytes == 0:
            return 0, 0
        if not 0 < start <= len(self._raw) - size_bytes:
            raise DamageError(f"{where}: expected its {size_bytes} bytes inside the file, got a place past its end")
        return int(start), int(size_bytes)

    def _code(self, table: Any) -> tuple[str, str | None, int]:
        # Files from before builtin 127 carry the code in the first field only; later ones carry the larger in both.
        code = max(table.DeprecatedBuiltinCode(), table.BuiltinCode())
        name = _known(self._builtins, code, "operator_codes")
        custom = self._text(table.CustomCode(), "operator_codes.custom_code") if name == "CUSTOM" else None
        return name, custom, int(table.Version())

    def _operator(self, index: int, table: Any, codes: tuple[tuple[str, str | None, int], ...], count: int) -> Operator:
        where = f"operators[{index}]"
        _check_place(table.OpcodeIndex(), len(codes), f"{where}.opcode_index")
        name, custom, version = codes[table.OpcodeIndex()]
        inputs, outputs = self._numbers(table, "Inputs"), self._numbers(table, "Outputs")
        for place in inputs:
            if place != -1:
                _check_place(place, count, f"{where}.inputs")
        for place in outputs:
            _check_place(place, count, f"{where}.outputs")
        return Operator(
            index=index,
            name=name,
            custom_name=custom,
            version=version,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            options=self._options.read(table, f"{where}.options"),
        )

    def _ends(self, graph: Any, tensors: tuple[Tensor, ...]) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        signature = self._signature()
        if signature is None:
            return self._by_tensor_name(graph, "Inputs", tensors), self._by_tensor_name(graph, "Outputs", tensors)
        return self._by_signature(signature, "Inputs", tensors), self._by_signature(signature, "Outputs", tensors)

    def _signature(self) -> Any:
        found = {
            self._text(table.SignatureKey(), "signature_defs.signature_key"): table
            for table in self._items(self._root, "SignatureDefs")
        }
        if len(found) > 1 and _DEFAULT_SIGNATURE not in found:
            raise DamageError(f"signature_defs: expected one, or one named {_DEFAULT_SIGNATURE!r}, got {sorted(found)}")
        return found.get(_DEFAULT_SIGNATURE) or next(iter(found.values()), None)

    def _by_signature(self, signature: Any, field: str, tensors: tuple[Tensor, ...]) -> Mapping[str, Tensor]:
        where = f"signature_defs.{field.lower()}"
        named = [(self._text(entry.Name(), where), entry.TensorIndex()) for entry in self._items(signature, field)]
        return _mapped(named, tensors, where)

    def _by_tensor_name(self, graph: Any, field: str, tensors: tuple[Tensor, ...]) -> Mapping[str, Tensor]:
        where = f"subgraphs[0].{field.lower()}"
        places = self._numbers(graph, field)
        for place in places:
            _check_place(place, len(tensors), where)
        return _mapped([(tensors[place].name, place) for place in places], tensors, where)

    def _items(self, table: Any, field: str) -> Iterator[Any]:
        count = getattr(table, f"{field}Length")()
        self._take(count, field)
        for i in range(count):
            yield getattr(table, field)(i)

    def _numbers(self, table: Any, field: str) -> list[Any]:
        count = getattr(table, f"{field}Length")()
        self._take(count, field)
        return list(getattr(table, f"{field}AsNumpy")().tolist()) if count else []

    def _text(self, raw: bytes | None, where: str) -> str:
        if raw is None:
            raise DamageError(f"{where}: expected a name, got none")
        self._take(len(raw), where)
        return raw.decode("utf-8")

    def _take(self, count: int, what: str) -> None:
        self._left -= count
        if self._left < 0:
            raise DamageError(f"{what}: claims more elements than the file has bytes")


def _known(names: Mapping[int, str], code: int, where: str) -> str:
    if code not in names:
        raise DamageError(f"{where}: unknown code {code}; the file may be newer than the ai-edge-litert installed here")
    return names[code]


def _check_place(place: int, count: int, where: str) -> None:
    if not 0 <= place < count:
        raise DamageError(f"{where}: expected a place in 0..{count - 1}, got {place}")


def _mapped(named: list[tuple[str, int]], tensors: tuple[Tensor, ...], where: str) -> Mapping[str, Tensor]:
    if len({name for name, _ in named}) != len(named):
        raise DamageError(f"{where}: names repeat")
    for name, place in named:
        _check_place(place, len(tensors), f"{where}.{name}")
    return MappingProxyType({name: tensors[place] for name, place in named})
