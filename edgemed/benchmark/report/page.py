"""The page of a measurement: one file without network, scripts or further libraries, so that a device can write it.

text = page(result, compared)
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources

from edgemed.benchmark import budget
from edgemed.benchmark.compare import MARGIN, Comparison
from edgemed.benchmark.document import Result
from edgemed.benchmark.report import pictures, rows

__all__ = ["page"]

_MORE = """
tr.bad td, tr.bad th { color: #a34700; font-weight: 600; }
.verdict.unjudged { border-color: #9a9a9a; border-style: dashed; }
"""


def page(result: Result, compared: Comparison | None = None) -> str:
    """Return the page.

    Args:
        result: the measurement.
        compared: with a saved one; None leaves that part out.
    """
    title = f"Latency of {result.bundle.name} {result.bundle.version}"
    style = resources.files("edgemed.pages").joinpath("style.css").read_text("utf-8") + _MORE
    body = "\n".join(_body(result, compared, title))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _body(result: Result, compared: Comparison | None, title: str) -> Iterator[str]:
    yield f"<h1>{html.escape(title)}</h1>"
    yield _paragraph(
        f"A measurement, no prediction: scenario {result.scenario.name} on {result.runtime.target}, "
        f"{result.stages['total'].n} frames that count.",
        kind="lead",
    )
    yield _verdict(result, compared)
    if found := rows.cautions(result):
        yield "<h2>Before relying on these figures</h2>" + _list(found)
    yield "<h2>What was measured</h2>" + _pairs(rows.about(result))
    if result.budget:
        heads = ("stage", "percentile", "limit ms", "measured ms", "verdict")
        bad = [row.kept is False for row in result.budget]
        yield f"<h2>Budget for {html.escape(result.use or '')}</h2>"
        yield _table(heads, rows.budget_rows(result.budget), numbers=(2, 3), bad=bad)
    yield "<h2>Stages</h2>"
    yield _table(("stage", "n", "p50 ms", "p90 ms", "p99 ms", "max ms"), rows.stage_rows(result), numbers=range(1, 6))
    yield _paragraph("In square brackets: 95 % intervals by order statistics. No sample was left out.", kind="note")
    yield from _figures(result)
    if compared is not None:
        yield from _comparison(compared)
    yield "<h2>Fingerprint</h2>"
    yield _paragraph(
        "Two measurements compare where everything before the state is the same; the state is recorded.", kind="note"
    )
    yield _pairs(rows.fingerprint(result))


def _verdict(result: Result, compared: Comparison | None) -> str:
    broken, unjudged = budget.broken(result.budget), budget.unjudged(result.budget)
    slower = () if compared is None else compared.slower
    reasons = [f"{row.stage} {row.percentile}: {rows.shown(row.measured)} ms of {row.limit:g} ms" for row in broken]
    reasons += [f"{one.stage}: {one.ratio:.3f} times as long as before" for one in slower]
    if reasons:
        return _box("failed", "Budget broken" if broken else "Regression", reasons)
    open_ = sorted({row.why for row in unjudged} | ({compared.why} if compared is not None and compared.why else set()))
    if open_:
        return _box("unjudged", "No verdict", open_)
    if result.budget or compared is not None:
        kept = "Within the budget" if result.budget else "No regression"
        return _box("passed", kept, ["no regression"] if result.budget and compared is not None else [])
    return ""


def _figures(result: Result) -> Iterator[str]:
    total = result.stages["total"]
    yield '<div class="pictures">'
    yield _figure(
        "Where the time goes",
        pictures.stack(result),
        "Median and 90th percentile of each stage, one after the other; they do not add up to that of the total.",
        alt=f"Stages in a row; the median of the total is {rows.shown(total.p50)} ms",
    )
    yield _figure(
        "Distribution",
        pictures.histogram(result),
        "Totals of all frames, the worst included.",
        alt=f"Histogram of {total.n} totals, at most {rows.shown(total.max)} ms",
    )
    yield _figure(
        "In the order taken",
        pictures.timeline(result),
        "A drift is the machine's heat or its neighbours; a stall is one point.",
        alt=f"Totals of {total.n} frames against their number",
    )
    yield "</div>"


def _comparison(compared: Comparison) -> Iterator[str]:
    name, version, digest = compared.before
    yield f"<h2>Against {html.escape(f'{name} {version}')}</h2>"
    if compared.why:
        yield _paragraph(f"No verdict: {compared.why}.")
    for one in compared.differences:
        yield _paragraph(f"The machines differ: {one}.")
    heads = ("stage", "before ms", "now ms", "ratio", "at least, at most", "verdict")
    bad = [one.verdict == "slower" for one in compared.stages]
    yield _table(heads, rows.comparison_rows(compared), numbers=range(1, 5), bad=bad)
    yield _paragraph(
        f"Ratios of medians, each over the fixed work of its own run, which took {compared.control:.3f} times as long "
        "as before; bounds by a moving-block bootstrap, at 95 % for all stages together. Slower: the lower bound lies "
        f"above {1 + MARGIN:.2f}. Before: {digest}.",
        kind="note",
    )
    yield _figure("Change", pictures.changes(compared), "Gray: the margin.", alt="Ratio of each stage with its bounds")


def _box(kind: str, title: str, reasons: Sequence[str]) -> str:
    inner = _list(reasons) if reasons else ""
    return f'<div class="verdict {kind}"><strong>{html.escape(title)}</strong>{inner}</div>'


def _figure(title: str, svg: str, caption: str, *, alt: str) -> str:
    return (
        f'<figure class="across"><h2>{html.escape(title)}</h2>'
        f'<div role="img" aria-label="{html.escape(alt)}">{svg}</div>'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _paragraph(text: str, *, kind: str = "") -> str:
    return f"<p{f' class={kind!r}' if kind else ''}>{html.escape(text)}</p>"


def _list(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(one)}</li>" for one in items) + "</ul>"


def _pairs(found: Iterable[tuple[str, str]]) -> str:
    lines = (f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(value)}</td></tr>' for name, value in found)
    return f'<table class="summary"><tbody>{"".join(lines)}</tbody></table>'


def _table(
    heads: Sequence[str], found: Sequence[Sequence[str]], *, numbers: Iterable[int], bad: Sequence[bool] = ()
) -> str:
    right = dict.fromkeys(numbers, ' class="number"')
    head = "".join(f'<th scope="col"{right.get(place, "")}>{html.escape(one)}</th>' for place, one in enumerate(heads))
    lines = []
    for place, cells in enumerate(found):
        first, *others = cells
        inner = "".join(f"<td{right.get(at, '')}>{html.escape(one)}</td>" for at, one in enumerate(others, start=1))
        mark = ' class="bad"' if place < len(bad) and bad[place] else ""
        lines.append(f'<tr{mark}><th scope="row">{html.escape(first)}</th>{inner}</tr>')
    body = "".join(lines)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
