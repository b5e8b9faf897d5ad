"""A whole measurement, from the bundle to the document: the one function that the command line and programs call.

result = measure(subject, images, plan)
"""

from __future__ import annotations

import contextlib
import time

from edgemed.benchmark import loop
from edgemed.benchmark.assembly import Context, assembled
from edgemed.benchmark.control import Control
from edgemed.benchmark.document import Result
from edgemed.benchmark.loop import Clock, Limit, Measured, Progress, Record
from edgemed.benchmark.scenario import Plan, Scenario
from edgemed.benchmark.subject import Images, Subject
from edgemed.measure import state

__all__ = ["measure"]


def measure(
    subject: Subject,
    images: Images,
    plan: Plan,
    *,
    record: Record | None = None,
    around: contextlib.AbstractContextManager[object] | None = None,
    progress: Progress | None = None,
    clock: Clock = time.perf_counter,
) -> Result:
    """Return the document of one measurement.

    Args:
        subject: what is measured.
        images: what it is asked about.
        plan: the scenario, and how much of it.
        record: writes each result down; None writes none.
        around: entered when the samples that count begin, left when they end: a counter of energy.
        progress: told of each sample.
        clock: seconds, rising.

    Raises:
        ImageError: no image was screened.
        ClockError: the clock went back.
    """
    before = state.now()
    taken = _SCENARIOS[plan.scenario](subject, images, plan, record, around, progress, clock)
    context = Context(plan=plan, screener=subject.screener, images=images, open_ms=subject.open_ms, before=before)
    return assembled(context, taken)


def _single(
    subject: Subject,
    images: Images,
    plan: Plan,
    record: Record | None,
    around: contextlib.AbstractContextManager[object] | None,
    progress: Progress | None,
    clock: Clock,
) -> Measured:
    return loop.run(
        loop.cycled(subject.screener, images.paths, clock=clock),
        limit=Limit(samples=plan.samples),
        warm_up=plan.warm_up,
        record=record,
        control=Control(clock=clock),
        around=around,
        clock=clock,
        progress=progress,
    )


_SCENARIOS = {Scenario.SINGLE: _single}
