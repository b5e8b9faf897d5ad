"""A float ONNX model of the contract whose answers are means of its plane: known without running it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def model() -> bytes:
    """Return the model: evidence (1, 4, 4, 1) is the mean of each 4 x 4 block, the logit the mean of all over 100."""
    import onnx
    from onnx import TensorProto, helper

    shapes = {"block": [1, 4, 4, 4, 4, 1], "strip": [1, 8, 32]}
    constants = [helper.make_tensor(name, TensorProto.INT64, [len(s)], s) for name, s in shapes.items()]
    hundred = helper.make_tensor("hundred", TensorProto.FLOAT, [], [100.0])
    nodes = [
        helper.make_node("Div", ["plane", "hundred"], ["small"]),
        helper.make_node("Reshape", ["small", "block"], ["blocks"]),
        helper.make_node("ReduceMean", ["blocks"], ["evidence"], axes=[2, 4], keepdims=0),
        helper.make_node("ReduceMean", ["evidence"], ["logit"], axes=[1, 2], keepdims=0),
        helper.make_node("Reshape", ["small", "strip"], ["strips"]),
        helper.make_node("ReduceMean", ["strips"], ["embedding"], axes=[2], keepdims=0),
    ]
    ends: dict[str, Any] = {"logit": [1, 1], "evidence": [1, 4, 4, 1], "embedding": [1, 8]}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("plane", TensorProto.FLOAT, [1, 16, 16, 1])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ends.items()],
        [*constants, hundred],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


def logit(plane: NDArray[np.uint8]) -> float:
    """Return what the model answers to a plane."""
    return float(plane.mean() / 100.0)
