"""Which tensors of an int8 TFLite graph TensorRT can take as int8, and with which scale.

TensorRT quantizes symmetrically: zero point 0. Three kinds of tensor with another zero point need none of that, the
rest is refused:

- the input plane and its normalisation, as long as only arithmetic with constants and moves of values read them, one
  plane made three included: they stay real numbers. A plane of scale 1 loses nothing: its 256 levels are exact;
- the outputs of sigmoid and softmax, whose range TFLite fixes at 0..255/256 with zero point -128. Where only arithmetic
  reads them they stay real, finer than TFLite's by up to 1/512. Where a convolution reads them they get a symmetric
  scale, max|x| / 127: half of TFLite's levels.
- an output of the model that nothing else reads stays real: the back end rounds it to the same integers.

    scales = ranges.scales(model, source="int8.tflite")

Source: TensorRT developer guide, "Explicit Quantization"; TensorFlow Lite 8-bit quantization specification.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgemed import tflite
from edgemed.errors import ConversionError

__all__ = ["WEIGHTED", "activations", "scales"]

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")
"""Operators that TensorRT runs on integers only when it finds a Q/DQ pair before each input."""

_ARITHMETIC = {"ADD", "MUL", "SUB", "MAXIMUM", "MINIMUM", "QUANTIZE"}
_MOVES = {"CONCATENATION", "EXPAND_DIMS", "PAD", "RESHAPE", "SLICE", "SQUEEZE", "STRIDED_SLICE", "TILE", "TRANSPOSE"}
_FIXED_RANGE = ("LOGISTIC", "SOFTMAX")


def activations(model: tflite.Model) -> tuple[tflite.Tensor, ...]:
    """Return the tensors that are computed or fed, in the order they come to be."""
    fed = [tensor.index for tensor in model.inputs.values()]
    made = [place for operator in model.operators for place in operator.outputs]
    return tuple(model.tensors[place] for place in dict.fromkeys([*fed, *made]))


def scales(model: tflite.Model, *, source: str) -> Mapping[int, float | None]:
    """Return the symmetric scale of each int8 activation, by its place; None where it stays a real number.

    Args:
        model: full int8, one scale per activation.
        source: the file's name for messages.

    Raises:
        ConversionError: an activation without one scale above 0, or whose zero point is not 0 where it has to be.
    """
    quantized = [tensor for tensor in activations(model) if tensor.dtype == "int8"]
    for tensor in quantized:
        if len(tensor.scales) != 1 or not tensor.scales[0] > 0:
            got = f"{len(tensor.scales)} scales" if len(tensor.scales) != 1 else f"{tensor.scales[0]:g}"
            raise ConversionError(f"{source}: {_named(tensor)}: expected one scale above 0, got {got}")
    roles = _Roles(model)
    refused = [tensor for tensor in quantized if tensor.zero_points[0] and not roles.excused(tensor)]
    if refused:
        first = refused[0]
        raise ConversionError(
            f"{source}: expected activations with zero point 0, as TensorRT quantizes symmetrically, got "
            f"{len(refused)} others of {len(quantized)}, the first {_named(first)} with zero point "
            f"{first.zero_points[0]}; train or calibrate with symmetric ranges: "
            "edgemed convert --target jetson-orin-nano"
        )
    return {tensor.index: roles.scale(tensor) for tensor in quantized}


class _Roles:
    """Who makes each tensor and who reads it."""

    def __init__(self, model: tflite.Model) -> None:
        self._made_by = {place: operator for operator in model.operators for place in operator.outputs}
        self._model = model

    def excused(self, tensor: tflite.Tensor) -> bool:
        """Return whether the tensor needs no zero point of 0."""
        readers = set(self._readers(tensor))
        if not readers and tensor in self._model.outputs.values():
            return True
        if self._has_fixed_range(tensor):
            return readers <= {*_ARITHMETIC, *WEIGHTED}
        return self._is_normalisation(tensor) and readers <= _ARITHMETIC | _MOVES

    def scale(self, tensor: tflite.Tensor) -> float | None:
        """Return the symmetric scale of a tensor that is excused or has zero point 0."""
        if tensor.zero_points[0] == 0:
            return tensor.scales[0]
        if self._has_fixed_range(tensor) and set(self._readers(tensor)) & set(WEIGHTED):
            largest = max(abs(level - tensor.zero_points[0]) for level in (-128, 127)) * tensor.scales[0]
            return largest / 127
        return None

    def _readers(self, tensor: tflite.Tensor) -> Iterator[str]:
        return (operator.name for operator in self._model.operators if tensor.index in operator.inputs)

    def _has_fixed_range(self, tensor: tflite.Tensor) -> bool:
        maker = self._made_by.get(tensor.index)
        return maker is not None and maker.name in _FIXED_RANGE

    def _is_normalisation(self, tensor: tflite.Tensor) -> bool:
        """Return whether nothing but arithmetic with constants and moves lie between an input and this tensor."""
        seen: set[int] = set()
        while tensor.index in self._made_by and tensor.index not in seen:
            seen.add(tensor.index)
            maker = self._made_by[tensor.index]
            computed = {place for place in maker.inputs if place >= 0 and not self._model.tensors[place].is_constant}
            if maker.name not in _ARITHMETIC | _MOVES or len(computed) != 1:
                return False
            tensor = self._model.tensors[computed.pop()]
        return tensor.index not in self._made_by


def _named(tensor: tflite.Tensor) -> str:
    return f"tensors[{tensor.index}] {tensor.name!r}"
