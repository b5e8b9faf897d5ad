"""A measurement as names, values and cells of tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from edgemed.benchmark.budget import Row
from edgemed.benchmark.compare import Comparison
from edgemed.benchmark.document import Result
from edgemed.measure import TAIL_SAMPLES, Distribution

__all__ = ["about", "budget_rows", "cautions", "comparison_rows", "fingerprint", "shown", "stage_rows"]

_SHORT_MS = 1.0


def about(result: Result) -> list[tuple[str, str]]:
    """Return what was measured, and the figures that are no stage's."""
    return [(name, value) for name, value in _about(result) if value]


def _about(result: Result) -> Iterator[tuple[str, str]]:
    bundle, runtime, inputs = result.bundle, result.runtime, result.inputs
    yield "bundle", f"{bundle.name} {bundle.version}{', thresholds by overlay' if bundle.overlay else ''}"
    yield "scenario", _scenario(result)
    yield "device", f"{runtime.target}, {runtime.member} on {runtime.backend}, {_counted(runtime.threads, 'thread')}"
    yield "machine", f"{result.machine.cpu}, {_counted(result.machine.cores, 'core')}, {result.machine.system}"
    source = "of the package" if inputs.source == "samples" else "given"
    yield (
        "images",
        f"{_counted(inputs.files, 'file')} {source}, {inputs.refused} refused, {inputs.unreadable} unreadable",
    )
    if result.start_up is not None:
        yield (
            "start-up",
            f"opened in {result.start_up.open_ms:.0f} ms, first frame {shown(result.start_up.first_ms)} ms",
        )
    yield "warm-up", f"{result.warm_up.n} frames, median {shown(result.warm_up.p50)} ms" if result.warm_up.n else ""
    yield from _own(result)
    if result.deadline is not None:
        late = result.deadline
        yield "deadline", f"{late.misses} of {late.n} frames over {late.limit_ms:g} ms"
    resources = result.resources
    resident = "" if resources.resident_mib is None else f"{resources.resident_mib:.0f} MiB resident, "
    peak = "" if resources.peak_mib is None else f"{resources.peak_mib:.0f} MiB at most, "
    yield "memory, CPU", f"{resident}{peak}{resources.cpu_s:.2f} s of CPU in {resources.wall_s:.2f} s"
    energy = result.energy or {}
    if energy:
        told = f"{energy['frame_mj']:.2f} mJ a frame, by {energy['source']}" if energy.get("available") else ""
        yield "energy", told or f"not available: {energy.get('reason')}"


def _own(result: Result) -> Iterator[tuple[str, str]]:
    """Yield the figures of one scenario alone."""
    if result.cold is not None:
        one = result.cold
        parts = ((one.start, "Python"), (one.load, "libraries"), (one.open, "bundle"), (one.result, "first result"))
        yield "cold start", "median ms until " + ", ".join(f"{name} {shown(found.p50)}" for found, name in parts)
    if result.stream is not None:
        age, counts = result.stream.frame_age, result.stream
        yield "frame age", f"median {shown(age.p50)} ms, p90 {shown(age.p90)}, worst {shown(age.max)}"
        yield "frames", f"{counts.arrived} arrived, {counts.dropped} dropped for newer ones"
    if result.sustained is not None:
        last = result.sustained
        low_high = last.ratio_ci95
        around = "" if low_high is None else f" [{low_high[0]:.3f}, {low_high[1]:.3f}]"
        yield "last against first", f"{last.ratio:.3f}{around} times the median, {shown(last.first.p50)} ms at first"
    if result.throughput is not None:
        rate = result.throughput
        yield "throughput", f"{rate.frames_per_s:.1f} frames/s, {rate.mib_per_s:.2f} MiB/s, {rate.frames} frames"


def _scenario(result: Result) -> str:
    terms = result.scenario
    detail = "" if terms.rate_hz is None else f", {terms.rate_hz:g} frames/s"
    detail += "" if terms.minutes is None else f", {terms.minutes:g} minutes"
    return f"{terms.name}{detail}{', INTERRUPTED: what was taken until then' if result.interrupted else ''}"


def stage_rows(result: Result) -> list[tuple[str, ...]]:
    """Return the cells of each stage: name, n, p50, p90, p99, each with its interval, and the longest."""
    return [
        (name, str(found.n), *(_cell(found, one) for one in ("p50", "p90", "p99")), shown(found.max))
        for name, found in result.stages.items()
    ]


def budget_rows(rows: Iterable[Row]) -> list[tuple[str, ...]]:
    """Return the cells of each limit: stage, percentile, limit, measured, verdict."""
    return [
        (
            row.stage,
            row.percentile,
            f"{row.limit:g}{' (bundle)' if row.source == 'bundle' else ''}",
            shown(row.measured),
            f"not judged: {row.why}" if row.kept is None else "kept" if row.kept else f"BROKEN, {row.over} above",
        )
        for row in rows
    ]


def comparison_rows(compared: Comparison) -> list[tuple[str, ...]]:
    """Return the cells of each stage: name, before, now, ratio, its bounds, verdict."""
    return [
        (
            one.stage,
            shown(one.before_ms),
            shown(one.after_ms),
            f"{one.ratio:.3f}",
            f"{one.bounds[0]:.3f}, {one.bounds[1]:.3f}",
            "no verdict" if one.verdict is None else one.verdict.upper() if one.verdict == "slower" else one.verdict,
        )
        for one in compared.stages
    ]


def cautions(result: Result) -> list[str]:
    """Return what to know before relying on the figures, a sentence each."""
    said = [result.runtime.elsewhere, result.runtime.reason and f"the CPU computes: {result.runtime.reason}"]
    said += [*result.state.warnings, result.noise.why and f"noise: {result.noise.why}"]
    total = result.stages["total"]
    if total.n < TAIL_SAMPLES:
        said.append(f"{total.n} samples: no p99 is given below {TAIL_SAMPLES}")
    if total.p50 is not None and total.p50 < _SHORT_MS:
        said.append(f"a frame takes {total.p50:.3f} ms: below 1 ms the clock itself is part of the figure")
    return [one for one in said if one]


def fingerprint(result: Result) -> list[tuple[str, str]]:
    """Return machine, state and bundle digest, name and value."""
    found = [(name.replace("_", " "), value) for name, value in _fields(result.machine)]
    before, after = dict(_fields(result.state.before)), dict(_fields(result.state.after))
    found += [(f"{name.replace('_', ' ')}, before and after", f"{before[name]}, {after[name]}") for name in before]
    return [*found, ("bundle digest", result.bundle.digest), ("images digest", result.inputs.digest)]


def shown(value: float | None) -> str:
    """Return a time in ms, or a dash."""
    return "-" if value is None else f"{value:.3f}"


def _cell(found: Distribution, name: str) -> str:
    interval = found.interval(name)
    around = "" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]"
    return shown(found.percentile(name)) + around


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _fields(value: object) -> Iterator[tuple[str, str]]:
    for name in getattr(value, "__struct_fields__", ()):
        found = getattr(value, name)
        if isinstance(found, dict):
            yield name, ", ".join(f"{key} {one}" for key, one in found.items())
        else:
            yield name, "-" if found is None else str(found)
