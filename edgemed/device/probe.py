"""The health check itself, as a program: load a bundle as this device would, replay its golden vectors, take times.

    python -m edgemed device probe --store DIR < question.json

It gets ready first, then reads from stdin, to its end, an `edgemed.device.health.Question`; nothing there is nothing to
do. One line of JSON on stdout (`edgemed.device.health.Health`) and exit 0; else one line on stderr and
the exit code of the error. It reads, and writes nothing. The times are taken on the frames of the golden vectors, the
only ones at hand.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from edgemed import files, schema
from edgemed.bundle.archive import Bundle
from edgemed.bundle.encryption import ENCRYPTED_LIMIT_BYTES
from edgemed.device import store as stores
from edgemed.device.health import Health, Question, Stage
from edgemed.device.store import Store
from edgemed.errors import EdgemedError, InstallError
from edgemed.runtime import backends, golden, selection
from edgemed.runtime.golden import GoldenReport, Verdict
from edgemed.runtime.screener import Screener
from edgemed.targets import Budget, Target, Use

__all__ = ["SAMPLES", "main", "probe"]

SAMPLES = 20
CLEAR_SAMPLES, CLEAR_SHARE = 3, 0.25  # all of so many below this share of their limits: the rest would tell nothing
_TIME_LIMIT_S = 30.0  # a slow unit gives fewer samples
_ORPHAN_LIMITS = 10  # times its limit that a check without the process that asked may last; that one may prolong it
_EXCESS = 2  # samples above the limit that chance does not explain; see `edgemed.device.health`


def main(store: str, *, stdin: BinaryIO | None = None) -> int:
    """Run the program; return 0, or the exit code of the error it printed."""
    try:
        opened = stores.open_store(Path(store))
        backends.preload()
        line = (stdin or sys.stdin.buffer).read()
        if not line:
            return 0
        asked = schema.decode_json(line, Question, source="question", error=InstallError)
        # Should the process that asked be killed: this one ends by itself.
        signal.alarm(math.ceil(_ORPHAN_LIMITS * asked.limit_s))
        path = Path(os.fsdecode(asked.path))
        raw = files.read_bounded(path, limit_bytes=ENCRYPTED_LIMIT_BYTES, error=InstallError)
        found = probe(opened, raw, path, asked.target)
    except EdgemedError as error:
        print(f"health: {error}", file=sys.stderr)
        return error.exit_code
    finally:
        signal.alarm(0)
    sys.stdout.write(schema.encode_json(found).decode() + "\n")
    return 0


def probe(store: Store, raw: bytes, source: Path, target: Target) -> Health:
    """Return how a bundle does on this machine, as the store's target.

    Raises:
        InstallError: its golden vectors lie outside the tolerance that it states for this platform.
        EdgemedError: it cannot be opened, loaded or run here.
    """
    bundle = store.verified(raw, source=source)
    loaded = selection.open_model(bundle, target, threads=target.threads)
    selected = loaded.selection
    screener = Screener(bundle, loaded.interpreter, selected=selected)
    report = golden.replay(screener.bundle, screener.classifier.interpreter, member=selected.member)
    if report.verdict is Verdict.OUTSIDE:
        raise InstallError(_outside(report))
    use = Use.US_CINE_30 if "US" in screener.bundle.manifest.modalities else Use.XRAY_STILL
    limits = _limits(target.budget(use))
    times = _times(screener, limits)
    stages = _stages(times, limits)
    # Asked again: an accelerator may have been lost since.
    reasons = screener.selection.reasons
    warnings = [*reasons, *([selected.elsewhere] if selected.elsewhere else []), *_unmeasured(report, times)]
    return Health(
        golden="within" if report.verdict is Verdict.WITHIN else "unmeasured",
        vectors=len(report.vectors),
        logit_lsb=max(vector.lsb["logit"] for vector in report.vectors),
        allowed_logit_lsb=None if report.allowed is None else report.allowed.logit_lsb,
        member=report.member,
        backend=report.backend,
        kernels=report.kernels.value,
        architecture=report.architecture,
        budget=use.value,
        n=len(times["total"]),
        stages=stages,
        slow=tuple(_slow(stage, len(times["total"]), target, use) for stage in stages if stage.over >= _EXCESS),
        warnings=tuple(warnings),
    )


def _outside(report: GoldenReport) -> str:
    allowed = report.allowed
    outside = [vector for vector in report.vectors if allowed is None or not vector.lies_within(allowed)]
    worst = max(outside, key=lambda vector: vector.lsb["logit"])
    limit = (
        "none" if allowed is None else f"{allowed.logit_lsb} LSB, {allowed.plane_gray} gray levels, {allowed.score:g}"
    )
    return (
        f"{report.member} on {report.backend}, {report.architecture}: {len(outside)} of {len(report.vectors)} golden "
        f"vectors outside the tolerance; {worst.frame}: logit {worst.lsb['logit']} LSB, plane {worst.plane_gray} gray "
        f"levels, score {worst.score:.3g} away, allowed {limit}"
    )


def _limits(budget: Budget) -> dict[str, float]:
    """Return what the budget allows each stage, in ms; reading a file is no part of a golden vector."""
    return {stage: budget.limits[stage] for stage in ("preprocess", "infer", "decide", "total")}


def _times(screener: Screener, limits: Mapping[str, float]) -> dict[str, list[float]]:
    """Return the samples of each stage, in ms; none where the gates refuse the golden frames.

    No sample is set aside as a warm-up: the golden vectors have run through model and preprocessing before.
    """
    bundle = screener.bundle
    vectors = golden.parse_vectors(bundle.members[golden.VECTORS])
    taken: dict[str, list[float]] = {stage: [] for stage in limits}
    start = time.monotonic()
    for number in range(SAMPLES):
        if (time.monotonic() - start > _TIME_LIMIT_S and len(taken["total"]) > 1) or _is_clear(taken, limits):
            break
        for name, value in _sample(screener, bundle, vectors[number % len(vectors)]).items():
            taken[name].append(value)
    return taken


def _is_clear(times: Mapping[str, Sequence[float]], limits: Mapping[str, float]) -> bool:
    """Return whether enough samples lie so far below every limit that no more are needed."""
    if len(times["total"]) < CLEAR_SAMPLES:
        return False
    return all(max(times[stage]) < CLEAR_SHARE * limit for stage, limit in limits.items())


def _sample(screener: Screener, bundle: Bundle, vector: golden.Vector) -> Mapping[str, float]:
    before = time.perf_counter()
    frame = golden.decode_frame(bundle.members[vector.frame], source=vector.frame, bits=vector.bits)
    latency = screener.screen(frame, decode_ms=1e3 * (time.perf_counter() - before)).latency
    stages = {"preprocess": latency.preprocess_ms, "infer": latency.infer_ms, "decide": latency.decide_ms}
    measured = {name: value for name, value in stages.items() if value is not None}
    return {**measured, "total": latency.total_ms} if len(measured) == len(stages) else {}


def _stages(times: Mapping[str, Sequence[float]], limits: Mapping[str, float]) -> tuple[Stage, ...]:
    return tuple(
        Stage(
            stage=name,
            p50_ms=round(float(np.median(times[name])), 4),
            worst_ms=round(max(times[name]), 4),
            limit_ms=limit,
            over=sum(value > limit for value in times[name]),
        )
        for name, limit in limits.items()
        if times[name]
    )


def _slow(stage: Stage, n: int, target: Target, use: Use) -> str:
    return (
        f"{stage.stage}: {stage.over} of {n} samples above the {stage.limit_ms:g} ms that {target.id} allows for "
        f"{use.value}; median {stage.p50_ms:g} ms, worst {stage.worst_ms:g} ms"
    )


def _unmeasured(report: GoldenReport, times: Mapping[str, Sequence[float]]) -> list[str]:
    said = []
    if report.allowed is None:
        said.append(
            f"{report.member}: the bundle states no tolerance for {report.backend}, {report.kernels.value}, "
            f"{report.architecture}: its golden vectors were replayed and differ by at most "
            f"{max(vector.lsb['logit'] for vector in report.vectors)} LSB"
        )
    if not times["total"]:
        said.append("no latency was measured: the gates refuse the frames of the golden vectors")
    return said
