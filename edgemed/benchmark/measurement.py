"""A whole measurement, from the bundle to the document: the one function that the command line and programs call.

result = measure(Work(subject=subject, images=images, plan=plan, opening=opening))
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeAlias

import msgspec

from edgemed.benchmark import cold, energy, loop, parts, power, stream
from edgemed.benchmark.assembly import Context, assembled
from edgemed.benchmark.control import Control
from edgemed.benchmark.document import Result
from edgemed.benchmark.loop import Clock, Limit, Measured, Progress, Record
from edgemed.benchmark.scenario import Plan, Scenario
from edgemed.benchmark.subject import Images, Opening, Subject
from edgemed.measure import state
from edgemed.runtime.screening import Screening

__all__ = ["Work", "measure"]

_Taken: TypeAlias = "tuple[Measured, Mapping[str, Any]]"
"""What was taken, and the parts of the document that the scenario alone has."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Work:
    """What is measured, and how.

    Attributes:
        opening: how ``subject`` was opened; processes of ``cold`` open the same.
        record: writes each result down; None writes none. A stream and cold processes write none.
        source: of energy; None finds the machine's own.
        clock: seconds, rising.
    """

    subject: Subject
    images: Images
    plan: Plan
    opening: Opening
    record: Record | None = None
    source: power.Found | None = None
    progress: Progress | None = None
    clock: Clock = time.perf_counter


def measure(work: Work) -> Result:
    """Return the document of one measurement.

    Raises:
        ImageError: no image was screened.
        ClockError: the clock went back.
        InferenceError: a process of ``cold`` failed.
    """
    plan = work.plan
    before = state.now()
    taken, own = _SCENARIOS[plan.scenario](work)
    open_ms = None if plan.scenario is Scenario.COLD else work.subject.open_ms
    context = Context(plan=plan, screener=work.subject.screener, images=work.images, open_ms=open_ms, before=before)
    return msgspec.structs.replace(assembled(context, taken), **own)


def _single(work: Work) -> _Taken:
    return _cycled(work, Limit(samples=work.plan.samples))


def _sustained(work: Work) -> _Taken:
    taken, own = _cycled(work, Limit(seconds=60.0 * work.plan.minutes))
    return taken, {**own, "sustained": parts.sustained(taken)}


def _throughput(work: Work) -> _Taken:
    paths = work.images.paths
    if work.images.own:
        paths = tuple(itertools.islice(itertools.cycle(paths), work.plan.samples))
    results = loop.once(work.subject.screener, paths, clock=work.clock)
    taken, own = _run(work, results, Limit(), warm_up=0)
    return taken, {**own, "throughput": parts.throughput(taken, paths)}


def _stream(work: Work) -> _Taken:
    meter = _Metered(work)
    taken = stream.run(
        work.subject.screener,
        work.images.paths,
        plan=work.plan,
        around=meter,
        progress=work.progress,
    )
    return taken, {"energy": meter.document(taken), "stream": parts.streamed(taken)}


def _cold(work: Work) -> _Taken:
    found = cold.run(work.opening, work.images.paths, count=work.plan.samples, progress=work.progress)
    return found.taken, {"cold": parts.cold(found), "resources": parts.of_processes(found)}


def _cycled(work: Work, limit: Limit) -> _Taken:
    results = loop.cycled(work.subject.screener, work.images.paths, clock=work.clock)
    return _run(work, results, limit, warm_up=work.plan.warm_up)


def _run(work: Work, results: Iterator[Screening], limit: Limit, *, warm_up: int) -> _Taken:
    meter = _Metered(work)
    taken = loop.run(
        results,
        limit=limit,
        warm_up=warm_up,
        record=work.record,
        control=Control(clock=work.clock),
        around=meter,
        clock=work.clock,
        progress=work.progress,
    )
    return taken, {"energy": meter.document(taken)}


class _Metered:
    """A counter of energy, entered when the samples that count begin; its idle power is taken right before."""

    def __init__(self, work: Work) -> None:
        self._source = power.find() if work.source is None else work.source
        self._stack = contextlib.ExitStack()
        self._meter: energy.Meter | None = None

    def __enter__(self) -> None:
        self._meter = self._stack.enter_context(energy.Meter(self._source))

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, _: TracebackType | None) -> None:
        self._stack.close()

    def document(self, taken: Measured) -> dict[str, Any]:
        """Return the energy of a sample, or why it is not known."""
        meter = self._meter or energy.Meter(self._source)
        return energy.document(meter.per_frame(len(taken.series)))


_SCENARIOS: Mapping[Scenario, Callable[[Work], _Taken]] = {
    Scenario.SINGLE: _single,
    Scenario.STREAM: _stream,
    Scenario.COLD: _cold,
    Scenario.SUSTAINED: _sustained,
    Scenario.THROUGHPUT: _throughput,
}
