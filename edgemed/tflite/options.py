"""The options of one operator, read from the flatbuffer classes by their accessors' names.

A generated class has one method per field: ``StrideW()`` for a number or a text, and for a vector ``NewShape(j)`` with
``NewShapeLength()`` and ``NewShapeAsNumpy()``. Enums are plain numbers there; the schema's names are looked up here.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from edgemed.tflite.damage import DamageError
from edgemed.tflite.model import Option

__all__ = ["Options"]

# Field -> the schema's enum, for scalar fields (schema.fbs names the type beside each field).
_ENUMS = {
    "algorithm": "RngAlgorithm",
    "combiner": "CombinerType",
    "compare_type": "StablehloComparisonType",
    "comparison_direction": "StablehloComparisonDirection",
    "composite_attributes_format": "CustomOptionsFormat",
    "fused_activation_function": "ActivationFunctionType",
    "idx_out_type": "TensorType",
    "in_data_type": "TensorType",
    "kernel_type": "LSTMKernelType",
    "key_dtype": "TensorType",
    "mode": "MirrorPadMode",
    "out_data_type": "TensorType",
    "out_type": "TensorType",
    "output_type": "TensorType",
    "padding": "Padding",
    "quantized_bias_type": "TensorType",
    "reduce_function": "ReduceWindowFunction",
    "type": "LSHProjectionType",
    "value_dtype": "TensorType",
    "weights_format": "FullyConnectedOptionsWeightsFormat",
}
_PARTS = ("Length", "AsNumpy", "IsNone")


@dataclass(frozen=True, kw_only=True)
class _Field:
    """One field of an options table."""

    name: str
    accessor: str
    is_vector: bool


class Options:
    """Reads options of either union; ``take`` is told how many elements each vector or text has."""

    def __init__(self, tables: Any, take: Callable[[int, str], None]) -> None:
        self._tables = tables
        self._take = take

    def read(self, operator: Any, where: str) -> Mapping[str, Option]:
        """Return the options of a flatbuffer ``Operator``, both unions together.

        Raises:
            DamageError: a union member that the schema does not have, or a number that is none.
        """
        found: dict[str, Option] = {}
        for union in ("BuiltinOptions", "BuiltinOptions2"):
            code = getattr(operator, f"{union}Type")()
            table = getattr(operator, union)()
            if code and table is not None:
                found.update(self._fields(_member(self._tables, union, code, where), table, where))
        return MappingProxyType(found)

    def _fields(self, kind: Any, table: Any, where: str) -> dict[str, Option]:
        options = kind()
        options.Init(table.Bytes, table.Pos)
        fields = _fields_of(kind)
        self._take(len(fields), where)
        return {one.name: self._value(options, one, f"{where}.{one.name}") for one in fields}

    def _value(self, options: Any, one: _Field, where: str) -> Option:
        if one.is_vector:
            count = getattr(options, f"{one.accessor}Length")()
            self._take(count, where)
            return tuple(getattr(options, f"{one.accessor}AsNumpy")().tolist()) if count else ()
        value: Any = getattr(options, one.accessor)()
        if isinstance(value, bytes):
            self._take(len(value), where)
            return value.decode("utf-8")
        if isinstance(value, float) and not math.isfinite(value):
            raise DamageError(f"{where}: expected a finite number, got {value}")
        return _named(self._tables, one.name, value)


def _member(tables: Any, union: str, code: int, where: str) -> Any:
    names = _names(getattr(tables, union))
    if code not in names:
        raise DamageError(
            f"{where}: unknown code {code} of {union}; the file may be newer than the ai-edge-litert installed here"
        )
    return getattr(tables, names[code])


@functools.cache
def _fields_of(kind: Any) -> tuple[_Field, ...]:
    """Return the fields of a generated options class, in the schema's order."""
    own = {name: method for name, method in vars(kind).items() if inspect.isfunction(method) and name != "Init"}
    names = [name for name in own if not any(name.endswith(part) and name[: -len(part)] in own for part in _PARTS)]
    return tuple(
        _Field(name=_snake_case(name), accessor=name, is_vector=len(inspect.signature(own[name]).parameters) > 1)
        for name in names
    )


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _named(tables: Any, field: str, value: Any) -> Option:
    """Return an enum's name, any other value as it is."""
    if field in _ENUMS and isinstance(value, int):
        return _names(getattr(tables, _ENUMS[field])).get(value, value)
    return value  # type: ignore[no-any-return]  # the generated classes carry no types


def _names(kind: Any) -> Mapping[int, str]:
    """Return the names of a generated enum, or the members of a union, by their numbers."""
    return {number: name for name, number in vars(kind).items() if isinstance(number, int)}
