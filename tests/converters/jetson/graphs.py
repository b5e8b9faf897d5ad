"""Int8 TFLite graphs with symmetric activations, operator by operator, and what LiteRT answers to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as tables

from edgemed.runtime import backends
from edgemed.runtime.interpreter import Interpreter, Kernels
from tests.converters.compat.graphs import Graph

IMAGE = (1, 12, 11, 3)
FUSED = tables.ActivationFunctionType
SAME, VALID = tables.Padding.SAME, tables.Padding.VALID
ONE = {"strideH": 1, "strideW": 1}
TWO = {"strideH": 2, "strideW": 2}

Build = Callable[[Graph, int], int]
"""Adds operators behind an image and returns the output."""


def raw(build: Build, shape: Sequence[int] = IMAGE, **of_input: Any) -> bytes:
    """Return the file of one image, int8 with scale 0.05, and what ``build`` adds."""
    graph = Graph()
    return graph.finish(build(graph, graph.input(shape, **of_input)))


def integers(graph: Graph, shape: Sequence[int], axis: int = 0, *, seed: int = 4, scale: float = 0.01) -> int:
    """Add random int8 weights with a scale for each slice along ``axis``."""
    rng = np.random.default_rng(seed)
    scales = (scale * rng.uniform(0.5, 1.5, shape[axis])).astype(np.float32).tolist()
    data = rng.integers(-127, 128, shape, dtype=np.int8)
    return graph.tensor(shape, data=data, scales=scales, axis=axis)


def bias(graph: Graph, count: int) -> int:
    return graph.tensor(
        (count,), dtype="int32", data=np.random.default_rng(5).integers(-3000, 3000, count, dtype=np.int32), scales=()
    )


def convolution(
    channels: int = 5,
    *,
    kernel: int = 3,
    scale: float = 0.06,
    weight_scale: float = 0.01,
    inner: int = 3,
    size: tuple[int, int] = (12, 11),
    **options: Any,
) -> Build:
    """Return a builder of a convolution whose output has this size."""

    def build(graph: Graph, x: int) -> int:
        weights = integers(graph, (channels, kernel, kernel, inner), scale=weight_scale)
        return graph.op(
            "CONV_2D",
            (x, weights, bias(graph, channels)),
            (1, *size, channels),
            options={**ONE, "padding": SAME, **options},
            scales=(scale,),
            version=3,
        )

    return build


def depthwise(multiplier: int = 1, *, size: tuple[int, int] = (12, 11), **options: Any) -> Build:
    def build(graph: Graph, x: int) -> int:
        channels = graph.shape(x)[3] * multiplier
        return graph.op(
            "DEPTHWISE_CONV_2D",
            (x, integers(graph, (1, 3, 3, channels), 3), bias(graph, channels)),
            (1, *size, channels),
            options={**ONE, "padding": SAME, "depthMultiplier": multiplier, **options},
            scales=(0.05,),
            version=3,
        )

    return build


def transposed(kernel: int, padding: int, size: tuple[int, int]) -> Build:
    def build(graph: Graph, x: int) -> int:
        output = (1, *size, 4)
        inputs = (graph.numbers(output), integers(graph, (4, kernel, kernel, 3)), x, bias(graph, 4))
        return graph.op(
            "TRANSPOSE_CONV", inputs, output, options={**TWO, "padding": padding}, scales=(0.05,), version=3
        )

    return build


def dense(graph: Graph, x: int) -> int:
    inner = int(np.prod(graph.shape(x)))
    inputs = (x, integers(graph, (6, inner), scale=0.004), bias(graph, 6))
    return graph.op("FULLY_CONNECTED", inputs, (1, 6), scales=(0.08,), version=5)


def pooled(graph: Graph, x: int) -> int:
    return graph.op(
        "MEAN", (x, graph.numbers([1, 2])), (1, graph.shape(x)[3]), options={"keepDims": False}, scales=(0.02,)
    )


def one(name: str, *, shape: Sequence[int] = IMAGE, scale: float = 0.05, zero_point: int = 0, **more: Any) -> Build:
    """Return a builder of an operator with the image as its only input."""

    def build(graph: Graph, x: int) -> int:
        return graph.op(name, (x,), shape, scales=(scale,), zero_point=zero_point, **more)

    return build


def with_numbers(name: str, *values: Any, shape: Sequence[int], scale: float = 0.05, **more: Any) -> Build:
    """Return a builder of an operator that takes the image and constant int32 numbers."""

    def build(graph: Graph, x: int) -> int:
        return graph.op(name, (x, *(graph.numbers(one) for one in values)), shape, scales=(scale,), **more)

    return build


def pair(name: str, *, scale: float, **more: Any) -> Build:
    """Return a builder of an operator on the image and its mirror of another scale."""

    def build(graph: Graph, x: int) -> int:
        other = graph.op("LEAKY_RELU", (x,), graph.shape(x), options={"alpha": 0.5}, scales=(0.06,))
        return graph.op(name, (x, other), graph.shape(x), scales=(scale,), **more)

    return build


def concatenated(graph: Graph, x: int) -> int:
    other = graph.op("LEAKY_RELU", (x,), graph.shape(x), options={"alpha": 0.5})
    return graph.op("CONCATENATION", (x, other), (*graph.shape(x)[:3], 6), options={"axis": 3})


def with_constant(
    name: str, shape: Sequence[int], *, scale: float, constant: tuple[float, int] = (0.02, 7), **more: Any
) -> Build:
    """Return a builder of an operator on the image and a constant of this shape, scale and zero point."""

    def build(graph: Graph, x: int) -> int:
        data = np.random.default_rng(6).integers(-100, 100, shape, dtype=np.int8)
        stored = graph.tensor(shape, data=data, scales=constant[:1], zero_point=constant[1])
        return graph.op(name, (x, stored), graph.shape(x), scales=(scale,), **more)

    return build


def sequence(*builds: Build) -> Build:
    def build(graph: Graph, x: int) -> int:
        for step in builds:
            x = step(graph, x)
        return x

    return build


def normalised(then: Build) -> Build:
    """Return a builder that scales a plane of grey levels to -1..1 with TFLite's ranges, asymmetric ones too."""

    def build(graph: Graph, x: int) -> int:
        factor = graph.tensor((), data=np.int8(127), scales=(1 / 127.5 / 127,))
        scaled = graph.op("MUL", (x, factor), graph.shape(x), scales=(2 / 255,), zero_point=-128)
        offset = graph.tensor((), data=np.int8(-127), scales=(1 / 127,))
        return then(graph, graph.op("ADD", (scaled, offset), graph.shape(x), scales=(1 / 127,)))

    return build


def inputs(interpreter: Interpreter, *, count: int = 6) -> list[Mapping[str, Any]]:
    """Return seeded int8 inputs for a model."""
    rng = np.random.default_rng(9)
    return [
        {name: rng.integers(-128, 128, spec.shape, dtype=np.int8) for name, spec in interpreter.inputs.items()}
        for _ in range(count)
    ]


def lsb_apart(tflite: bytes, onnx: bytes, kernels: Kernels) -> tuple[np.ndarray, np.ndarray]:
    """Return the differences ONNX minus TFLite of the only output, and TFLite's own answers."""
    reference = backends.load(tflite, backend="litert", kernels=Kernels.REFERENCE)
    other = backends.load(onnx, backend="onnxruntime", kernels=kernels)
    fed = inputs(reference)
    of_tflite = np.concatenate([next(iter(reference.invoke(one).values())) for one in fed]).astype(int)
    of_onnx = np.concatenate([next(iter(other.invoke(one).values())) for one in fed]).astype(int)
    return of_onnx - of_tflite, of_tflite


def screening() -> bytes:
    """Return a model of the contract: plane (1, 16, 16, 1) of grey levels, ``logit``, ``evidence``, ``embedding``."""
    graph = Graph()
    plane = graph.input((1, 16, 16, 1), scales=(1.0,), zero_point=-128)
    features = normalised(convolution(8, inner=1, size=(8, 8), fusedActivationFunction=FUSED.RELU, **TWO))(graph, plane)
    evidence = convolution(1, kernel=1, inner=8, size=(8, 8), scale=0.08, weight_scale=0.006)(graph, features)
    axes = {"keepDims": False}
    logit = graph.op("MEAN", (evidence, graph.numbers([1, 2])), (1, 1), options=axes, scales=(0.02,))
    embedding = graph.op("MEAN", (features, graph.numbers([1, 2])), (1, 8), options=axes, scales=(0.06,))
    named = {"plane": plane, "logit": logit, "evidence": evidence, "embedding": embedding}
    for name, tensor in named.items():
        graph.graph.tensors[tensor].name = name
    return graph.finish(logit, evidence, embedding)


def planes(count: int) -> np.ndarray:
    """Return seeded planes of blobs, dark to bright, (count, 16, 16) uint8."""
    rng = np.random.default_rng(12)
    coarse = np.clip(rng.uniform(0, 255, (count, 1, 1)) + rng.normal(0, 50, (count, 4, 4)), 0, 255)
    return coarse.repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)
