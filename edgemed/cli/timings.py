"""A measurement as the command line shows it: tables, notes, files and the exit code.

timings.deliver(result, save=None, json=False)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed.cli import output

if TYPE_CHECKING:
    from edgemed.benchmark.budget import Row
    from edgemed.benchmark.document import Result
    from edgemed.measure import Distribution

__all__ = ["budget_rows", "deliver", "exit_code", "stage_rows"]

_STAGES = ("stage", "n", "p50 ms", "p90 ms", "p99 ms", "max ms")
_BUDGET = ("stage", "percentile", "limit ms", "measured ms", "verdict")
_BROKEN, _UNJUDGED, _INTERRUPTED = 3, 9, 130


def deliver(result: Result, *, save: Path | None, json: bool) -> None:
    """Write a measurement to stdout, and to a file where one is named.

    Raises:
        ConfigError: the file cannot be written.
    """
    from edgemed.benchmark import document

    if save is not None:
        output.write_file(save, document.encode(result) + b"\n", option="--save")
    if json:
        output.print_json(result)
        return
    output.fields(_lines(result))
    output.table(_STAGES, stage_rows(result))
    if result.budget:
        output.table(_BUDGET, budget_rows(result.budget), title=f"Budget for {result.use}, {result.runtime.target}")


def exit_code(result: Result) -> int:
    """Return 130 for an interrupted measurement, 3 for a broken budget, 9 for one that cannot be judged, else 0."""
    from edgemed.benchmark import budget

    if result.interrupted:
        return _INTERRUPTED
    if budget.broken(result.budget):
        return _BROKEN
    return _UNJUDGED if budget.unjudged(result.budget) else 0


def stage_rows(result: Result) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each stage, each percentile with its interval."""
    for name, found in result.stages.items():
        yield name, str(found.n), *(cell(found, one) for one in ("p50", "p90", "p99")), shown(found.max)


def budget_rows(rows: tuple[Row, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each limit."""
    for row in rows:
        verdict = {True: "kept", False: f"BROKEN, {row.over} above"}.get(row.kept, f"not judged: {row.why}")  # type: ignore[call-overload]
        limit = f"{row.limit:g}" + (" (bundle)" if row.source == "bundle" else "")
        yield row.stage, row.percentile, limit, shown(row.measured), verdict


def cell(found: Distribution, name: str) -> str:
    """Return a percentile with its interval, or a dash."""
    interval = found.interval(name)
    around = "" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]"
    return shown(found.percentile(name)) + around


def shown(value: float | None) -> str:
    """Return a time in ms, or a dash."""
    return "-" if value is None else f"{value:.3f}"


def _lines(result: Result) -> list[tuple[str, str]]:
    machine, runtime = result.machine, result.runtime
    return [
        ("bundle", f"{result.bundle.name} {result.bundle.version}"),
        ("scenario", result.scenario.name + (", INTERRUPTED" if result.interrupted else "")),
        ("target", f"{runtime.target}, {runtime.member} on {runtime.backend}, {runtime.threads} threads"),
        ("machine", f"{machine.cpu}, {machine.cores} cores, {machine.system}, {machine.python}"),
    ]
