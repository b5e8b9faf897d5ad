"""An ONNX graph under construction: nodes, constants, quantizers, and at the end the file.

Every node and value is named after the TFLite operator it comes from (``conv_2d_3/Relu``), so that a line of
TensorRT's log leads back to the graph that was validated.

    network = Network(real=np.float32)
    value = network.node("Relu", [value], scope="conv_2d_3")

Source: ONNX opset 13, the first whose Q/DQ take one scale per channel; TensorRT 8.2 (JetPack 4.6) reads up to opset 13,
8.5 and 8.6 up to 17 (onnx-tensorrt, docs/operators.md of each release).
"""

from __future__ import annotations

import collections
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemed.errors import ConversionError, MissingDependencyError

__all__ = ["IR_VERSION", "OPSET", "Network", "Value"]

OPSET = 13
IR_VERSION = 7  # ONNX 1.8, which brought opset 13
_PRODUCER = "edgemed"


@dataclass(frozen=True, kw_only=True)
class Value:
    """A tensor of the graph: its name, and the names of its scale and zero point when int8 integers are stored."""

    name: str
    scale: str | None = None
    zero_point: str | None = None


class Network:
    """The graph so far; nodes are kept in the order they were added, which is one they can run in."""

    def __init__(self, *, real: type[np.float32] | type[np.float16]) -> None:
        """Start an empty graph whose real numbers are of type ``real``.

        Raises:
            MissingDependencyError: onnx is not installed.
        """
        try:
            import onnx
        except ImportError as err:
            raise MissingDependencyError(
                f"onnx: cannot be loaded: {err}; writing ONNX needs the extra 'jetson': pip install 'edgemed[jetson]'"
            ) from err
        self._onnx = onnx
        self.real = real
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._used: collections.Counter[str] = collections.Counter()

    def node(
        self, kind: str, inputs: Sequence[str], *, scope: str, output: str | None = None, **attributes: Any
    ) -> str:
        """Add a node with one output and return the output's name.

        Args:
            kind: ONNX operator.
            inputs: names; an empty one leaves an optional input out.
            scope: name of what it stands for.
            output: name to give to the output; None makes one.
            **attributes: of the operator.
        """
        name = self._fresh(f"{scope}/{kind}")
        result = output or name
        self._nodes.append(self._onnx.helper.make_node(kind, list(inputs), [result], name=name, **attributes))
        return result

    def constant(self, values: NDArray[Any], *, scope: str) -> str:
        """Add a constant and return its name; real numbers are stored in the graph's type.

        Raises:
            ConversionError: a number that is finite in float64 is not in the graph's type.
        """
        stored = np.asarray(values)
        if stored.dtype.kind == "f":
            with np.errstate(over="ignore"):
                stored = stored.astype(self.real)
            if not np.isfinite(stored).all():
                raise ConversionError(
                    f"{scope}: expected numbers that {np.dtype(self.real).name} can hold (at most "
                    f"{np.finfo(self.real).max:g}), got {np.abs(values).max():g}; train with weight decay, or use an "
                    "int8 target"
                )
        return self.exact(stored, scope=scope)

    def exact(self, values: NDArray[Any], *, scope: str) -> str:
        """Add a constant of the array's own type and return its name."""
        name = self._fresh(scope)
        # ascontiguousarray would make a vector of a scalar.
        self._constants.append(self._onnx.numpy_helper.from_array(np.array(values, order="C"), name))
        return name

    def quantized(self, name: str, scale: NDArray[np.float32], *, scope: str, axis: int | None = None) -> Value:
        """Add a QuantizeLinear with zero point 0; scale is () or, along ``axis``, (channels,)."""
        scale_name = self.exact(scale, scope=f"{scope}/scale")
        # Both constants are shared with the DequantizeLinear only, as PyTorch's export does: TensorRT's parser tells a
        # constant it has met before from a new one.
        zero_name = self.exact(np.zeros(scale.shape, np.int8), scope=f"{scope}/zero_point")
        attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
        integers = self.node("QuantizeLinear", [name, scale_name, zero_name], scope=scope, **attributes)
        return Value(name=integers, scale=scale_name, zero_point=zero_name)

    def dequantized(self, value: Value, *, scope: str, axis: int | None = None, output: str | None = None) -> str:
        """Return the real value: through a DequantizeLinear of its own for an int8 one, as it is for a real one."""
        if value.scale is None or value.zero_point is None:
            return value.name if output is None else self.node("Identity", [value.name], scope=scope, output=output)
        attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
        inputs = [value.name, value.scale, value.zero_point]
        return self.node("DequantizeLinear", inputs, scope=scope, output=output, **attributes)

    def file(
        self,
        *,
        inputs: Mapping[str, Sequence[int]],
        outputs: Mapping[str, Sequence[int]],
        metadata: Mapping[str, Any],
    ) -> bytes:
        """Return the ONNX file: float32 inputs and outputs of these shapes, metadata values as JSON.

        Raises:
            ConversionError: onnx refuses the graph.
        """
        helper = self._onnx.helper
        real = self._onnx.TensorProto.FLOAT
        graph = helper.make_graph(
            self._nodes,
            "edgemed",
            [helper.make_tensor_value_info(name, real, list(shape)) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, real, list(shape)) for name, shape in outputs.items()],
            initializer=self._constants,
        )
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name=_PRODUCER)
        helper.set_model_props(model, {key: json.dumps(value, sort_keys=True) for key, value in metadata.items()})
        try:
            self._onnx.checker.check_model(model, full_check=True)
        except (
            self._onnx.checker.ValidationError,
            self._onnx.shape_inference.InferenceError,
        ) as err:
            raise ConversionError(f"ONNX export: onnx refuses the graph: {str(err).splitlines()[0]}") from err
        return bytes(model.SerializeToString(deterministic=True))

    def _fresh(self, name: str) -> str:
        """Return the name, with a number behind it when it is taken."""
        self._used[name] += 1
        return name if self._used[name] == 1 else f"{name}.{self._used[name] - 1}"
