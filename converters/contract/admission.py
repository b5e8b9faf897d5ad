"""Which trained Keras models can be read as a graph of known layers with one image input, and what to change in others.

Everything that stands in the way is named in one error, before any work is done.

    admission.require(model)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

import keras
from keras import layers

from converters import graph, qat
from edgemed.errors import ConversionError

__all__ = ["is_graph", "operations", "require", "require_no_resizing"]

_FLOAT32 = ("float32", "mixed_float16", "mixed_bfloat16")  # policies whose weights are float32

_WITH_KERNEL = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D, layers.Conv2DTranspose, layers.Dense)
_RESIZING = ("Resizing", "CenterCrop", "Resize", "ResizeImages")


def require(model: keras.Model) -> None:
    """Refuse a model that is no graph of Keras' own layers from one image to its answers.

    Raises:
        ConversionError: names everything that stands in the way, and what to do about it.
    """
    problems = [_of_kind(model)] if not is_graph(model) else [*_of_inputs(model), *_of_operations(model)]
    if problems:
        raise ConversionError(f"{model.name}: cannot be converted: " + "; ".join(problems))


def require_no_resizing(model: keras.Model) -> None:
    """Refuse a flat model that resizes or crops its input: preprocessing does that, the same everywhere.

    Raises:
        ConversionError: names the layer.
    """
    found = graph.of(model)
    reached = [entry.value for entry in found.inputs]
    for value in reached:
        for call in found.followers(value):
            if type(call.operation).__name__ in _RESIZING:
                raise ConversionError(
                    f"{model.name}: cannot be converted: layer {call.operation.name!r} is a "
                    f"{type(call.operation).__name__} of the input, which preprocessing does on the device; build the "
                    "model from the tensor behind it, with keras.Input of that size"
                )
            if not isinstance(call.operation, _WITH_KERNEL) and call.result not in reached:
                reached.append(call.result)


def is_graph(operation: Any) -> bool:
    """Tell whether an operation is a functional or a built Sequential model that runs as its graph says."""
    if not isinstance(operation, keras.Model) or not type(operation).call.__module__.startswith("keras."):
        return False
    return hasattr(operation, "_nodes_by_depth") or getattr(operation, "_functional", None) is not None


def operations(model: keras.Model) -> Iterator[Any]:
    """Yield every operation of a model that `is_graph`, those of models inside it in their place."""
    for operation in model.layers if isinstance(model, keras.Sequential) else model.operations:
        if is_graph(operation):
            yield from operations(operation)
        else:
            yield operation


def _of_kind(model: keras.Model) -> str:
    if isinstance(model, keras.Sequential):
        return "the Sequential model is not built; put keras.Input((H, W, 1)) first and load the weights again"
    return (
        f"expected a functional or Sequential Keras model, got the subclass {type(model).__name__}, whose graph is "
        "Python code; for layers called on tensors only, rebuild it with x = keras.Input((H, W, C)) and "
        "keras.Model(x, model.call(x)), else write it with keras.Model(inputs, outputs) and copy the weights"
    )


def _of_inputs(model: keras.Model) -> Iterator[str]:
    if (count := len(model.inputs)) != 1:
        names = ", ".join(repr(tensor._keras_history.operation.name) for tensor in model.inputs)
        yield f"has {count} inputs ({names}), expected one image; this release screens one plane at a time"
        return
    image = model.inputs[0]
    if image.dtype != "float32":
        yield (
            f"the input is {image.dtype}, expected float32 grey levels 0..255; rebuild the model with "
            "keras.Input((H, W, C), dtype='float32') and copy the weights"
        )
    yield from _of_shape(tuple(image.shape))


def _of_shape(shape: tuple[int | None, ...]) -> Iterator[str]:
    if len(shape) != 4 or shape[3] not in (1, 3):
        first = " (channels first: rebuild the model with data_format='channels_last')"
        yield (
            f"the input has the shape {shape}, expected (batch, H, W, 1), or 3 channels that are fed with the same "
            f"plane{first if len(shape) == 4 and shape[1] in (1, 3) else ''}"
        )
    elif loose := [name for name, size in (("height", shape[1]), ("width", shape[2])) if size is None]:
        yield (
            f"the input has the shape {shape}, whose {' and '.join(loose)} {'are' if len(loose) > 1 else 'is'} not "
            f"fixed; rebuild the model with keras.Input((H, W, {shape[3]})) of the size it was trained for and copy "
            "the weights with set_weights"
        )


def _of_operations(model: keras.Model) -> Iterator[str]:
    if any(_package(type(operation)) == "converters" for operation in operations(model)):
        yield "it is fake-quantized already; give the float model that it was made from"
        return
    policies: dict[str, str] = {}
    for operation in operations(model):
        if isinstance(operation, keras.Model):
            yield f"inside it, {operation.name!r}: {_of_kind(operation)}"
        elif _package(type(operation)) != "keras":
            yield _of_custom(operation)
        elif words := _of_layer(operation):
            yield f"layer {operation.name!r} {words}"
        elif isinstance(operation, layers.Layer) and operation.dtype_policy.name not in _FLOAT32:
            policies.setdefault(operation.dtype_policy.name, operation.name)
    for policy, name in policies.items():
        yield (
            f"layer {name!r} has the dtype policy {policy}, expected float32; rebuild the model under "
            "keras.config.set_dtype_policy('float32') and copy the weights with set_weights"
        )


def _of_layer(layer: Any) -> str | None:
    """Return what is wrong with one of Keras' own layers, or None."""
    if isinstance(layer, layers.Lambda):
        return "is a Lambda, which is Python code; use layers that do the same"
    if isinstance(layer, (layers.RNN, layers.Bidirectional)):
        return f"is a {type(layer).__name__}; this release screens planes one by one, without recurrent layers"
    activation = getattr(layer, "activation", None)
    if activation is not None and _package(activation) != "keras" and _package(type(activation)) != "keras":
        name = getattr(activation, "__name__", type(activation).__name__)
        return f"has the custom activation {name}; use one of Keras' own"
    return None


def _package(value: Any) -> str:
    return str(getattr(value, "__module__", "")).split(".")[0]


def _of_custom(operation: Any) -> str:
    kind = type(operation)
    return f"layer {operation.name!r} is a {kind.__name__}, a custom layer; {_nearest(kind)}"


def _nearest(kind: type) -> str:
    """Return words for the supported layer that a custom one extends, or is named like."""
    names = [supported.__name__ for supported in qat.SUPPORTED if supported is not layers.InputLayer]
    extended = [base.__name__ for base in kind.__mro__ if _package(base) == "keras"]
    near = [name for name in extended if name in names] or difflib.get_close_matches(kind.__name__, names, n=1)
    return f"the nearest that can be converted is {near[0]}" if near else "build it from layers of Keras' own"
