"""A TFLite model written as ONNX: int8 with Q/DQ pairs, or float16 for a GPU without int8.

Inputs and outputs keep TFLite's names and shapes, in float32. A QDQ model names the int8 scales of both ends in its
metadata, so that a back end can answer in the very integers that were validated, without reading the graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from converters.jetson import arithmetic, layout, ranges, spatial, weighted
from converters.jetson.network import Network
from converters.jetson.translation import Call, CannotWriteError, Translation
from edgemed import tflite
from edgemed.errors import ConversionError
from edgemed.runtime.backends.onnx_session import QUANTIZATION_KEY

__all__ = ["OPERATORS", "float16_onnx", "qdq_onnx"]

OPERATORS = {**arithmetic.WRITERS, **spatial.WRITERS, **weighted.WRITERS}
"""The TFLite operators that can be written, by name."""

_SHOWN = 5
_ONNX_FLOAT, _ONNX_FLOAT16 = 1, 10  # onnx.TensorProto.FLOAT and FLOAT16


def qdq_onnx(raw: bytes, *, source: str = "int8.tflite") -> bytes:
    """Return an int8 TFLite model as ONNX with QuantizeLinear and DequantizeLinear, as TensorRT takes it.

    Args:
        raw: full int8 TFLite file whose activations have zero point 0, apart from those `converters.jetson.ranges`
            excuses.
        source: the file's name for messages.

    Returns:
        ONNX, opset 13, static shapes; float32 inputs and outputs with TFLite's names and shapes.

    Raises:
        ConversionError: not a TFLite file, not full int8, zero points other than 0, or operators that cannot be
            written; all of those are named.
        MissingDependencyError: onnx is not installed.
    """
    model = _read(raw, source)
    if left := [tensor for tensor in ranges.activations(model) if tensor.dtype != "int8"]:
        raise ConversionError(
            f"{source}: expected int8 activations only, got {len(left)} others, the first "
            f"tensors[{left[0].index}] {left[0].name!r} of {left[0].dtype}; convert to full int8"
        )
    scales = ranges.scales(model, source=source)
    return _written(model, Network(real=np.float32), scales, source=source)


def float16_onnx(raw: bytes, *, source: str = "float32.tflite") -> bytes:
    """Return a float32 TFLite model as ONNX that computes in float16, for a GPU that TensorRT has no int8 for.

    Args:
        raw: float32 TFLite file.
        source: the file's name for messages.

    Returns:
        ONNX, opset 13, static shapes; float32 inputs and outputs with TFLite's names and shapes.

    Raises:
        ConversionError: not a TFLite file, tensors other than float32, a weight that float16 cannot hold, or
            operators that cannot be written.
        MissingDependencyError: onnx is not installed.
    """
    model = _read(raw, source)
    if left := [tensor for tensor in ranges.activations(model) if tensor.dtype != "float32"]:
        raise ConversionError(
            f"{source}: expected float32 activations only, got {len(left)} others, the first "
            f"tensors[{left[0].index}] {left[0].name!r} of {left[0].dtype}; export the float model without quantization"
        )
    return _written(model, Network(real=np.float16), {}, source=source)


def _read(raw: bytes, source: str) -> tflite.Model:
    model = tflite.read(raw, source=source)
    for tensor in ranges.activations(model):
        if min(tensor.shape, default=1) < 1:
            raise ConversionError(
                f"{source}: tensors[{tensor.index}] {tensor.name!r}: expected a static shape, got {tensor.shape}; "
                "build the model with a fixed input size and batch 1"
            )
    return model


def _written(model: tflite.Model, network: Network, scales: Mapping[int, float | None], *, source: str) -> bytes:
    translation = Translation(model, network, scales=scales)
    for name, tensor in model.inputs.items():
        _begin(translation, name, tensor)
    _require_written(translation, source)
    for name, tensor in model.outputs.items():
        _end(translation, name, tensor)
    return network.file(
        inputs={name: tensor.shape for name, tensor in model.inputs.items()},
        outputs={name: tensor.shape for name, tensor in model.outputs.items()},
        metadata={QUANTIZATION_KEY: _quantization(model)} if scales else {},
    )


def _quantization(model: tflite.Model) -> dict[str, Any]:
    """Return scale and zero point of every input and output, as the back end reads them."""
    ends = {"inputs": model.inputs, "outputs": model.outputs}
    return {
        end: {name: {"scale": one.scales[0], "zero_point": one.zero_points[0]} for name, one in named.items()}
        for end, named in ends.items()
    }


def _begin(translation: Translation, name: str, tensor: tflite.Tensor) -> None:
    """Bring an input into ONNX's layout and the graph's type, and quantize it."""
    network, scope = translation.network, f"input_{name}"
    value = name
    if network.real is np.float16:
        value = network.node("Cast", [value], scope=scope, to=_ONNX_FLOAT16)
    if layout.keeps_order(tensor.shape):
        if layout.stored(tensor.shape) != tensor.shape:
            shape = network.exact(np.array(layout.stored(tensor.shape), np.int64), scope=f"{scope}/shape")
            value = network.node("Reshape", [value, shape], scope=scope)
    else:
        value = network.node("Transpose", [value], scope=scope, perm=layout.TO_IMAGE)
    translation.store(tensor.index, value, scope=scope)


def _end(translation: Translation, name: str, tensor: tflite.Tensor) -> None:
    """Bring an output back into TFLite's layout and float32, under its own name."""
    network, scope = translation.network, f"output_{name}"
    halved = network.real is np.float16
    # Equal sides hide a change of layout: (1, 6, 6, 6) is the same shape in both.
    kept = layout.keeps_order(tensor.shape)
    moved = not kept or layout.stored(tensor.shape) != tensor.shape
    value = translation.load(tensor.index, scope=scope, output=None if moved or halved else name)
    if moved:
        output = None if halved else name
        if kept:
            shape = network.exact(np.array(tensor.shape, np.int64), scope=f"{scope}/shape")
            value = network.node("Reshape", [value, shape], scope=scope, output=output)
        else:
            value = network.node("Transpose", [value], scope=scope, output=output, perm=layout.FROM_IMAGE)
    if halved:
        network.node("Cast", [value], scope=scope, output=name, to=_ONNX_FLOAT)


def _require_written(translation: Translation, source: str) -> None:
    """Write every operator.

    Raises:
        ConversionError: some cannot be written; up to five are named, with their reasons.
    """
    refused: list[str] = []
    for operator in translation.model.operators:
        call = Call(translation=translation, operator=operator)
        try:
            name = _output_of(call)
        except CannotWriteError as err:
            refused.append(f"operators[{operator.index}] {operator.custom_name or operator.name} {err}")
            # The operators behind it are looked at as well: one error names all.
            name = f"{call.scope}/refused"
        for place in operator.outputs:
            translation.store(place, name, scope=call.scope)
    if refused:
        shown = "; ".join(refused[:_SHOWN]) + ("; ..." if len(refused) > _SHOWN else "")
        raise ConversionError(
            f"{source}: {len(refused)} of {len(translation.model.operators)} operators cannot be written as ONNX for "
            f"TensorRT: {shown}"
        )


def _output_of(call: Call) -> str:
    if call.operator.name not in OPERATORS:
        raise CannotWriteError("has no counterpart here")
    if len(call.operator.outputs) != 1:
        raise CannotWriteError(f"has {len(call.operator.outputs)} outputs, expected 1")
    if call.operator.name in _KEEPING:
        _require_one_scale(call)
    try:
        return OPERATORS[call.operator.name](call)
    except (ValueError, IndexError, TypeError, ZeroDivisionError, OverflowError) as err:
        # Shapes and options that contradict each other: a file no converter writes.
        raise CannotWriteError(f"has shapes or options that do not fit together: {err}") from err


# TFLite's kernels of these pass integers on, whatever the scales of both sides say.
_KEEPING = {
    *("AVERAGE_POOL_2D", "CONCATENATION", "EXPAND_DIMS", "MAX_POOL_2D", "MAXIMUM", "MINIMUM", "PAD", "PADV2"),
    *("REDUCE_MAX", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SLICE", "SQUEEZE"),
    *("STRIDED_SLICE", "TILE", "TRANSPOSE"),
}


def _require_one_scale(call: Call) -> None:
    tensors = [call.output, *(call.optional(number) for number in range(len(call.operator.inputs)))]
    found = {(one.scales, one.zero_points) for one in tensors if one is not None and one.dtype == "int8"}
    if len(found) > 1:
        raise CannotWriteError("passes integers between tensors of different scales, expected one scale")
