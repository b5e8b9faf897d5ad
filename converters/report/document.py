"""The document ``conversion.json``: what a conversion did and everything that was measured of its result.

It names no image, no patient and no place on a disk, so that it may travel in a bundle as evidence. The same values
are drawn as a page by `converters.report.page`.

    raw = schema.encode_json(report)
    for name, value in report.table_rows(found): ...
"""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import Literal

import msgspec

from converters.calibration import Proof
from converters.jetson import Agreement
from converters.mode import Mode
from converters.parity import Parity
from converters.report.coverage import Coverage
from converters.report.environment import Environment
from converters.report.fidelity import Fidelity, LayerError
from converters.report.latency import Latency, Timing
from edgemed.runtime.golden import Tolerance

__all__ = ["MEMBER", "CalibrationSet", "Report", "Training", "table_rows"]

MEMBER = "evidence/conversion.json"


class CalibrationSet(msgspec.Struct, frozen=True, kw_only=True):
    """The planes that set ranges; ``proof`` shows that they did, where no training moved the ranges after them."""

    name: str
    size: int
    digest: str
    proof: Proof | None


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """What trained the fake-quantized twin."""

    images: int
    epochs: int
    learning_rate: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion.

    Attributes:
        name: of the model.
        parameters: trainable and other numbers of the float model.
        targets: ids of the devices it was converted for.
        seconds: that the whole conversion took.
        peak_memory_mib: largest resident size of the process so far.
        float_bytes: size of the float32 TFLite file of the same model.
        converted_bytes: size of the file that ships.
        coverage: of the file that ships.
        calibration: None in the modes without ranges.
        training: None but in mode qat.
        parity: figures the gate was judged on.
        tolerance: between back ends; None of a float model.
        agreements: of each ONNX member with the converted file, by member name.
        fidelity: layer by layer; None of a float model.
        latency: on this machine; None where it was not measured.
        environment: that all of it was measured in.
    """

    schema: Literal[1] = 1
    name: str
    mode: Mode
    targets: tuple[str, ...]
    parameters: int
    seconds: float
    peak_memory_mib: float
    float_bytes: int
    converted_bytes: int
    coverage: Coverage
    calibration: CalibrationSet | None
    training: Training | None
    parity: Parity
    tolerance: Tolerance | None
    agreements: dict[str, Agreement] = {}
    fidelity: Fidelity | None
    latency: Latency | None
    environment: Environment


def table_rows(report: Report) -> tuple[tuple[str, str], ...]:
    """Return the closing table, name and value a row."""
    mode, parity = report.mode.value, report.parity
    return (
        ("model", f"{report.name}, {report.parameters:,} parameters, {_millions(report.coverage.multiply_adds)}"),
        ("converted", f"{mode}, for {', '.join(report.targets)}"),
        ("size", _size(report)),
        ("operators", _operators(report.coverage)),
        ("int8 coverage", _coverage(report.coverage)),
        *_ranges(report),
        ("AUC float", format(parity.areas.of_float)),
        (f"AUC {mode}", format(parity.areas.converted)),
        ("difference", f"{parity.areas.difference:+}, non-inferior at {parity.margin:g}: {_passed(parity)}"),
        ("sensitivity", f"{parity.point_converted.sensitivity}; float {parity.point_float.sensitivity}"),
        ("specificity", f"{parity.point_converted.specificity}; float {parity.point_float.specificity}"),
        *_labels(parity),
        ("flipped", f"{parity.flipped} of {parity.gate.n} decisions, McNemar p {parity.mcnemar.p_value:.4f}"),
        *_measured(report),
        ("work", f"{report.seconds:.0f} s, at most {report.peak_memory_mib:.0f} MiB of memory"),
    )


def _labels(parity: Parity) -> Iterator[tuple[str, str]]:
    if parity.labels is not None:
        yield "label", f"the same {parity.labels.agreed}"
        yield "label right", f"{parity.labels.right_converted}; float {parity.labels.right_float}"


def _passed(parity: Parity) -> str:
    return "gate passed" if parity.passed else "gate failed"


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M multiply-adds"


def _size(report: Report) -> str:
    share = report.converted_bytes / report.float_bytes
    return f"{report.converted_bytes / 1000:.0f} kB, float32 {report.float_bytes / 1000:.0f} kB ({share:.0%})"


def _operators(coverage: Coverage) -> str:
    often = sorted(coverage.operators.items(), key=lambda item: (-item[1], item[0]))
    listed = ", ".join(f"{count} {name}" for name, count in often[:4])
    more = sum(count for _, count in often[4:])
    return f"{coverage.all_operators}: {listed}{f' and {more} more' if more else ''}"


def _coverage(coverage: Coverage) -> str:
    shown = (
        f"{coverage.integer_operators} of {coverage.all_operators} operators, {_count(coverage.float_tensors, 'float')}"
    )
    return f"{shown}; {_count(coverage.suspicions, 'suspicious')}" if coverage.suspicions else shown


def _count(tensors: Sized, kind: str) -> str:
    return f"{len(tensors) or 'no'} {kind} tensor{'s' * (len(tensors) > 1)}"


def _ranges(report: Report) -> Iterator[tuple[str, str]]:
    if report.calibration is not None:
        found, proof = report.calibration, report.calibration.proof
        moved = "" if proof is None else f"; it moved {proof.differing} of {proof.activations} ranges"
        yield "calibration", f"{found.name}: {found.size} planes, {found.digest[:19]}{moved}"
    if report.training is not None:
        trained = report.training
        yield "training", f"{trained.epochs} epochs over {trained.images} images, rate {trained.learning_rate:g}"


def _measured(report: Report) -> Iterator[tuple[str, str]]:
    if report.tolerance is not None:
        entries = report.tolerance.entries
        lsb, score = max(entry.logit_lsb for entry in entries), max(entry.score for entry in entries)
        yield "back ends", f"logit within {lsb} LSB, score within {score:.4f} over {len(entries)} back ends"
    for member, agreement in report.agreements.items():
        yield member, _agreement(agreement)
    if report.fidelity is not None and report.fidelity.layers:
        yield "worst layer", _layer(report.fidelity.layers[0])
    if report.latency is not None:
        yield "latency here", _latency(report.latency)


def _agreement(found: Agreement) -> str:
    worst = max(found.runs, key=lambda run: abs(run.difference))
    lsb = max(abs(apart) for run in found.runs for apart, _ in run.logit_lsb)
    contradicted = sum(run.contradicted for run in found.runs)
    return (
        f"against TFLite: AUC {worst.difference:+.4f}, {contradicted} decisions contradicted, logit within {lsb} LSB "
        f"on {found.n} images"
    )


def _layer(error: LayerError) -> str:
    own, gathered = (_decibel(ratio) for ratio in (error.own_snr_db, error.snr_db))
    return f"{error.layer} ({error.operator}): signal to noise {own} of its own, {gathered} with all before it"


def _decibel(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f} dB"


def _latency(found: Latency) -> str:
    ratio = found.of_float.p50_ms / found.converted.p50_ms
    return (
        f"{_timing(found.converted)}; float {_timing(found.of_float)}; float takes {ratio:.1f} times as long, "
        f"{found.threads} thread{'s' * (found.threads > 1)}"
    )


def _timing(timing: Timing) -> str:
    tail = "" if timing.p99_ms is None else f", p99 {timing.p99_ms:.2f}"
    return f"p50 {timing.p50_ms:.2f}, p90 {timing.p90_ms:.2f}{tail} ms"
