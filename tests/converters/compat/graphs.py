"""Small TFLite files written operator by operator, so that a rule is tested on exactly what it is about.

    graph = Graph()
    x = graph.input((1, 8, 8, 4))
    y = graph.conv(x, 8, options={"dilationWFactor": 2})
    raw = graph.finish(y)

Written with the flatbuffer object tree of ai-edge-litert: no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as tables

SCALE = 0.05
TYPES = {
    "float32": tables.TensorType.FLOAT32,
    "float16": tables.TensorType.FLOAT16,
    "int8": tables.TensorType.INT8,
    "uint8": tables.TensorType.UINT8,
    "int16": tables.TensorType.INT16,
    "int32": tables.TensorType.INT32,
    "int64": tables.TensorType.INT64,
    "bool": tables.TensorType.BOOL,
}
# Operators whose options table is named otherwise than the operator.
OPTIONS = {
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "MEAN": "ReducerOptions",
    "SUM": "ReducerOptions",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "L2_NORMALIZATION": "L2NormOptions",
    "PADV2": "PadV2Options",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTMOptions",
}
# Operators that TFLite knows in one version only, whatever a test asks for.
FIRST_VERSION_ONLY = ("ELU", "EXPAND_DIMS", "HARD_SWISH", "PRELU", "RESHAPE", "SQUEEZE")


class Graph:
    """A file being written; tensors are their indices."""

    def __init__(self, dtype: str = "int8") -> None:
        self.dtype = dtype
        self.model = tables.ModelT()
        self.model.version = 3
        self.model.buffers = [tables.BufferT()]
        self.model.operatorCodes = []
        self.model.signatureDefs = []
        self.graph = tables.SubGraphT()
        self.graph.tensors, self.graph.operators, self.graph.inputs, self.graph.outputs = [], [], [], []
        self.model.subgraphs = [self.graph]

    def tensor(
        self,
        shape: Sequence[int],
        *,
        dtype: str | None = None,
        data: np.ndarray | None = None,
        scales: Sequence[float] = (SCALE,),
        zero_point: int = 0,
        axis: int = 0,
        signature: Sequence[int] | None = None,
    ) -> int:
        """Add a tensor; an integer of 8 or 16 bits is quantized, the wider ones only when they are biases."""
        made = tables.TensorT()
        made.name = f"tensor_{len(self.graph.tensors)}"
        made.shape = list(shape)
        made.type = TYPES[dtype or self.dtype]
        made.shapeSignature = None if signature is None else list(signature)
        made.buffer = 0
        if data is not None:
            made.buffer = len(self.model.buffers)
            buffer = tables.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
        if (dtype or self.dtype) in ("int8", "uint8", "int16") or len(scales) > 1 or (scales and dtype == "bias"):
            quantization = tables.QuantizationParametersT()
            quantization.scale, quantization.zeroPoint = list(scales), [zero_point] * len(scales)
            quantization.quantizedDimension = axis
            made.quantization = quantization
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def input(self, shape: Sequence[int], **more: Any) -> int:
        """Add an input of the graph."""
        made = self.tensor(shape, **more)
        self.graph.inputs.append(made)
        return made

    def numbers(self, values: Any, dtype: str = "int32") -> int:
        """Add a constant that is not quantized: a shape, axes, paddings."""
        data = np.asarray(values, dtype)
        return self.tensor(data.shape, dtype=dtype, data=data, scales=())

    def weights(self, shape: Sequence[int], *, axis: int = 0, per_channel: bool = True, value: int = 1) -> int:
        """Add constant weights of the graph's type."""
        data = np.full(shape, value, self.dtype)
        if self.dtype.startswith("float"):
            return self.tensor(shape, data=data, scales=())
        return self.tensor(shape, data=data, scales=(SCALE,) * (shape[axis] if per_channel else 1), axis=axis)

    def bias(self, channels: int, *, per_channel: bool = True) -> int:
        """Add the bias of a convolution or dense layer."""
        if self.dtype.startswith("float"):
            return self.tensor((channels,), data=np.zeros(channels, self.dtype), scales=())
        made = self.tensor((channels,), dtype="int32", data=np.zeros(channels, np.int32), scales=())
        quantization = tables.QuantizationParametersT()
        count = channels if per_channel else 1
        quantization.scale, quantization.zeroPoint = [SCALE * SCALE] * count, [0] * count
        self.graph.tensors[made].quantization = quantization
        return made

    def op(
        self,
        name: str,
        inputs: Sequence[int],
        *shapes: Sequence[int],
        options: Mapping[str, Any] | None = None,
        version: int = 1,
        dtype: str | None = None,
        custom: str | None = None,
        **more: Any,
    ) -> int:
        """Add an operator and an output of each shape; return the first output."""
        code = tables.OperatorCodeT()
        code.builtinCode = getattr(tables.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version, code.customCode = 1 if name in FIRST_VERSION_ONLY else version, custom
        self.model.operatorCodes.append(code)
        made = tables.OperatorT()
        made.opcodeIndex = len(self.model.operatorCodes) - 1
        made.inputs = list(inputs)
        made.outputs = [self.tensor(shape, dtype=dtype, **more) for shape in shapes]
        table = OPTIONS.get(name) or "".join(map(str.capitalize, name.split("_"))) + "Options"
        if hasattr(tables, f"{table}T"):
            made.builtinOptionsType = getattr(tables.BuiltinOptions, table)
            made.builtinOptions = getattr(tables, f"{table}T")()
            for key, value in (options or {}).items():
                assert hasattr(made.builtinOptions, key), key
                setattr(made.builtinOptions, key, value)
        else:
            assert not options, table
        self.graph.operators.append(made)
        return made.outputs[0]

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return tuple(self.graph.tensors[tensor].shape)

    def conv(self, x: int, channels: int, *, kernel: int = 3, options: Mapping[str, Any] | None = None) -> int:
        """Add a 3x3 convolution with stride 1, padding SAME."""
        batch, height, width, depth = self.shape(x)
        inputs = (x, self.weights((channels, kernel, kernel, depth)), self.bias(channels))
        stride = {"strideW": 1, "strideH": 1} | dict(options or {})
        return self.op("CONV_2D", inputs, (batch, height, width, channels), options=stride, version=3)

    def finish(self, *outputs: int) -> bytes:
        """Return the file."""
        self.graph.outputs = list(outputs)
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())
