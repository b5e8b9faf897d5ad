"""Small ONNX files, node by node, so that a rule of TensorRT's is tested on exactly what it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

SHAPE = (1, 4, 8, 8)
SCALE, ZERO = np.float32(0.05), np.int8(0)


class Graph:
    """A file being written; values are their names."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def constant(self, values: Any, name: str) -> str:
        self.constants[name] = numpy_helper.from_array(np.asarray(values), name)
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str, *, domain: str = "", **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [output], domain=domain, **attributes))
        return output

    def pair(
        self,
        value: str,
        name: str,
        *,
        scale: Any = SCALE,
        point: Any = ZERO,
        **attributes: Any,
    ) -> str:
        """Add a QuantizeLinear and a DequantizeLinear behind a value."""
        both = [self.constant(scale, f"{name}.scale"), self.constant(point, f"{name}.point")]
        quantized = self.node("QuantizeLinear", [value, *both], f"{name}.q", **attributes)
        return self.node("DequantizeLinear", [quantized, *both], f"{name}.dq", **attributes)

    def weights(self, name: str = "w", *, channels: int = 3, inner: int = 4) -> str:
        """Add weights (channels, inner, 3, 3) behind a pair with one scale per output channel."""
        values = np.random.default_rng(1).normal(0, 1, (channels, inner, 3, 3)).astype(np.float32)
        scales = np.abs(values).max(axis=(1, 2, 3)) / np.float32(127)
        return self.pair(self.constant(values, name), name, scale=scales, point=np.zeros(channels, np.int8), axis=0)

    def finish(
        self,
        output: str,
        *,
        opset: int = 13,
        shape: Sequence[Any] = SHAPE,
        metadata: Mapping[str, str] | None = None,
        output_shape: Sequence[Any] = (1, 3, 8, 8),
    ) -> bytes:
        graph = helper.make_graph(
            self.nodes,
            "graph",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, output_shape)],
            initializer=list(self.constants.values()),
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
        helper.set_model_props(model, dict(metadata or {}))
        return bytes(model.SerializeToString())


def convolution(graph: Graph, **of_activation: Any) -> str:
    """Add a convolution with ReLU, quantized as TensorRT wants it but for what is said of its activation."""
    x = graph.pair("x", "x", **of_activation)
    bias = graph.constant(np.zeros(3, np.float32), "bias")
    y = graph.node("Conv", [x, graph.weights(), bias], "y", pads=[1, 1, 1, 1])
    return graph.pair(graph.node("Relu", [y], "relu"), "out")
