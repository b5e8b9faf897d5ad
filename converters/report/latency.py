"""How long the float and the converted model take on this machine, side by side in one run.

One inference is timed: inputs set, model invoked, outputs copied. Both models run on LiteRT with XNNPACK and as many
threads, in turns, so that what slows the machine down slows both; the planes are real ones, in turn. No sample is
left out but those of the warm-up.

    found = latency.measure(float_raw, int8_raw, validation.planes)
    found.of_float.p50_ms / found.converted.p50_ms
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemed import tensors
from edgemed.errors import ConversionError
from edgemed.measure import TAIL_SAMPLES
from edgemed.runtime import backends
from edgemed.runtime.interpreter import Interpreter

__all__ = ["Latency", "Timing", "measure"]

_PLANES = 16  # real inputs, taken in turn


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles of one model's samples.

    Attributes:
        p99_ms: None below 1000 samples.
        samples_ms: every one, in the order measured, to 0.1 microseconds.
    """

    p50_ms: float
    p90_ms: float
    p99_ms: float | None
    max_ms: float
    samples_ms: tuple[float, ...]


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Both models, ``runs`` inferences of each after ``warm_up`` that were not counted."""

    runs: int
    warm_up: int
    threads: int
    of_float: Timing
    converted: Timing


def measure(
    float_raw: bytes,
    converted_raw: bytes,
    planes: NDArray[np.uint8] | Mapping[str, NDArray[Any]],
    *,
    runs: int = 1000,
    warm_up: int = 50,
    seconds: float = 30.0,
    threads: int = 1,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> Latency:
    """Return the latency of a float and a converted TFLite file.

    Args:
        float_raw: float32 TFLite file, batch 1.
        converted_raw: of the same model.
        planes: (N, H, W) of grey levels for the one input, or an array for each input by name, N >= 1.
        runs: of each model.
        warm_up: runs of each model before, not counted.
        seconds: after which no more run is begun; at least one of each is counted.
        threads: of each interpreter.
        clock: in ns.

    Raises:
        InferenceError: LiteRT cannot run a file.
        ConversionError: an input is neither int8 with a scale nor float32.
        ValueError: no plane, or no run.
    """
    if runs < 1:
        raise ValueError(f"runs: expected at least 1, got {runs}")
    models = [backends.load(raw, backend="litert", threads=threads) for raw in (float_raw, converted_raw)]
    fed = [_inputs(model, planes) for model in models]
    for turn in range(warm_up):
        for model, inputs in zip(models, fed, strict=True):
            model.invoke(inputs[turn % len(inputs)])
    end = clock() + int(seconds * 1e9)
    samples: tuple[list[int], list[int]] = ([], [])
    for turn in range(runs):
        if turn and clock() >= end:
            break
        for model, inputs, taken in zip(models, fed, samples, strict=True):
            start = clock()
            model.invoke(inputs[turn % len(inputs)])
            taken.append(clock() - start)
    of_float, converted = map(_timing, samples)
    return Latency(runs=len(samples[0]), warm_up=warm_up, threads=threads, of_float=of_float, converted=converted)


def _inputs(model: Interpreter, planes: NDArray[np.uint8] | Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
    """Return some planes as a model takes them, coded outside the timed call as the runtime's table does."""
    given = dict(planes) if isinstance(planes, Mapping) else dict.fromkeys(model.inputs, planes)
    count = min((len(stack) for stack in given.values()), default=0)
    if not count:
        raise ValueError("planes: expected at least one, got none")
    return [
        {name: _coded(given[name][place], spec) for name, spec in model.inputs.items()}
        for place in range(min(count, _PLANES))
    ]


def _coded(plane: NDArray[Any], spec: tensors.TensorSpec) -> NDArray[Any]:
    real = np.asarray(plane, np.float32).reshape(spec.shape)
    if spec.dtype == "float32":
        return real
    if spec.dtype != "int8" or spec.quantization is None:
        raise ConversionError(
            f"latency: input {spec.name!r}: expected int8 with one scale, or float32, got {spec.dtype}; export it again"
        )
    return tensors.quantize(real, spec.quantization)


def _timing(nanoseconds: list[int]) -> Timing:
    samples = np.array(nanoseconds, np.float64) / 1e6
    p50, p90, p99 = (float(np.percentile(samples, share)) for share in (50, 90, 99))
    return Timing(
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99 if len(samples) >= TAIL_SAMPLES else None,
        max_ms=float(samples.max()),
        samples_ms=tuple(np.round(samples, 4).tolist()),
    )
