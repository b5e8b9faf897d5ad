"""The fake-quantized twin of a float model: what int8 TFLite will compute, up to rounding inside its kernels.

- BatchNormalization is folded into the kernel before it, as TFLite does; one that stands alone becomes a depthwise
  convolution of 1 x 1.
- Weights are int8, symmetric, in [-127, 127]: convolutions per output channel, dense layers and transposed convolutions
  per tensor, as the TFLite converter takes trained ranges.
- Activations are int8 per tensor with a tracked range that always holds 0. A quantizer stands where TFLite stores a
  tensor: after an activation that TFLite fuses, not before it.

    twin = qat.quantization_aware(model, input_ranges={"plane": (0.0, 255.0)})
    qat.calibrate(twin, planes)
    twin.fit(...)
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from converters import graph
from converters.graph import Graph
from converters.qat import fusion, lowering, ranges
from converters.qat.fusion import Fused
from converters.qat.layers import ActivationQuantizer, QuantizedDepthwiseConv2D, Range
from converters.qat.ranges import Plan
from converters.qat.steps import Activate, Affine, Copy, Join, Share, Weighted
from edgemed.errors import ConversionError

__all__ = ["PLANE_RANGE", "batches", "calibrate", "count", "quantization_aware"]

PLANE_RANGE: Range = (0.0, 255.0)
"""Grey levels of an input plane."""
Inputs: TypeAlias = NDArray[Any] | Mapping[str, NDArray[Any]]
"""Values for one input, or for several by name, first axis N."""
_MOMENTUM = 0.99


def quantization_aware(
    model: keras.Model, *, input_ranges: Mapping[str, Range] | None = None, symmetric: bool = False
) -> keras.Model:
    """Return the fake-quantized twin of a float model, with its weights, its ranges still unseen.

    Args:
        model: functional or Sequential, built from `SUPPORTED` layers; nested models and shared layers are opened.
        input_ranges: lowest and highest value of inputs, by name; the range of others is tracked.
        symmetric: zero points 0 wherever a kernel reads, as TensorRT wants it.

    Returns:
        A functional model with the inputs and outputs of the model, flat names of its layers, all of them trainable,
        and no reference to the model.

    Raises:
        ConversionError: the model is subclassed, or has layers that cannot be quantized; all are named.
        ValueError: a range is given for an input that the model does not have, or it is empty.
    """
    found = graph.of(model)
    known = _checked(found, input_ranges or {})
    operators = fusion.fused(lowering.of(found), found.outputs)
    plan = ranges.plan(
        operators,
        inputs={entry.value: (entry.name, known.get(entry.name)) for entry in found.inputs},
        outputs=found.outputs,
        symmetric=symmetric,
    )
    if lost := ranges.lost_limits(operators, plan):
        raise ConversionError(
            f"{found.name}: cannot be quantized: layer {', '.join(map(repr, lost))} has a max_value other than 6 and a "
            "range that it shares with other tensors, which would not end there (use ReLU(6.0), or put a convolution "
            "between it and the concatenation or pooling)"
        )
    return _Builder(found, plan, operators).model(operators)


def _checked(found: Graph, given: Mapping[str, Range]) -> dict[str, Range]:
    names = [entry.name for entry in found.inputs]
    for name, (low, high) in given.items():
        if name not in names:
            raise ValueError(f"input_ranges: expected names of {', '.join(names)}, got {name!r}")
        if not low < high:
            raise ValueError(f"input_ranges: {name}: expected low < high, got {low}..{high}")
    return {name: (min(float(low), 0.0), max(float(high), 0.0)) for name, (low, high) in given.items()}


class _Builder:
    """Calls Keras layers, operator by operator."""

    def __init__(self, found: Graph, plan: Plan, operators: Sequence[Fused]) -> None:
        self._graph, self._places = found, plan.places
        self._tensors: dict[int, Any] = {}
        self._taken = {step.name for operator in operators for step in (operator.step, operator.relu) if step}
        self._shared: dict[tuple[Hashable, ...], layers.Layer] = {}
        self._quantizers = [
            ActivationQuantizer(
                slots=len(group.fixed),
                momentum=None if group.widest else _MOMENTUM,
                fixed=group.fixed,
                symmetric=group.symmetric,
                name=self._named(f"{group.name}_range"),
            )
            for group in plan.groups
        ]

    def _named(self, name: str) -> str:
        return graph.unique(name, self._taken)

    def model(self, operators: Sequence[Fused]) -> keras.Model:
        inputs = [keras.Input(entry.shape[1:], name=entry.name) for entry in self._graph.inputs]
        for entry, tensor in zip(self._graph.inputs, inputs, strict=True):
            self._store(entry.value, tensor)
        for operator in operators:
            sources = [self._tensors[source] for source in operator.step.sources]
            result = self._called(operator, sources)
            if operator.relu is not None and isinstance(operator.relu.does, Activate):
                result = operator.relu.does.layer(operator.relu.name)(result)
            self._store(operator.result, result)
        outputs = keras.tree.map_structure(
            lambda place: self._tensors[self._graph.outputs[place]], self._graph.structure
        )
        return keras.Model(inputs[0] if len(inputs) == 1 else inputs, outputs, name=self._graph.name)

    def _store(self, value: int, tensor: Any) -> None:
        place = self._places.get(value)
        if place is not None:
            quantizer = self._quantizers[place.group]
            # A slot is named only where there are several: it stands in the saved model of each call.
            tensor = quantizer(tensor, slot=place.slot) if quantizer.slots > 1 else quantizer(tensor)
        self._tensors[value] = tensor

    def _called(self, operator: Fused, sources: list[Any]) -> Any:
        does, name = operator.step.does, operator.step.name
        if isinstance(does, Copy):
            return sources[0]
        if isinstance(does, Weighted):
            return self._kernel(does, operator.norm, name, sources[0])
        if isinstance(does, Affine):
            return self._affine(does, name, sources[0])
        if isinstance(does, Share):
            return does.layer(name, tuple(sources[0].shape))(sources if len(sources) > 1 else sources[0])
        if isinstance(does, Activate) and does.owner is not None:
            return self._once(does.owner, lambda: does.layer(name))(sources[0])
        return does.layer(name)(sources if isinstance(does, Join) else sources[0])

    def _once(self, owner: tuple[Hashable, ...], made: Callable[[], layers.Layer]) -> layers.Layer:
        """Return the layer of an owner: the same one for every call of a shared layer."""
        if owner not in self._shared:
            self._shared[owner] = made()
        return self._shared[owner]

    def _kernel(self, does: Weighted, norm: Affine | None, name: str, tensor: Any) -> Any:
        def made() -> layers.Layer:
            kernel, bias = fusion.folded(does, norm)
            layer = does.quantized.from_config({**does.config, "use_bias": bias is not None, "name": name})
            layer.build(tensor.shape)
            layer.set_weights([kernel] if bias is None else [kernel, bias])
            return layer

        return self._once(does.owner, made)(tensor)

    def _affine(self, does: Affine, name: str, tensor: Any) -> Any:
        """Return gain * x + shift as a depthwise convolution of 1 x 1, which wants a feature map."""
        shape = tuple(tensor.shape[1:])

        def made() -> layers.Layer:
            layer = QuantizedDepthwiseConv2D(1, name=name)
            layer.build((None, 1, 1, shape[-1]))
            layer.set_weights([does.gain.reshape(1, 1, -1, 1), does.shift])
            return layer

        # Two calls of a normalisation may have been joined with different scalings.
        layer = self._once((*does.owner, does.gain.tobytes(), does.shift.tobytes()), made)
        if len(shape) == 3:
            return layer(tensor)
        rows = int(np.prod(shape[:-1], dtype=int))
        flat = layers.Reshape((1, rows, shape[-1]), name=self._named(f"{name}_as_map"))(tensor)
        return layers.Reshape(shape, name=self._named(f"{name}_as_was"))(layer(flat))


def calibrate(twin: keras.Model, inputs: Inputs, *, batch: int = 32) -> None:
    """Set every range of a twin from real inputs, without training.

    Args:
        twin: result of `quantization_aware`.
        inputs: of the train split, N >= 1: planes (N, H, W) uint8, or an array (N, ...) as the model takes it, or one
            for each input by name.
        batch: inputs a step.

    Raises:
        ValueError: no input was given.
    """
    for stack in batches(inputs, batch):
        twin(stack, training=True)


def batches(inputs: Inputs, size: int) -> Iterator[Any]:
    """Yield float32 batches of n <= size inputs, in order; planes (N, H, W) as (n, H, W, 1).

    Raises:
        ValueError: as `count`.
    """
    for start in range(0, count(inputs), size):
        chosen = slice(start, start + size)
        if isinstance(inputs, Mapping):
            yield {name: _real(array[chosen]) for name, array in inputs.items()}
        else:
            yield _real(inputs[chosen])


def count(inputs: Inputs) -> int:
    """Return how many inputs were given.

    Raises:
        ValueError: none, or not as many of each.
    """
    counts = {len(array) for array in (inputs.values() if isinstance(inputs, Mapping) else [inputs])}
    if len(counts) != 1:
        raise ValueError(f"inputs: expected as many of each, got {sorted(counts)}")
    if counts == {0}:
        raise ValueError("inputs: expected at least one, got none")
    return counts.pop()


def _real(values: NDArray[Any]) -> NDArray[np.float32]:
    return (values[..., np.newaxis] if values.ndim == 3 and values.dtype == np.uint8 else values).astype(np.float32)
