"""What a TFLite file holds, as frozen values; `edgemed.tflite.reading` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = ["COMPILED_OPERATOR", "Model", "Operator", "Option", "Tensor", "float_tensors", "is_compiled"]

# The custom operator that edgetpu_compiler puts in the place of what it mapped (coral.ai/docs/edgetpu/compiler).
COMPILED_OPERATOR = "edgetpu-custom-op"

Option: TypeAlias = "int | float | bool | str | tuple[int | float, ...] | None"


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One tensor of the graph.

    Attributes:
        index: its place in `Model.tensors`.
        shape: a dimension that is not static is -1.
        allocated_shape: what an interpreter allocates before anyone resizes: 1 where `shape` has -1, as converters
            write it; equal to `shape` for a static tensor.
        dtype: TFLite's type in lower case, e.g. ``int8``, ``float32``; numpy's name where numpy has the type.
        scales: () when not quantized, one value per tensor, or one per slice along `axis`.
        zero_points: as many as scales.
        axis: dimension the scales run along when there are several.
        is_constant: its values are stored in the file.
        is_variable: a state that outlives one inference, as recurrent layers have.
        buffer: place of its data in the file's table of buffers: tensors of one buffer share their bytes; 0 for none.
        data_start: place of its first byte in the file; 0 when computed.
        size_bytes: how many bytes of constant data it has in the file; 0 when computed.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    allocated_shape: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int
    is_constant: bool
    is_variable: bool
    buffer: int
    data_start: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One node of the graph, in execution order.

    Attributes:
        name: TFLite's name of the builtin, e.g. ``CONV_2D``; ``CUSTOM`` for every custom operator.
        custom_name: the custom operator's own name, e.g. ``edgetpu-custom-op``; None for a builtin.
        inputs: places in `Model.tensors`; -1 is an optional input left out.
        outputs: places in `Model.tensors`.
        options: the builtin's options under the schema's names in snake case, every field of its table with the
            schema's default where the file leaves it out; enums by name (``padding="SAME"``,
            ``fused_activation_function="RELU6"``), or by number when the schema has no such name; empty when the
            operator has none.
    """

    index: int
    name: str
    custom_name: str | None
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Option] = field(hash=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """The graph; ``inputs`` and ``outputs`` map signature names (without a signature: tensor names) to tensors.

    Attributes:
        raw: the file, for `edgemed.tflite.values`.
    """

    operators: tuple[Operator, ...]
    tensors: tuple[Tensor, ...]
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    raw: bytes = field(repr=False)


def float_tensors(model: Model) -> tuple[Tensor, ...]:
    """Return the tensors of a floating type, constants included, in graph order; empty for a full int8 model."""
    return tuple(tensor for tensor in model.tensors if tensor.dtype.startswith(("float", "bfloat", "complex")))


def is_compiled(model: Model) -> bool:
    """Return whether Google's Edge TPU compiler has made this file: it runs with the Edge TPU delegate only."""
    return any(operator.custom_name == COMPILED_OPERATOR for operator in model.operators)
