"""From the layers of a model to the steps that TFLite computes, and what to change where there are none.

Everything that cannot be quantized is refused before training starts, all of it in one error that names the nearest
layer that can.

    steps = lowering.of(graph.of(model))
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from keras import layers

from converters.graph import Call, Graph, Input
from converters.qat import functions, parts, rules
from converters.qat.parts import Part, Refusal
from converters.qat.steps import Step
from edgemed.errors import ConversionError

__all__ = ["SUPPORTED", "of"]

SUPPORTED: tuple[type[layers.Layer], ...] = tuple(rules.LAYERS)
"""Every layer that can be quantized; a subclass may compute something else and is not one of them."""

_NEAREST = {
    "Average": "Add",
    "Conv1D": "Conv2D",
    "Conv3D": "Conv2D",
    "CategoryEncoding": "Normalization",
    "DepthwiseConv1D": "DepthwiseConv2D",
    "Discretization": "Normalization",
    "Dot": "Multiply",
    "Einsum": "Dense",
    "EinsumDense": "Dense",
    "GroupNormalization": "BatchNormalization",
    "LayerNormalization": "BatchNormalization",
    "RMSNormalization": "BatchNormalization",
    "RandomCrop": "Cropping2D",
    "CenterCrop": "Cropping2D",
    "SeparableConv1D": "SeparableConv2D",
    "Softplus": "ReLU",
    "UnitNormalization": "BatchNormalization",
    "UpSampling1D": "UpSampling2D",
}


def of(graph: Graph) -> tuple[Step, ...]:
    """Return the steps of a graph, in order.

    Raises:
        ConversionError: names every input, layer and operation that cannot be quantized, and what to do about it.
    """
    problems = [*graph.problems, *(problem for entry in graph.inputs for problem in _of_input(entry))]
    taken = {call.name for call in graph.calls}
    numbers = _after(graph)
    steps: list[Step] = []
    for call in graph.calls:
        try:
            made = _chain(call)
        except Refusal as err:
            kind = "layer" if isinstance(call.operation, layers.Layer) else "operation"
            problems.append(f"{kind} {call.name!r} {err}")
            continue
        steps += parts.placed(call, made, numbers=numbers, taken=taken)
    if problems:
        raise ConversionError(f"{graph.name}: cannot be quantized: " + "; ".join(problems))
    return tuple(steps)


def _after(graph: Graph) -> Iterator[int]:
    """Yield numbers that no tensor of the graph has."""
    highest = max([*(entry.value for entry in graph.inputs), *(call.result for call in graph.calls)])
    while True:
        highest += 1
        yield highest


def _of_input(entry: Input) -> Iterator[str]:
    name = f"input {entry.name!r}"
    if entry.dtype != "float32":
        yield f"{name} is {entry.dtype}, expected float32 (the int8 file takes integers by itself)"
    if entry.shape[0] not in (None, 1):
        yield f"{name} has a batch of {entry.shape[0]}, expected none or 1 (a device runs one frame at a time)"
    if None in entry.shape[1:]:
        yield f"{name} has the shape {entry.shape[1:]}, expected fixed sides (build the model for one size)"


def _chain(call: Call) -> list[Part]:
    """Return what a call comes down to."""
    operation = call.operation
    if not isinstance(operation, layers.Layer):
        return functions.of_operation(call)
    _require_plain(operation)
    rule = rules.LAYERS.get(type(operation))
    if rule is None:
        raise Refusal(_unsupported(operation))
    return rule(call)


def _require_plain(layer: layers.Layer) -> None:
    if layer.dtype_policy.name != "float32":
        raise Refusal(f"computes in {layer.dtype_policy.name}, expected float32 (rebuild the model with that policy)")
    if getattr(layer, "data_format", None) == "channels_first":
        raise Refusal("has data_format channels_first, expected channels_last (rebuild the model with it)")
    if getattr(layer, "lora_enabled", False):
        raise Refusal("has LoRA weights, expected one kernel (merge them into it)")


def _unsupported(layer: layers.Layer) -> str:
    kind = type(layer).__name__
    if type(layer).__module__.split(".")[0] != "keras":
        base = next((one.__name__ for one in type(layer).__mro__ if one in rules.LAYERS), None)
        near = f"the nearest supported one is {base}" if base else _near(kind)
        return f"is a {kind}, a layer of your own: {near} (rewrite it with Keras' layers)"
    return f"is a {kind}, {_near(kind)}"


def _near(kind: str) -> str:
    names = sorted(one.__name__ for one in SUPPORTED)
    near = _NEAREST.get(kind) or next(iter(difflib.get_close_matches(kind, names, n=1, cutoff=0.5)), None)
    return f"the nearest supported one is {near}" if near else f"expected one of {', '.join(names)}"
