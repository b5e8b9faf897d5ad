"""What each layer of an int8 TFLite file computes, held against a float file of the same model, on real planes.

Two errors of a layer, both as a signal-to-noise ratio. ``snr_db`` is what has gathered on the way: the int8 activation
against the float model's, from the same plane. ``own_snr_db`` is what the layer adds by itself: against what the
float layer makes of the very values that the int8 layer was given. A damaged layer shows there, and only there;
the layers are listed by it, worst first.

Files are run by LiteRT's built-in kernels, without XNNPACK, which keeps no activations; its rounding differs by some
LSB. `converters.report.pairing` says which tensors belong together; what it cannot pair is listed and not measured.

    found = fidelity.measure(float_raw, int8_raw, validation.planes)
    found.layers[0].layer, found.layers[0].own_snr_db

After quantization-aware training the float file must hold the trained weights: against those from before it, the error
would hold what training changed.

Source of the ratio, there called SQNR: Lin, Talathi and Annapureddy, "Fixed Point Quantization of Deep Convolutional
Networks", ICML 2016.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from converters.report import activations, cutting, pairing
from converters.report.pairing import Pair
from edgemed import tflite
from edgemed.errors import ConversionError

__all__ = ["Fidelity", "LayerError", "Unmatched", "measure"]

_SEED = 20240229  # which planes are measured


class LayerError(msgspec.Struct, frozen=True, kw_only=True):
    """How far one layer's int8 activations lie from the float ones, over all planes.

    Attributes:
        layer: path of the layer; its name in the signature for an end of the model.
        operator: TFLite's name of the operator that writes the tensor; ``INPUT`` for an input of the model.
        tensor: name of the int8 tensor.
        matched_by: what paired it with the float tensor: ``signature``, ``graph`` or ``name``.
        scale, zero_point: of the int8 tensor; None when the file left it float.
        snr_db: 10 log10(sum float^2 / sum (float - int8)^2); None where either sum is 0 (see the two below).
        own_snr_db: likewise, the float layer fed with what the int8 layer was fed with; None likewise.
        rms_float: root mean square of the float values; 0 when they all are.
        rms_error: of float - int8; 0 when nothing differs.
        own_rms_error: of what the layer itself adds.
        cosine: of the angle between float and int8 values; None where either is all zero.
        saturated: share of the int8 values at the ends of their type, 0..1; those of a ReLU are often there by right.
        clipped: share of the float values that lie more than half an LSB beyond what the int8 tensor can express.
    """

    layer: str
    operator: str
    tensor: str
    matched_by: pairing.By
    shape: tuple[int, ...]
    scale: float | None
    zero_point: int | None
    snr_db: float | None
    own_snr_db: float | None
    rms_float: float
    rms_error: float
    own_rms_error: float
    cosine: float | None
    saturated: float
    clipped: float


class Unmatched(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor of real values that no float tensor is known to equal, or that has no one scale to be read with.

    What its layer adds counts for the layer behind it.
    """

    layer: str
    operator: str
    tensor: str
    shape: tuple[int, ...]


class Fidelity(msgspec.Struct, frozen=True, kw_only=True):
    """Errors of all layers, the one that adds most first.

    Attributes:
        against: what the float side was, in words.
        planes: that were run.
        seed: of their choice.
    """

    against: str
    planes: int
    seed: int
    layers: tuple[LayerError, ...]
    unmatched: tuple[Unmatched, ...]


def measure(
    float_raw: bytes,
    int8_raw: bytes,
    planes: NDArray[np.uint8] | Mapping[str, NDArray[Any]],
    *,
    count: int = 64,
    seed: int = _SEED,
    against: str = "the float model",
    layers: Collection[str] = (),
    threads: int = 1,
) -> Fidelity:
    """Return the errors of every layer that both files have.

    Args:
        float_raw: float32 TFLite file, batch 1, made by the same converter from the same weights.
        int8_raw: int8 TFLite file, batch 1.
        planes: (N, H, W) of grey levels for the one input; several inputs by name, each (N, ...) as the model takes it.
        count: planes to run, all where there are fewer.
        seed: of their choice.
        against: what the float file is, in words, e.g. ``the trained twin without quantization``.
        layers: names of the Keras model's layers, to tell them from the numbers that tracing adds to names.
        threads: of each interpreter.

    Raises:
        ValueError: no planes, or not one array for each input.
        ConversionError: a file is damaged, no tensor can be paired, or the float model's values are not finite.
        InferenceError: LiteRT cannot run a file.
    """
    of_float, of_int8 = (
        tflite.read(raw, source=name) for raw, name in ((float_raw, "float.tflite"), (int8_raw, "int8.tflite"))
    )
    pairs = [pair for pair in pairing.of(of_float, of_int8) if _is_measurable(pair)]
    if not pairs:
        raise ConversionError(
            "layer errors: no tensor of the int8 file is known in the float file; convert both from one model"
        )
    stacks = _stacks(planes, of_float)
    chosen = _chosen(stacks, count, seed)
    trial = _Trial(of_float, of_int8, pairs, threads)
    for index in chosen:
        trial.run({name: stack[index : index + 1] for name, stack in stacks.items()})
    found = [_layer_error(pair, sums, of_int8, layers) for pair, sums in zip(pairs, trial.sums, strict=True)]
    paired = {pair.of_int8.index for pair in pairs}
    return Fidelity(
        against=against,
        planes=len(chosen),
        seed=seed,
        layers=tuple(sorted(found, key=_worst_first)),
        unmatched=_unmatched(of_int8, paired, layers),
    )


def _is_measurable(pair: Pair) -> bool:
    """Tell whether both tensors hold real values: shapes and indices do not."""
    ours = pair.of_int8
    is_real = ours.dtype.startswith("float") or (len(ours.scales) == 1 and ours.scales[0] > 0)
    return is_real and pair.of_float.dtype == "float32"


def _stacks(planes: NDArray[np.uint8] | Mapping[str, NDArray[Any]], model: tflite.Model) -> dict[str, NDArray[Any]]:
    """Return the planes as the float model takes them, by input name."""
    given = dict(planes) if isinstance(planes, Mapping) else dict.fromkeys(model.inputs, planes)
    if given.keys() != model.inputs.keys() or (len(given) > 1 and not isinstance(planes, Mapping)):
        got = sorted(given) if isinstance(planes, Mapping) else "one array"
        raise ValueError(f"planes: expected an array for each of the inputs {sorted(model.inputs)}, got {got}")
    stacks = {}
    for name, tensor in model.inputs.items():
        stack = np.asarray(given[name])
        sample = tensor.allocated_shape[1:]
        if stack.shape[1:] != sample and (*stack.shape[1:], 1) == sample:
            stack = stack[..., np.newaxis]
        if stack.shape[1:] != sample or tensor.allocated_shape[:1] != (1,):
            raise ValueError(f"planes: expected (N, {', '.join(map(str, sample))}) for {name!r}, got {stack.shape}")
        stacks[name] = stack
    return stacks


def _chosen(stacks: Mapping[str, NDArray[Any]], count: int, seed: int) -> list[int]:
    sizes = {len(stack) for stack in stacks.values()}
    if len(sizes) != 1 or 0 in sizes:
        raise ValueError(f"planes: expected as many for each input, at least one, got {sorted(sizes)}")
    return sorted(np.random.default_rng(seed).permutation(sizes.pop())[:count].tolist())


@dataclass
class _Sums:
    """What is added up over the planes, in float64: no activation outlives its plane."""

    values: int = 0
    signal: float = 0.0
    noise: float = 0.0
    own_signal: float = 0.0
    own_noise: float = 0.0
    product: float = 0.0
    energy: float = 0.0
    saturated: int = 0
    clipped: int = 0

    def add(self, of_float: NDArray[np.float64], of_int8: NDArray[np.float64], of_layer: NDArray[np.float64]) -> None:
        # Not np.vdot: the threads of BLAS wait for each other where others compute too.
        self.values += of_float.size
        self.signal += float(np.square(of_float).sum())
        self.noise += float(np.square(of_float - of_int8).sum())
        self.own_signal += float(np.square(of_layer).sum())
        self.own_noise += float(np.square(of_layer - of_int8).sum())
        self.product += float((of_float * of_int8).sum())
        self.energy += float(np.square(of_int8).sum())


class _Trial:
    """Three interpreters and the sums of what they answer: float, int8, and float fed with the int8 activations."""

    def __init__(self, of_float: tflite.Model, of_int8: tflite.Model, pairs: list[Pair], threads: int) -> None:
        self._pairs = pairs
        self._inputs = {name: (of_float.inputs[name], tensor) for name, tensor in _same_names(of_float, of_int8)}
        self._given = {tensor.index for tensor in of_float.inputs.values()}
        self._cut = cutting.at(of_float.raw, (p.of_float.index for p in pairs if p.of_float.index not in self._given))
        self._float = activations.Probe(of_float.raw, threads=threads)
        self._int8 = activations.Probe(of_int8.raw, threads=threads)
        self._layers = activations.Probe(self._cut.raw, threads=threads)
        self.sums = [_Sums() for _ in pairs]

    def run(self, planes: Mapping[str, NDArray[Any]]) -> None:
        """Run one plane and add its errors up."""
        real = {name: plane.astype(np.float32) for name, plane in planes.items()}
        self._float.run({self._inputs[name][0].index: plane for name, plane in real.items()})
        self._int8.run(
            {
                self._inputs[name][1].index: activations.coded(plane, self._inputs[name][1])
                for name, plane in real.items()
            }
        )
        integers = [self._int8.read(pair.of_int8.index) for pair in self._pairs]
        values = [activations.real(stored, pair.of_int8) for stored, pair in zip(integers, self._pairs, strict=True)]
        self._layers.run(
            {
                self._cut.inputs.get(pair.of_float.index, pair.of_float.index): value.astype(np.float32)
                for pair, value in zip(self._pairs, values, strict=True)
            }
        )
        for pair, stored, value, sums in zip(self._pairs, integers, values, self.sums, strict=True):
            of_float = self._finite(pair)
            place = pair.of_float.index
            own = of_float if place in self._given else self._layers.read(place).astype(np.float64)
            sums.add(of_float, value, own)
            sums.saturated += activations.at_ends(stored)
            sums.clipped += activations.beyond(of_float, pair.of_int8)

    def _finite(self, pair: Pair) -> NDArray[np.float64]:
        values = self._float.read(pair.of_float.index).astype(np.float64)
        if not np.isfinite(values).all():
            raise ConversionError(
                f"layer errors: {pair.of_float.name}: expected finite values of the float model, got NaN or infinity; "
                "train it anew"
            )
        return values


def _same_names(of_float: tflite.Model, of_int8: tflite.Model) -> list[tuple[str, tflite.Tensor]]:
    """Return the int8 file's inputs under the float file's names."""
    if of_float.inputs.keys() == of_int8.inputs.keys():
        return [(name, of_int8.inputs[name]) for name in of_float.inputs]
    if len(of_float.inputs) == len(of_int8.inputs) == 1:
        return list(zip(of_float.inputs, of_int8.inputs.values(), strict=True))
    raise ConversionError(
        f"layer errors: the int8 file takes {sorted(of_int8.inputs)}, expected {sorted(of_float.inputs)} as the float "
        "file; convert both from one model"
    )


def _layer_error(pair: Pair, sums: _Sums, model: tflite.Model, layers: Collection[str]) -> LayerError:
    tensor = pair.of_int8
    length = math.sqrt(sums.signal * sums.energy)
    return LayerError(
        layer=_layer(tensor, model, layers),
        operator=_operator(tensor, model),
        tensor=tensor.name,
        matched_by=pair.by,
        shape=tensor.shape,
        scale=tensor.scales[0] if tensor.scales else None,
        zero_point=tensor.zero_points[0] if tensor.scales else None,
        snr_db=_decibel(sums.signal, sums.noise),
        own_snr_db=_decibel(sums.own_signal, sums.own_noise),
        rms_float=math.sqrt(sums.signal / sums.values),
        rms_error=math.sqrt(sums.noise / sums.values),
        own_rms_error=math.sqrt(sums.own_noise / sums.values),
        cosine=sums.product / length if length else None,
        saturated=sums.saturated / sums.values,
        clipped=sums.clipped / sums.values,
    )


def _decibel(signal: float, noise: float) -> float | None:
    return 10.0 * math.log10(signal / noise) if signal and noise else None


def _worst_first(error: LayerError) -> tuple[float, float]:
    """Order by what the layer adds; noise without a signal is worst, no noise is best, gathered noise breaks ties."""

    def loudness(decibel: float | None, noise: float) -> float:
        if decibel is not None:
            return decibel
        return -math.inf if noise else math.inf

    return loudness(error.own_snr_db, error.own_rms_error), loudness(error.snr_db, error.rms_error)


def _unmatched(model: tflite.Model, paired: set[int], layers: Collection[str]) -> tuple[Unmatched, ...]:
    left = [
        model.tensors[index]
        for operator in model.operators
        if operator.name not in pairing.RECODING
        for index in operator.outputs
        if index not in paired and (model.tensors[index].scales or model.tensors[index].dtype.startswith("float"))
    ]
    return tuple(
        Unmatched(
            layer=_layer(tensor, model, layers),
            operator=_operator(tensor, model),
            tensor=tensor.name,
            shape=tensor.shape,
        )
        for tensor in left
    )


def _operator(tensor: tflite.Tensor, model: tflite.Model) -> str:
    made = (operator for operator in model.operators if tensor.index in operator.outputs)
    return next((operator.custom_name or operator.name for operator in made), "INPUT")


def _layer(tensor: tflite.Tensor, model: tflite.Model, layers: Collection[str]) -> str:
    """Return the path of the layer; of an end of the model its name in the signature."""
    ends = [name for group in (model.outputs, model.inputs) for name, end in group.items() if end.index == tensor.index]
    path = pairing.scope(tensor)
    if ends or path is None:
        return (ends or [tensor.name])[0]
    parts = [_known(part, layers) for part in path.split("/")]
    # What follows the layer's name is its own business: "bn/batchnorm", "up/resize".
    ends_at = max((place for place, part in enumerate(parts, 1) if part in layers), default=len(parts))
    return "/".join(parts[:ends_at])


def _known(part: str, layers: Collection[str]) -> str:
    """Return a layer's own name: tracing writes ``conv_1`` or ``conv_3`` for the layer ``conv``."""
    names = (name for name in layers if re.fullmatch(re.escape(name) + r"(_\d+)?", part))
    return max(names, key=len, default=part)
