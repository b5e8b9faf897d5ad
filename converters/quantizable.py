"""Which graphs have a fake-quantized twin that computes the same, and what to change in those that have none.

Everything that a conversion would compute differently is refused before training starts, all of it in one error.

    quantizable.require(graph.of(model))
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import layers

from converters.graph import Graph
from edgemed.errors import ConversionError

__all__ = ["REMOVED", "SAME_RANGE", "SUPPORTED", "WEIGHTED", "merged_into", "require"]

WEIGHTED = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)
"""Layers with a kernel."""
SAME_RANGE = (layers.MaxPooling2D, layers.Flatten, layers.Reshape)
"""Layers that leave values where they are, or pick among them: TFLite keeps the scale of the input."""
REMOVED = (layers.Dropout, layers.SpatialDropout2D)
"""Layers that do nothing outside training."""
SUPPORTED = (
    *WEIGHTED,
    *SAME_RANGE,
    *REMOVED,
    layers.Add,
    layers.GlobalAveragePooling2D,
    layers.AveragePooling2D,
    layers.ReLU,
    layers.BatchNormalization,
    layers.Rescaling,
    layers.InputLayer,
)
"""Every layer that can be quantized; subclasses of them may compute something else and are not."""


def require(graph: Graph) -> None:
    """Refuse a graph that has no twin computing the same.

    Raises:
        ConversionError: names every layer that cannot be quantized, and what to do about it.
    """
    problems = [*_of_inputs(graph)]
    for operation in graph.operations:
        kind = "layer" if isinstance(operation, layers.Layer) else "operation"
        problems += [f"{kind} {operation.name!r} {problem}" for problem in _problems(operation, graph)]
    if problems:
        raise ConversionError(f"{graph.name}: cannot be quantized: " + "; ".join(problems))


def merged_into(layer: layers.Layer, graph: Graph) -> layers.Layer | None:
    """Return the layer after this one that TFLite computes together with it, so that nothing is stored between.

    A normalisation is folded into the kernel before it; ReLU is fused into a convolution, a dense layer or an addition.
    """
    followers = graph.followers[layer.name]
    if len(followers) != 1:
        return None
    linear = isinstance(layer, WEIGHTED) and layer.activation is keras.activations.linear
    folded = linear and isinstance(followers[0], layers.BatchNormalization)
    takes_relu = linear or isinstance(layer, (layers.BatchNormalization, layers.Add))
    fused = takes_relu and isinstance(followers[0], layers.ReLU)
    return followers[0] if folded or fused else None


def _of_inputs(graph: Graph) -> Iterator[str]:
    shapes = [(tensor.dtype, tuple(tensor.shape[1:])) for tensor in graph.inputs]
    if len(shapes) == 1:
        dtype, shape = shapes[0]
        if dtype == "float32" and len(shape) == 3 and None not in shape and shape[2] == 1:
            return
    got = ", ".join(f"{dtype} {shape}" for dtype, shape in shapes)
    yield f"inputs: expected one plane, float32 (H, W, 1) of fixed size, got {got}"


def _problems(operation: Any, graph: Graph) -> Iterator[str]:
    if type(operation) not in SUPPORTED:
        yield _unsupported(operation)
        return
    if graph.calls[operation.name] > 1:
        # The rules below look at one call.
        yield f"is used {graph.calls[operation.name]} times, expected once (give each call a layer of its own)"
        return
    yield from _of_any(operation, graph)
    for kind, rule in _RULES.items():
        if isinstance(operation, kind):
            yield from rule(operation, graph)


def _unsupported(operation: Any) -> str:
    kind = type(operation).__name__
    if isinstance(operation, keras.Model):
        return "is a model inside the model (call its layers in the outer one)"
    if not isinstance(operation, layers.Layer):
        return f"is {kind} on bare tensors, expected layers only (use one that does the same, e.g. Add or ReLU)"
    names = [supported.__name__ for supported in SUPPORTED]
    near = difflib.get_close_matches(kind, names, n=1, cutoff=0.3)
    return f"is a {kind}, " + (f"the nearest supported one is {near[0]}" if near else f"expected {', '.join(names)}")


def _of_any(layer: layers.Layer, graph: Graph) -> Iterator[str]:
    if layer.dtype_policy.name != "float32":
        yield f"computes in {layer.dtype_policy.name}, expected float32 (rebuild the model with that dtype policy)"
    if getattr(layer, "data_format", None) == "channels_first":
        yield "has data_format channels_first, expected channels_last (rebuild the model with it)"
    after = merged_into(layer, graph)
    if layer.name in graph.outputs and isinstance(after, layers.ReLU):
        yield f"is an output, but TFLite merges it with {after.name!r} after it (make that the output)"


def _of_weighted(layer: layers.Layer, _: Graph) -> Iterator[str]:
    if layer.activation not in (keras.activations.linear, keras.activations.relu):
        name = getattr(layer.activation, "__name__", type(layer.activation).__name__)
        yield f"has the activation {name}, expected linear or relu (leave it out, or put a ReLU layer behind)"
    if getattr(layer, "lora_enabled", False):
        yield "has LoRA weights, expected one kernel (merge them into it)"


def _of_depthwise(layer: layers.DepthwiseConv2D, _: Graph) -> Iterator[str]:
    if layer.depth_multiplier != 1:
        yield f"has depth_multiplier {layer.depth_multiplier}, expected 1 (use a Conv2D with a group for each channel)"


def _of_normalization(layer: layers.BatchNormalization, graph: Graph) -> Iterator[str]:
    before = graph.sources[layer.name][0]
    if layer.axis not in (-1, len(before.output.shape) - 1):
        yield f"normalises axis {layer.axis}, expected the last one, -1 (rebuild it with that axis)"
    if not isinstance(before, WEIGHTED):
        yield "is a BatchNormalization that follows no convolution or dense layer (put it directly behind one)"
        return
    if before.activation is not keras.activations.linear:
        yield f"comes after the activation of {before.name!r}, expected before it (put a ReLU layer behind it)"
    others = [repr(other.name) for other in graph.followers[before.name] if other is not layer]
    others += ["an output"] if before.name in graph.outputs else []
    if others:
        yield (
            f"is folded into {before.name!r}, whose own result is also used by {', '.join(others)} "
            "(take the normalised result there, or give it a layer of its own)"
        )
    if held := [name for name in _CONSTRAINTS if getattr(before, name, None) is not None]:
        yield f"is folded into {before.name!r}, whose {held[0]} would then hold another kernel (leave it out)"


_CONSTRAINTS = ("kernel_constraint", "depthwise_constraint", "bias_constraint")


def _of_rescaling(layer: layers.Rescaling, graph: Graph) -> Iterator[str]:
    before = graph.sources[layer.name][0]
    if not isinstance(before, layers.InputLayer):
        yield f"rescales the result of {before.name!r}, expected the input (fold it into a kernel)"
    if not (_is_number(layer.scale) and layer.scale > 0):
        yield f"has the scale {layer.scale!r}, expected one number above 0 (fold others into the next kernel)"
    if not _is_number(layer.offset):
        yield f"has the offset {layer.offset!r}, expected one number (fold others into the next bias)"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and math.isfinite(value)


def _of_relu(layer: layers.ReLU, _: Graph) -> Iterator[str]:
    if layer.negative_slope:
        yield f"has negative_slope {layer.negative_slope}, expected 0 (use a plain ReLU)"
    if layer.threshold:
        yield f"has threshold {layer.threshold}, expected 0 (use a plain ReLU)"
    if layer.max_value not in (None, 6.0):
        # TFLite has RELU and RELU6; a minimum and a tensor without a trained range would stand for others.
        yield f"has max_value {layer.max_value}, expected none or 6 (use one of them)"


def _of_add(layer: layers.Add, graph: Graph) -> Iterator[str]:
    if (count := len(graph.sources[layer.name])) != 2:
        yield f"adds {count} tensors, expected 2 (chain several: each sum needs a range)"


_RULES: dict[Any, Callable[[Any, Graph], Iterator[str]]] = {
    WEIGHTED: _of_weighted,
    layers.DepthwiseConv2D: _of_depthwise,
    layers.BatchNormalization: _of_normalization,
    layers.Rescaling: _of_rescaling,
    layers.ReLU: _of_relu,
    layers.Add: _of_add,
}
