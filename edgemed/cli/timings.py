"""A measurement as the command line shows it: tables, notes, files and the exit code.

code = Outputs(save=Path("now.json"), compare=Path("before.json")).deliver(result)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed.cli import output
from edgemed.errors import ConfigError

if TYPE_CHECKING:
    from edgemed.benchmark.compare import Comparison
    from edgemed.benchmark.document import Result

__all__ = ["Outputs", "exit_code"]

_STAGES = ("stage", "n", "p50 ms", "p90 ms", "p99 ms", "max ms")
_BUDGET = ("stage", "percentile", "limit ms", "measured ms", "verdict")
_COMPARED = ("stage", "before ms", "now ms", "ratio", "at least, at most", "verdict")
_BROKEN, _UNJUDGED, _INTERRUPTED = 3, 9, 130


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What is asked for besides the table.

    Attributes:
        save: file for the document.
        compare: saved document to hold the new one against.
        force: compare different machines too.
        plot: picture to draw, .png or .svg.
        report: page to write.
        json: print the document instead of tables.
    """

    save: Path | None = None
    compare: Path | None = None
    force: bool = False
    plot: Path | None = None
    report: Path | None = None
    json: bool = False

    def require_possible(self) -> None:
        """Return when all of it can be done: minutes of measuring should not end at a wrong path.

        Raises:
            ConfigError: a file cannot be written, a suffix is unknown, or the saved document is none.
        """
        from edgemed.benchmark import document

        for option, path in (("--save", self.save), ("--plot", self.plot), ("--report", self.report)):
            if path is not None:
                output.require_writable(path, option=option)
        if self.plot is not None and self.plot.suffix.lower() not in (".png", ".svg"):
            raise ConfigError(f"--plot: {self.plot}: expected a name that ends with .png or .svg")
        if self.force and self.compare is None:
            raise ConfigError("--force: is of use with --compare only; leave it away")
        if self.compare is not None:
            document.read(self.compare)

    def deliver(self, result: Result) -> int:
        """Write everything, and return the exit code.

        Raises:
            ConfigError: a file cannot be written, or the saved document is of another bundle, scenario or machine.
        """
        from edgemed.benchmark import document

        if self.save is not None:
            output.write_file(self.save, document.encode(result) + b"\n", option="--save")
        compared = self._compared(result)
        self._draw(result, compared)
        if self.json:
            output.print_json(_with(result, compared))
        else:
            _render(result, compared)
        for sentence in _sentences(result, compared):
            output.note(sentence)
        return exit_code(result, compared)

    def _compared(self, result: Result) -> Comparison | None:
        from edgemed.benchmark import compare, document

        if self.compare is None:
            return None
        before = document.read(self.compare)
        differences = compare.require_comparable(before, result, source=str(self.compare), force=self.force)
        return compare.compare(before, result, differences=differences)

    def _draw(self, result: Result, compared: Comparison | None) -> None:
        from edgemed.benchmark import report

        if self.plot is not None:
            drawn = report.png(result) if self.plot.suffix.lower() == ".png" else report.svg(result).encode()
            output.write_file(self.plot, drawn, option="--plot")
        if self.report is not None:
            output.write_file(self.report, report.page(result, compared).encode(), option="--report")


def exit_code(result: Result, compared: Comparison | None = None) -> int:
    """Return 130 for an interrupted measurement, 3 for a broken budget or a regression, 9 for no verdict, else 0."""
    from edgemed.benchmark import budget

    if result.interrupted:
        return _INTERRUPTED
    if budget.broken(result.budget) or (compared is not None and compared.slower):
        return _BROKEN
    return _UNJUDGED if budget.unjudged(result.budget) or (compared is not None and compared.why) else 0


def _render(result: Result, compared: Comparison | None) -> None:
    from edgemed.benchmark import report

    output.fields(report.about(result))
    output.table(_STAGES, report.stage_rows(result))
    if result.budget:
        title = f"Budget for {result.use} on {result.runtime.target}"
        output.table(_BUDGET, report.budget_rows(result.budget), title=title)
    if compared is not None:
        name, version, _ = compared.before
        output.table(_COMPARED, report.comparison_rows(compared), title=f"Against {name} {version}")


def _with(result: Result, compared: Comparison | None) -> Result:
    """Return the document with the comparison in it."""
    import msgspec

    from edgemed import schema

    return result if compared is None else msgspec.structs.replace(result, comparison=schema.to_builtins(compared))


def _sentences(result: Result, compared: Comparison | None) -> Iterator[str]:
    from edgemed.benchmark import report

    yield from report.cautions(result)
    if compared is None:
        return
    yield from (f"the machines differ: {one}" for one in compared.differences)
    if compared.why:
        yield f"no verdict on the comparison: {compared.why}"
    elif compared.slower:
        yield f"regression: {', '.join(one.stage for one in compared.slower)} slower beyond noise"
