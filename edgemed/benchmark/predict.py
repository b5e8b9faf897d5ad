"""How long inference would take on a device that is not at hand: a prediction from published figures, no measurement.

A `Prediction` is for one network on one target, with a range for each way the target is set up. The range spans
what the machines say that were fitted without one network each: they lie far apart where a prediction hangs on one
figure, or reaches beyond all of them. Beyond that it reaches as far either way as the worst figure of the target that
was predicted without its network, but never less than a quarter.
Its document says ``"kind": "prediction"``, and nothing compares it with a measurement.

    found = predict.predict(raw, source="int8.tflite", target=targets.load("coral-usb"))
    found.estimates[0].low_ms, found.estimates[0].high_ms
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from converters import compat
from edgemed import files, tflite
from edgemed.benchmark import figures, roofline
from edgemed.benchmark.figures import Figure, Figures, Setup
from edgemed.benchmark.roofline import Load, Parts
from edgemed.errors import ConversionError, TargetMismatchError
from edgemed.targets import Accelerator, Target

__all__ = ["KIND", "Estimate", "Prediction", "document", "predict"]

KIND = "prediction"
"""What a document of this module says under ``kind``."""

_NARROWEST = 1.25  # no range is narrower, however well a few figures happen to be met


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Inference of one picture on one setup of the target, in ms; typical ones, no 99th percentile."""

    setup: str
    expected_ms: float
    low_ms: float
    high_ms: float
    parts: Parts


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What is expected of a network on a target, and on what grounds.

    Attributes:
        model: the file's name.
        digest: of the file.
        load: what one inference does.
        figures: published for the target, those that are fitted and those that are not.
        median_error: of the fitted figures of all targets, absolute.
        median_left_out_error: the same with each figure's network left out of the fit.
        notes: what else to know, a sentence each.
    """

    model: str
    digest: str
    target: str
    load: Load
    estimates: tuple[Estimate, ...]
    figures: tuple[Figure, ...]
    median_error: float
    median_left_out_error: float
    notes: tuple[str, ...]


def predict(raw: bytes, *, source: str, target: Target, known: Figures | None = None) -> Prediction:
    """Return what is expected of a full int8 TFLite file on a target.

    Args:
        raw: the file, not compiled for an accelerator; TensorRT runs an ONNX of the same network.
        source: its name for messages.
        target: the device.
        known: figures and fitted machines; None for those of the package.

    Raises:
        TargetMismatchError: no latency of the target is published.
        ConversionError: the file is damaged, compiled, not full int8, or leaves operators of it to the CPU.
    """
    known = figures.load() if known is None else known
    setups = known.predicting(target.id)
    if not setups:
        raise TargetMismatchError(_unknown(target, known))
    load = _load(raw, source, target)
    of_target = known.of_target(target.id)
    factor = _reach(of_target)
    fitted = [one for one in known.figures if one.excluded is None]
    return Prediction(
        model=source,
        digest=files.sha256(raw),
        target=target.id,
        load=load,
        estimates=tuple(_estimate(load, setup, factor) for setup in setups),
        figures=of_target,
        median_error=statistics.median(abs(one.error) for one in fitted),
        median_left_out_error=statistics.median(abs(one.left_out_error or 0.0) for one in fitted),
        notes=tuple(_notes(load, setups, of_target)),
    )


def document(found: Prediction) -> dict[str, Any]:
    """Return a prediction as a tree for JSON, without ``schema_version``."""
    return {
        "kind": KIND,
        "measured": False,
        "model": {"name": found.model, "digest": found.digest},
        "target": found.target,
        "stage": "infer",
        "work": {
            "operators": len(found.load.work),
            "multiply_adds": found.load.multiply_adds,
            "values_moved": found.load.moved,
            "weights": sum(one.weights for one in found.load.work),
        },
        "estimates": [
            {
                "setup": one.setup,
                "expected_ms": round(one.expected_ms, 3),
                "low_ms": round(one.low_ms, 3),
                "high_ms": round(one.high_ms, 3),
                "parts": {name: round(value, 4) for name, value in asdict(one.parts).items()},
            }
            for one in found.estimates
        ],
        "basis": {
            "figures": [_figure(one) for one in found.figures],
            "median_error": round(found.median_error, 4),
            "median_left_out_error": round(found.median_left_out_error, 4),
        },
        "notes": found.notes,
    }


def _figure(one: Figure) -> dict[str, Any]:
    left_out = one.left_out_error
    return {
        "network": one.network,
        "setup": one.setup,
        "published_as": one.published_as,
        "published_ms": one.published_ms,
        "predicted_ms": one.predicted_ms,
        "error": round(one.error, 4),
        "left_out_ms": one.left_out_ms,
        "left_out_error": None if left_out is None else round(left_out, 4),
        "excluded": one.excluded,
        "source": one.source,
    }


def _unknown(target: Target, known: Figures) -> str:
    why = known.unknown.get(target.id, "no latency of it is known to this release")
    can = sorted({one.target for one in known.setups if one.target is not None and one.predicts})
    return (
        f"{target.id}: nothing is predicted for it: {why}; measure it on the unit with 'edgemed benchmark --device "
        f"{target.id} --to ADDRESS', or predict for one of {', '.join(can)}"
    )


def _load(raw: bytes, source: str, target: Target) -> Load:
    model = tflite.read(raw, source=source)
    if tflite.is_compiled(model):
        raise ConversionError(
            f"{source}: is compiled for the Edge TPU, which hides its operators; name the int8 file it was made from"
        )
    if left := tflite.float_tensors(model):
        raise ConversionError(
            f"{source}: {len(left)} of {len(model.tensors)} tensors are float, expected a full int8 file; "
            "make one with 'edgemed convert'"
        )
    if target.accelerator is Accelerator.EDGETPU:
        _require_mapped(raw, source, target)
    ends = {tensor.index: tensor for tensor in (*model.inputs.values(), *model.outputs.values())}
    return Load(work=tflite.work(model), ends=sum(math.prod(one.allocated_shape) for one in ends.values()))


def _require_mapped(raw: bytes, source: str, target: Target) -> None:
    """Refuse a graph that leaves the accelerator: the formula knows no way back and forth."""
    report = compat.check(raw, source=source, target=target)
    left = [one for one in report.operators if one.verdict is compat.Verdict.CPU]
    if left:
        raise ConversionError(
            f"{source}: {len(left)} of {len(report.operators)} operators run on the host's CPU, the first is "
            f"{left[0].index} ({left[0].op}); only a graph that {target.id} runs whole is predicted: see "
            f"'edgemed compat {source} --target {target.id}'"
        )


def _reach(of_target: Sequence[Figure]) -> float:
    """Return the factor by which the worst left-out prediction lay above or below what was published."""
    errors = [one.left_out_error for one in of_target if one.left_out_error is not None]
    return max([_NARROWEST, *(math.exp(abs(math.log1p(error))) for error in errors)])


def _estimate(load: Load, setup: Setup, factor: float) -> Estimate:
    parts = roofline.parts(load, setup.machine)
    said = [parts.total_ms, *(roofline.parts(load, machine).total_ms for machine in setup.left_out)]
    return Estimate(
        setup=setup.summary,
        expected_ms=parts.total_ms,
        low_ms=min(said) / factor,
        high_ms=max(said) * factor,
        parts=parts,
    )


def _notes(load: Load, setups: Sequence[Setup], of_target: Sequence[Figure]) -> list[str]:
    said = ["typical times of inference alone, no 99th percentile: no budget is met or broken by them"]
    counts = [one.multiply_adds for one in of_target if one.excluded is None]
    if counts and not min(counts) <= load.multiply_adds <= max(counts):
        said.append(
            f"{load.multiply_adds / 1e6:.0f} million multiply-adds lie outside the {min(counts) / 1e6:.0f} to "
            f"{max(counts) / 1e6:.0f} million of the networks it was fitted to: trust the range less"
        )
    off_chip = roofline.off_chip_bytes(load.work, setups[0].machine)
    if off_chip:
        said.append(f"{off_chip / (1 << 20):.1f} MiB of weights do not fit on the chip and are sent with every picture")
    return said
