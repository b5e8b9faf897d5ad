"""The same function as one flat graph: models inside a model are opened, and bare arithmetic becomes layers.

The copy has layers of its own, in float32 and with the weights of the original; the batch is open. What does nothing
outside training and belongs to it alone, such as augmentation, is left out.

    made = flat.of(model)
    outputs = flat.replayed(made, image, instead={})
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import keras
from keras import layers

from converters import tflite_converter
from converters.contract import admission, bare
from edgemed.errors import ConversionError

__all__ = ["is_training_only", "of", "replayed"]

_NOISE = (layers.GaussianNoise, layers.GaussianDropout, layers.AlphaDropout, layers.ActivityRegularization)


def of(model: keras.Model) -> keras.Model:
    """Return a flat copy of a model that `admission` admits; names that collide get their model's in front.

    Raises:
        ValueError: the graph insists on the batch size it was built with.
        ConversionError: a layer cannot be made from its own configuration.
    """
    inputs = [
        keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=tensor._keras_history.operation.name)
        for tensor in model.inputs
    ]
    outputs = _Copying().run(model, inputs, inside="")
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], outputs, name=model.name)


def replayed(model: keras.Model, image: Any, *, instead: Mapping[str, Callable[[Any], Any]]) -> Any:
    """Return the outputs of a flat model called on another image tensor, its own layers used again.

    Args:
        model: result of `of`, of one input.
        image: symbolic tensor.
        instead: by the name of a layer, what is called in its place.
    """
    return model._run_through_graph([image], operation_fn=lambda operation: instead.get(operation.name, operation))


def is_training_only(operation: Any) -> bool:
    """Tell whether a layer augments pictures or adds noise while training, and does nothing after it."""
    pictures = type(operation).__module__.startswith("keras.src.layers.preprocessing.image_preprocessing")
    name = type(operation).__name__
    return isinstance(operation, _NOISE) or (pictures and name.startswith(("Random", "MixUp", "CutMix", "AugMix")))


class _Copying:
    """One pass over a graph; a layer that is called twice, or in two models, is copied once."""

    def __init__(self) -> None:
        self._copies: dict[int, layers.Layer] = {}
        self._names: set[str] = set()

    def run(self, model: keras.Model, inputs: Any, *, inside: str) -> Any:
        graph = model._functional if isinstance(model, keras.Sequential) else model
        return graph._run_through_graph(inputs, call_fn=partial(self._called, inside))

    def _called(self, inside: str, operation: Any, *args: Any, **options: Any) -> Any:
        if admission.is_graph(operation):
            return self.run(operation, args[0] if args else options["inputs"], inside=f"{operation.name}_")
        if is_training_only(operation):
            return args[0]
        if isinstance(operation, layers.Layer):
            return bare.merged(self._copy(operation, inside), *args, **options)
        return bare.called(operation, self._free_name(operation.name, inside), *args, **options)

    def _copy(self, layer: layers.Layer, inside: str) -> layers.Layer:
        if id(layer) not in self._copies:
            self._copies[id(layer)] = _copy_of(layer, self._free_name(layer.name, inside))
        return self._copies[id(layer)]

    def _free_name(self, name: str, inside: str) -> str:
        tried = [name, inside + name, *(f"{inside}{name}_{number}" for number in range(1, len(self._names) + 2))]
        found = next(candidate for candidate in tried if candidate not in self._names)
        self._names.add(found)
        return found


def _copy_of(layer: layers.Layer, name: str) -> layers.Layer:
    try:
        copy = type(layer).from_config({**layer.get_config(), "name": name, "dtype": "float32"})
    except (TypeError, ValueError) as err:
        raise ConversionError(
            f"layer {layer.name!r} cannot be rebuilt from its configuration: {tflite_converter.first_line(err)}; use "
            "the activations, initializers and constraints of Keras"
        ) from err
    if layer.built and layer.weights:
        copy.build_from_config(layer.get_build_config())
        copy.set_weights(layer.get_weights())
    if isinstance(copy, layers.Normalization):
        copy.finalize_state()  # what it computes with is derived from its weights
    return copy
