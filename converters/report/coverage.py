"""Is a TFLite file really int8? Every tensor and operator, its type and scales, where float is left, what looks wrong.

Read from the file alone; nothing is run.

    found = coverage.of(tflite.read(raw, source="int8.tflite"))
    found.integer_operators, found.all_operators, found.float_tensors, found.suspicions
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec
import numpy as np

from edgemed import tflite
from edgemed.tflite import Model, Operator, Tensor, workload

__all__ = ["Coverage", "OperatorLine", "Suspicion", "TensorLine", "Trouble", "of"]

# Factors need no common scale; the others have one that TFLite's specification fixes.
_INDEPENDENT = ("MUL", "DIV", "LOGISTIC", "TANH", "SOFTMAX", "LOG_SOFTMAX", "L2_NORMALIZATION")
_APART = 256.0  # beyond it the whole int8 range of the one lies within one step of the other
_DEAD_SCALE = 1e-8  # 256 steps of it reach 2.6e-6


class Trouble(str, enum.Enum):
    """What looks wrong about a tensor's scales or values."""

    ZERO_SCALE = "zero scale"
    DEAD_RANGE = "dead range"
    ZERO_CHANNELS = "all-zero channels"
    UNEVEN_CHANNELS = "uneven channels"
    COARSE = "coarse beside its neighbours"


class Suspicion(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor that looks wrong; ``detail`` says what was found, in words."""

    tensor: str
    trouble: Trouble
    detail: str


class TensorLine(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor as the file has it.

    Attributes:
        index: its place in the file.
        dtype: ``int8``, ``int32``, ``float32``, ...
        is_constant: stored, not computed.
        size_bytes: of its stored values; 0 when computed.
        scales: how many it has: 0 unquantized, 1 per tensor, else one per channel.
        scale_low, scale_high: the smallest and largest of them; None without any.
        zero_low, zero_high: of the zero points likewise.
    """

    index: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    is_constant: bool
    size_bytes: int
    scales: int
    scale_low: float | None
    scale_high: float | None
    zero_low: int | None
    zero_high: int | None


class OperatorLine(msgspec.Struct, frozen=True, kw_only=True):
    """One operator.

    Attributes:
        inputs, outputs: places of tensors; -1 for an input left out.
        is_integer: none of them is float.
    """

    index: int
    operator: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    is_integer: bool


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """What a file is made of.

    Attributes:
        operators: how many of each, by name.
        integer_operators: those with no tensor that is not integer or bool.
        all_operators: count of all.
        float_tensors: names of those of a floating type, constants included; empty for a full int8 file.
        tensor_types: how many tensors of each type.
        multiply_adds: of convolutions, dense layers and transposed convolutions, one inference.
        parameter_bytes: stored bytes by type; data that tensors share counts once.
        kernels_per_channel: kernels with a scale for each output channel.
        kernels_per_tensor: kernels with one scale for several channels.
        kernels_unquantized: kernels without a scale.
        requantized: QUANTIZE operators from integers to integers: a value that is needed in two scales.
        quantized, dequantized: conversions from and to float.
        suspicions: what looks wrong, in the order of the file.
        tensors: every tensor.
        steps: every operator, in execution order.
    """

    operators: dict[str, int]
    integer_operators: int
    all_operators: int
    float_tensors: tuple[str, ...]
    tensor_types: dict[str, int]
    multiply_adds: int
    parameter_bytes: dict[str, int]
    kernels_per_channel: int
    kernels_per_tensor: int
    kernels_unquantized: int
    requantized: int
    quantized: int
    dequantized: int
    suspicions: tuple[Suspicion, ...]
    tensors: tuple[TensorLine, ...]
    steps: tuple[OperatorLine, ...]

    @property
    def integer_share(self) -> float:
        """Integer operators of all, 0..1; 1 for a file without operators."""
        return self.integer_operators / self.all_operators if self.all_operators else 1.0

    @property
    def is_full_integer(self) -> bool:
        """Whether no tensor is left float."""
        return not self.float_tensors


def of(model: Model) -> Coverage:
    """Return what a model is made of.

    Raises:
        ConversionError: the file holds another number of bytes than a kernel's shape needs.
    """
    steps = tuple(_operator_line(operator, model) for operator in model.operators)
    kernels = list(_kernels(model))
    recoded = Counter(_recoding(operator, model) for operator in model.operators)
    return Coverage(
        operators=dict(sorted(Counter(step.operator for step in steps).items())),
        integer_operators=sum(step.is_integer for step in steps),
        all_operators=len(steps),
        float_tensors=tuple(tensor.name for tensor in tflite.float_tensors(model)),
        tensor_types=dict(sorted(Counter(tensor.dtype for tensor in model.tensors).items())),
        multiply_adds=sum(one.multiply_adds for one in tflite.work(model)),
        parameter_bytes=_parameter_bytes(model),
        kernels_per_channel=sum(len(kernel.scales) == kernel.shape[axis] for kernel, axis in kernels),
        kernels_per_tensor=sum(len(kernel.scales) == 1 < kernel.shape[axis] for kernel, axis in kernels),
        kernels_unquantized=sum(not kernel.scales for kernel, _ in kernels),
        requantized=recoded["requantize"],
        quantized=recoded["quantize"],
        dequantized=recoded["dequantize"],
        suspicions=tuple(_suspicions(model, kernels)),
        tensors=tuple(_tensor_line(tensor) for tensor in model.tensors),
        steps=steps,
    )


def _operator_line(operator: Operator, model: Model) -> OperatorLine:
    ends = [model.tensors[index] for index in (*operator.inputs, *operator.outputs) if index >= 0]
    return OperatorLine(
        index=operator.index,
        operator=operator.custom_name or operator.name,
        inputs=operator.inputs,
        outputs=operator.outputs,
        is_integer=all(_is_integer(tensor) for tensor in ends),
    )


def _is_integer(tensor: Tensor) -> bool:
    return tensor.dtype.startswith(("int", "uint", "bool"))


def _tensor_line(tensor: Tensor) -> TensorLine:
    return TensorLine(
        index=tensor.index,
        name=tensor.name,
        dtype=tensor.dtype,
        shape=tensor.shape,
        is_constant=tensor.is_constant,
        size_bytes=tensor.size_bytes,
        scales=len(tensor.scales),
        scale_low=min(tensor.scales, default=None),
        scale_high=max(tensor.scales, default=None),
        zero_low=min(tensor.zero_points, default=None),
        zero_high=max(tensor.zero_points, default=None),
    )


def _parameter_bytes(model: Model) -> dict[str, int]:
    stored = {tensor.buffer: tensor for tensor in model.tensors if tensor.is_constant}
    total: Counter[str] = Counter()
    for tensor in stored.values():
        total[tensor.dtype] += tensor.size_bytes
    return dict(sorted(total.items()))


def _recoding(operator: Operator, model: Model) -> str | None:
    if operator.name == "DEQUANTIZE":
        # Of a constant: float16 weights widened.
        return "dequantize"
    if operator.name == "QUANTIZE":
        return "requantize" if _is_integer(model.tensors[operator.inputs[0]]) else "quantize"
    return None


def _kernels(model: Model) -> Iterator[tuple[Tensor, int]]:
    """Yield each stored kernel once, with the dimension of its output channels."""
    seen: set[int] = set()
    for operator in model.operators:
        kernel = workload.kernel(operator, model)
        if kernel is not None and kernel[0].index not in seen:
            seen.add(kernel[0].index)
            yield kernel


def _suspicions(model: Model, kernels: list[tuple[Tensor, int]]) -> Iterator[Suspicion]:
    neighbours = _neighbours(model)
    axes = {kernel.index: axis for kernel, axis in kernels}
    for tensor in model.tensors:
        found = [*_of_scales(tensor)]
        if not found and tensor.index in axes:
            found = [*_of_kernel(tensor, axes[tensor.index], model)]
        if not found and tensor.index in neighbours:
            found = [*_of_neighbours(tensor, neighbours[tensor.index])]
        for trouble, detail in found:
            yield Suspicion(tensor=tensor.name, trouble=trouble, detail=detail)


def _of_scales(tensor: Tensor) -> Iterator[tuple[Trouble, str]]:
    if bad := [place for place, scale in enumerate(tensor.scales) if scale <= 0]:
        yield Trouble.ZERO_SCALE, f"{len(bad)} of {len(tensor.scales)} scales are not above 0, the first at {bad[0]}"
    elif len(tensor.scales) == 1 and tensor.scales[0] < _DEAD_SCALE and not tensor.is_constant:
        yield Trouble.DEAD_RANGE, f"scale {tensor.scales[0]:.1e}: its range was never seen to hold anything but 0"


def _of_kernel(kernel: Tensor, axis: int, model: Model) -> Iterator[tuple[Trouble, str]]:
    weights = tflite.values(model, kernel)
    others = tuple(other for other in range(weights.ndim) if other != axis)
    silent = np.flatnonzero(~weights.astype(bool).any(axis=others))
    if silent.size:
        yield Trouble.ZERO_CHANNELS, f"{silent.size} of {weights.shape[axis]}, the first at {silent[0]}"
    if len(kernel.scales) > 1:
        median, widest = float(np.median(kernel.scales)), int(np.argmax(kernel.scales))
        if (ratio := kernel.scales[widest] / median) > _APART:
            yield Trouble.UNEVEN_CHANNELS, f"the scale of channel {widest} is {ratio:.0f} times the median"


def _neighbours(model: Model) -> Mapping[int, list[float]]:
    """Return the scales beside each computed tensor: of what else its operators read and write, dead ones aside."""
    found: dict[int, list[float]] = {}
    for operator in model.operators:
        if operator.name in _INDEPENDENT:
            continue
        ends = [
            model.tensors[index]
            for index in dict.fromkeys((*operator.inputs, *operator.outputs))
            if index >= 0 and not model.tensors[index].is_constant and len(model.tensors[index].scales) == 1
        ]
        for tensor in ends:
            found.setdefault(tensor.index, []).extend(
                other.scales[0] for other in ends if other is not tensor and other.scales[0] >= _DEAD_SCALE
            )
    return found


def _of_neighbours(tensor: Tensor, scales: list[float]) -> Iterator[tuple[Trouble, str]]:
    if scales and tensor.scales[0] > _APART * max(scales):
        yield Trouble.COARSE, f"scale {tensor.scales[0]:.3g}, the largest beside it {max(scales):.3g}"
