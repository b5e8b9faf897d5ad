"""From what a loop has taken to the document: percentiles, budget, noise, and everything that goes with a figure.

result = assembled(context, measured)
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

import edgemed
from edgemed import measure, targets
from edgemed.benchmark import budget, coverage
from edgemed.benchmark.control import Noise, noise
from edgemed.benchmark.document import (
    Around,
    Bundle,
    Deadline,
    Inputs,
    Resources,
    Result,
    Runtime,
    StartUp,
    Terms,
)
from edgemed.benchmark.loop import Measured
from edgemed.benchmark.scenario import Plan, Scenario, use_of
from edgemed.benchmark.series import STAGES, TOTAL, Series
from edgemed.benchmark.subject import Images
from edgemed.measure import machine, process, state
from edgemed.measure.machine import Machine
from edgemed.measure.state import State
from edgemed.runtime.screener import Screener

__all__ = ["Context", "assembled"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Context:
    """What a measurement was made with.

    Attributes:
        open_ms: how long opening took; None where each process opened by itself.
        before: the machine's state before the first frame.
    """

    plan: Plan
    screener: Screener
    images: Images
    open_ms: float | None
    before: State


def assembled(context: Context, taken: Measured) -> Result:
    """Return the document of a measurement, without the parts that one scenario alone has."""
    series, plan = taken.series, context.plan
    controls = noise(series.controls())
    after = state.now()
    return Result(
        edgemed=edgemed.__version__,
        interrupted=taken.interrupted,
        scenario=_terms(plan),
        machine=_machine(context.screener),
        state=Around(before=context.before, after=after, warnings=state.warnings(context.before, after)),
        bundle=_bundle(context.screener),
        runtime=_runtime(context.screener),
        inputs=_inputs(context.images, taken),
        stages={stage: measure.distribution(series.times(stage)) for stage in STAGES},
        unaccounted=_unaccounted(series),
        warm_up=measure.distribution(taken.warm_up.times(TOTAL)),
        start_up=_start_up(context, taken),
        deadline=_deadline(context, series),
        resources=Resources(
            resident_mib=_rounded(process.resident_mib(), 1),
            peak_mib=_rounded(process.peak_memory_mib(), 1),
            cpu_s=round(taken.cpu_s, 3),
            wall_s=round(taken.wall_s, 3),
        ),
        noise=controls,
        use=None if (use := use_of(plan.scenario)) is None else use.value,
        budget=_budget(context, series, controls),
        samples={name: measure.rounded(times) for name, times in series.columns().items()},
    )


def _terms(plan: Plan) -> Terms:
    sustained, streamed = plan.scenario is Scenario.SUSTAINED, plan.scenario is Scenario.STREAM
    return Terms(
        name=plan.scenario.value,
        samples=None if sustained else plan.samples,
        warm_up=plan.warm_up,
        rate_hz=plan.rate_hz if streamed else None,
        minutes=plan.minutes if sustained else None,
    )


def _machine(screener: Screener) -> Machine:
    interpreter = screener.classifier.interpreter
    found = coverage.of(screener)
    return msgspec.structs.replace(
        machine.here(),
        backend=interpreter.backend,
        kernels=interpreter.kernels.value,
        delegate=found.delegate,
        coverage=found.share,
        threads=interpreter.threads,
    )


def _bundle(screener: Screener) -> Bundle:
    manifest = screener.bundle.manifest
    return Bundle(
        name=manifest.name,
        version=manifest.version,
        digest=screener.bundle.digest,
        decision_version=screener.rule.version,
        overlay=screener.bundle.overlay is not None,
    )


def _runtime(screener: Screener) -> Runtime:
    interpreter, selection = screener.classifier.interpreter, screener.selection
    return Runtime(
        backend=interpreter.backend,
        target=selection.target,
        threads=interpreter.threads,
        fallback=selection.fallback,
        member=selection.member,
        reason="; ".join(selection.reasons) or None,
        elsewhere=selection.elsewhere,
    )


def _inputs(images: Images, taken: Measured) -> Inputs:
    return Inputs(
        source="samples" if images.own else "given",
        files=len(images.paths),
        digest=images.digest,
        refused=taken.series.refused + taken.warm_up.refused,
        unreadable=taken.series.unreadable + taken.warm_up.unreadable,
    )


def _unaccounted(series: Series) -> float | None:
    """Return the median share of a total that no stage accounts for."""
    if not series.samples:
        return None
    stages = np.sum([series.times(stage) for stage in STAGES if stage != TOTAL], axis=0)
    totals = np.asarray(series.times(TOTAL))
    return round(float(np.median(np.abs(totals - stages) / totals)), 6)


def _start_up(context: Context, taken: Measured) -> StartUp | None:
    if context.open_ms is None:
        return None
    first = next(iter((*taken.warm_up.samples, *taken.series.samples)), None)
    return StartUp(open_ms=round(context.open_ms, 3), first_ms=None if first is None else round(first.total_ms, 4))


def _deadline(context: Context, series: Series) -> Deadline | None:
    use = use_of(context.plan.scenario)
    if use is None:
        return None
    rows = budget.limits(_target(context), use, context.screener.bundle.members)
    limit_ms = next(one.limit_ms for one in rows if one.stage == TOTAL and one.percentile == "p99")
    times = series.ages() or series.times(TOTAL)
    late = sum(one > limit_ms for one in times)
    return Deadline(limit_ms=limit_ms, misses=late + series.dropped, n=len(times) + series.dropped)


def _budget(context: Context, series: Series, controls: Noise) -> tuple[budget.Row, ...]:
    use = use_of(context.plan.scenario)
    if use is None:
        return ()
    allowed = budget.limits(_target(context), use, context.screener.bundle.members)
    times = {stage: series.times(stage) for stage in STAGES}
    return budget.judge(times, allowed, noise=controls, elsewhere=context.screener.selection.elsewhere)


def _target(context: Context) -> targets.Target:
    return targets.load(context.screener.selection.target)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
