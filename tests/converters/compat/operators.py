"""TFLite files of a single operator, and what the Edge TPU makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from converters import compat
from edgemed import targets
from tests.converters.compat.graphs import Graph

TINY = (Path(__file__).parents[2] / "data" / "tiny_int8.tflite").read_bytes()
MAP = (1, 8, 8, 4)


def check(raw: bytes) -> compat.Report:
    return compat.check(raw, source="model.tflite", target=targets.load("coral-usb"))


def single(
    name: str,
    shape: Sequence[int] = MAP,
    out: Sequence[int] | None = None,
    *constants: Callable[[Graph], int],
    dtype: str = "int8",
    first: bool = False,
    **more: Any,
) -> bytes:
    """Return a model of one operator: a computed input, then constants (before it with ``first``)."""
    graph = Graph(dtype)
    x = graph.input(shape)
    others = [make(graph) for make in constants]
    inputs = [*others, x] if first else [x, *others]
    return graph.finish(graph.op(name, inputs, shape if out is None else out, **more))


def numbers(values: Any) -> Callable[[Graph], int]:
    return lambda graph: graph.numbers(values)


def weights(shape: Sequence[int], **more: Any) -> Callable[[Graph], int]:
    return lambda graph: graph.weights(shape, **more)


def another(shape: Sequence[int] = MAP, **more: Any) -> Callable[[Graph], int]:
    return lambda graph: graph.input(shape, **more)


def conv(**options: int) -> bytes:
    graph = Graph()
    return graph.finish(graph.conv(graph.input(MAP), 8, options=options))


def conv_with(filters: Callable[[Graph], int], *, version: int = 3) -> bytes:
    return single("CONV_2D", MAP, (1, 8, 8, 8), filters, options={"strideW": 1, "strideH": 1}, version=version)


def depthwise(**options: int) -> bytes:
    table = {"strideW": 1, "strideH": 1, "depthMultiplier": 1, **options}
    return single("DEPTHWISE_CONV_2D", MAP, MAP, weights((1, 3, 3, 4), axis=3), options=table, version=3)


def pool(name: str, **options: int) -> bytes:
    table = {"strideW": 2, "strideH": 2, "filterWidth": 2, "filterHeight": 2, **options}
    return single(name, MAP, (1, 4, 4, 4), options=table, version=2)


def reduce(name: str, axes: Sequence[int], out: Sequence[int], shape: Sequence[int] = MAP) -> bytes:
    return single(name, shape, out, numbers(axes), version=2)


def resize(name: str, side: int) -> bytes:
    return single(name, MAP, (1, side, side, 4), numbers([side, side]), version=3)


def transposed(side: int, *, version: int = 3, activation: int = 0) -> bytes:
    graph = Graph()
    x = graph.input((1, side // 2, side // 2, 4))
    inputs = [graph.numbers([1, side, side, 8]), graph.weights((8, 2, 2, 4)), x, graph.bias(8)]
    options = {"strideW": 2, "strideH": 2, "fusedActivationFunction": activation}
    return graph.finish(graph.op("TRANSPOSE_CONV", inputs, (1, side, side, 8), options=options, version=version))


def strided(strides: Sequence[int] = (1, 1, 1, 1), **options: int) -> bytes:
    places = (numbers([0, 1, 1, 0]), numbers([1, 5, 5, 4]), numbers(strides))
    return single("STRIDED_SLICE", MAP, (1, 4, 4, 4), *places, options=options, version=2)


def concatenated(*others: Callable[[Graph], int], out: Sequence[int] = (1, 8, 8, 8), **options: int) -> bytes:
    return single("CONCATENATION", MAP, out, *others, options={"axis": 3, **options}, version=2)


def dense(shape: Sequence[int], out: Sequence[int], **options: Any) -> bytes:
    filters = weights((out[-1], shape[-1]), per_channel=False)
    return single("FULLY_CONNECTED", shape, out, filters, options=options, version=4)
