"""The one-channel plane of grey levels in front of a model that was trained on other pictures.

Three channels become one by adding up the first kernel over them where the plane reaches it unchanged but for one
rescaling: the same function, one operator less, and one scale for a weight that would have been three. Elsewhere the
plane is fed to all three.

    fed = plane_input.fed(flat_model, input_range=(-1, 1))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from converters import graph
from converters.contract import bare, flat
from converters.graph import Graph

__all__ = ["PLANE", "Fed", "fed"]

PLANE = "plane"
"""Name of the input."""
_PER_VALUE = (layers.Rescaling, layers.ZeroPadding2D, layers.Identity)


@dataclass(frozen=True, kw_only=True, eq=False)
class Fed:
    """A flat model's outputs, computed from a plane.

    Attributes:
        plane: symbolic input (batch, H, W, 1).
        outputs: in the structure the model returns them.
        notes: what was changed, a line each.
    """

    plane: Any
    outputs: Any
    notes: tuple[str, ...]


def fed(model: keras.Model, *, input_range: tuple[float, float] | None) -> Fed:
    """Return a flat model's outputs for a plane of grey levels 0..255.

    Args:
        model: result of `converters.contract.flat.of`, one input of 1 or 3 channels; its layers are used.
        input_range: (low, high) that 0..255 stood for in training; None: the graph takes grey levels.
    """
    height, width, channels = model.inputs[0].shape[1:]
    plane = image = keras.Input((height, width, 1), name=PLANE)
    notes: list[str] = []
    # A rescaling behind ours becomes one with it.
    instead = {layer.name: _merging(layer) for layer in model.layers if isinstance(layer, layers.Rescaling)}
    if input_range is not None and tuple(input_range) != (0, 255):
        low, high = input_range
        image = layers.Rescaling((high - low) / 255, offset=low, name="contract_range")(image)
        notes.append(f"grey levels 0..255 are rescaled to {low:g}..{high:g} in front of the model")
    if channels == 3:
        first = _first_convolution(graph.of(model))
        if first is None:
            image = layers.Concatenate(name="contract_channels")([image, image, image])
            notes.append("the plane is fed to all 3 channels of the input")
        else:
            instead[first.name] = _summed(first)
            notes.append(f"the kernel of {first.name!r} is added up over the 3 channels, which get the same plane")
    return Fed(plane=plane, outputs=flat.replayed(model, image, instead=instead), notes=tuple(notes))


def _merging(layer: layers.Rescaling) -> Callable[[Any], Any]:
    return lambda tensor: bare.merged(layer, tensor)


def _first_convolution(found: Graph) -> layers.Conv2D | None:
    """Return the convolution that the input reaches with its channels alike, where it is the only way on."""
    value = found.inputs[0].value
    while value not in found.outputs and len(found.followers(value)) == 1:
        (call,) = found.followers(value)
        operation, value = call.operation, call.result
        if sum(other.operation is operation for other in found.calls) != 1:
            return None
        if type(operation) is layers.Conv2D:
            return operation if operation.groups == 1 else None
        scalar = not isinstance(operation, layers.Rescaling) or bare.is_line(operation)
        if not (isinstance(operation, _PER_VALUE) and scalar):
            return None
    return None


def _summed(layer: layers.Conv2D) -> layers.Conv2D:
    """Return a convolution of one channel that gives what this one gives when all its channels are the same."""
    kernel, *bias = layer.get_weights()
    copy = layers.Conv2D.from_config(layer.get_config())
    copy.build((None, None, None, 1))
    copy.set_weights([kernel.sum(axis=2, keepdims=True, dtype=np.float64).astype(np.float32), *bias])
    return copy
