"""Pictures of a measurement: where the time goes, how it is distributed, how it went, and what changed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgemed.benchmark.compare import MARGIN, Comparison
from edgemed.benchmark.document import Result
from edgemed.benchmark.series import TOTAL
from edgemed.pages.sketch import BLUE, FAINT, GRID, INK, ORANGE, Scale, Sketch, ticks

__all__ = ["changes", "histogram", "png", "stack", "svg", "timeline"]

_WIDTH = 760
_LEFT, _RIGHT = 64, 20
_FILLS = {"decode": "#0072B2", "preprocess": "#56B4E9", "infer": "#D55E00", "decide": "#F0E442", "record": "#999999"}
_BARS = 60
_SHOWN = 1200  # points of a time series; beyond, each point is the worst of a few


def png(result: Result) -> bytes:
    """Return histogram and time series, one below the other, as PNG."""
    return _both(result).png()


def svg(result: Result) -> str:
    """Return the same as SVG."""
    return _both(result).svg()


def _both(result: Result) -> Sketch:
    sketch = Sketch(width=_WIDTH, height=540)
    name = f"{result.bundle.name} {result.bundle.version}, {result.scenario.name}, {result.runtime.target}"
    sketch.words(_LEFT, 20, name + (", INTERRUPTED" if result.interrupted else ""))
    _histogram(sketch, result, top=34, bottom=238)
    _timeline(sketch, result, top=310, bottom=490)
    return sketch


def histogram(result: Result) -> str:
    """Return how the totals are distributed, the worst included, as SVG."""
    sketch = Sketch(width=_WIDTH, height=250)
    _histogram(sketch, result, top=16, bottom=200)
    return sketch.svg()


def timeline(result: Result) -> str:
    """Return every total in the order taken, as SVG."""
    sketch = Sketch(width=_WIDTH, height=230)
    _timeline(sketch, result, top=16, bottom=180)
    return sketch.svg()


def stack(result: Result) -> str:
    """Return the medians of the stages in a row, in front of those of the 90th percentile, as SVG."""
    sketch = Sketch(width=_WIDTH, height=150)
    kinds = [("p50", 30), ("p90", 74)]
    sums = {kind: sum(result.stages[one].percentile(kind) or 0.0 for one in _FILLS) for kind, _ in kinds}
    scale = Scale(low=0.0, high=max(*sums.values(), 1e-6), start=_LEFT, end=_WIDTH - _RIGHT)
    for kind, top in kinds:
        at = 0.0
        sketch.words(_LEFT - 8, top + 20, kind, anchor="end")
        for stage, colour in _FILLS.items():
            value = result.stages[stage].percentile(kind) or 0.0
            sketch.box(scale(at), top, scale(at + value) - scale(at), 30, colour=colour)
            sketch.box(scale(at), top, scale(at + value) - scale(at), 30, colour="#ffffff", filled=False)
            at += value
    x = float(_LEFT)
    for stage, colour in _FILLS.items():
        label = f"{stage} {result.stages[stage].p50 or 0.0:.2f} ms"
        sketch.box(x, 122, 11, 11, colour=colour)
        sketch.words(x + 16, 132, label)
        x += 34 + 6.3 * len(label)
    return sketch.svg()


def changes(compared: Comparison) -> str:
    """Return the ratio of each stage with its bounds, and the margin, as SVG."""
    sketch = Sketch(width=_WIDTH, height=60 + 26 * len(compared.stages))
    bounds = [value for one in compared.stages for value in (*one.bounds, one.ratio) if np.isfinite(value) and value]
    low, high = min([0.9, *bounds]), max([1.1, *bounds])
    scale = Scale(low=low, high=high, start=_LEFT + 30, end=_WIDTH - _RIGHT)
    bottom = 20 + 26 * len(compared.stages)
    sketch.box(scale(1 / (1 + MARGIN)), 12, scale(1 + MARGIN) - scale(1 / (1 + MARGIN)), bottom - 12, colour="#f0f0ee")
    _bottom_axis(sketch, scale, top=12, bottom=bottom, label="now over before")
    for place, one in enumerate(compared.stages):
        y = 28 + 26 * place
        colour = ORANGE if one.verdict == "slower" else BLUE
        ends = [min(max(value, low), high) for value in one.bounds]
        sketch.words(_LEFT + 22, y + 4, one.stage, anchor="end")
        sketch.line([(scale(ends[0]), y), (scale(ends[1]), y)], colour=colour, width=2)
        sketch.box(scale(min(max(one.ratio, low), high)) - 4, y - 4, 8, 8, colour=colour)
    return sketch.svg()


def _histogram(sketch: Sketch, result: Result, *, top: float, bottom: float) -> None:
    times = np.asarray(result.samples[TOTAL], np.float64)
    if not times.size:
        sketch.words(_LEFT, top + 20, "no sample", colour=FAINT)
        return
    low, high = float(times.min()), float(times.max())
    high = high if high > low else low + 1.0
    counts, edges = np.histogram(times, bins=_BARS, range=(low, high))
    across = Scale(low=low, high=high, start=_LEFT, end=_WIDTH - _RIGHT)
    # A single stall in a thousand frames must be seen: the axis is logarithmic, one frame has a height.
    up = Scale(low=0.0, high=float(np.log10(counts.max()) + 0.4), start=bottom, end=top)
    for power in range(int(np.log10(counts.max())) + 1):
        sketch.line([(_LEFT, up(power + 0.4)), (_WIDTH - _RIGHT, up(power + 0.4))], colour=GRID)
        sketch.words(_LEFT - 8, up(power + 0.4) + 4, str(10**power), anchor="end")
    _bottom_axis(sketch, across, top=top, bottom=bottom, label="total of a frame, ms (frames on a logarithmic axis)")
    for count, start, end in zip(counts, edges, edges[1:], strict=False):
        if count:
            y = up(float(np.log10(count)) + 0.4)
            sketch.box(across(start) + 0.5, y, max(1.0, across(end) - across(start) - 1.0), bottom - y, colour=BLUE)
    _percentile_lines(sketch, result, across, top=top, bottom=bottom)


def _percentile_lines(sketch: Sketch, result: Result, across: Scale, *, top: float, bottom: float) -> None:
    lines = [(name, result.stages[TOTAL].percentile(name)) for name in ("p50", "p90", "p99")]
    last = -1e9
    for name, value in lines:
        if value is None:
            continue
        x = across(value)
        sketch.line([(x, top), (x, bottom)], colour=ORANGE, width=1.5, dashed=True)
        # Side by side where they lie close together.
        at = max(x + 4, last + 30)
        sketch.box(at - 2, top - 1, 28, 14, colour="#ffffff")
        sketch.words(at, top + 10, name, colour=ORANGE)
        last = at


def _timeline(sketch: Sketch, result: Result, *, top: float, bottom: float) -> None:
    times = np.asarray(result.samples[TOTAL], np.float64)
    if not times.size:
        return
    shown = _worst_of(times)
    high = float(shown.max())
    across = Scale(low=1.0, high=float(max(2, times.size)), start=_LEFT, end=_WIDTH - _RIGHT)
    up = Scale(low=0.0, high=high * 1.05, start=bottom, end=top)
    for tick in ticks(0.0, high, count=4):
        sketch.line([(_LEFT, up(tick)), (_WIDTH - _RIGHT, up(tick))], colour=GRID)
        sketch.words(_LEFT - 8, up(tick) + 4, f"{tick:g}", anchor="end")
    label = "frame (total in ms)" if shown.size == times.size else "frame (total in ms; each point the worst of a few)"
    _bottom_axis(sketch, across, top=top, bottom=bottom, label=label)
    places = np.linspace(1.0, times.size, shown.size)
    sketch.line([(across(x), up(y)) for x, y in zip(places, shown, strict=True)], colour=BLUE, width=1.0)


def _worst_of(times: NDArray[np.float64]) -> NDArray[np.float64]:
    if times.size <= _SHOWN:
        return times
    return np.array([part.max() for part in np.array_split(times, _SHOWN)])


def _bottom_axis(sketch: Sketch, scale: Scale, *, top: float, bottom: float, label: str) -> None:
    for tick in ticks(scale.low, scale.high, count=7):
        sketch.line([(scale(tick), top), (scale(tick), bottom)], colour=GRID)
        sketch.words(scale(tick), bottom + 16, f"{tick:g}", anchor="middle")
    sketch.line([(scale.start, bottom), (scale.end, bottom)], colour=INK)
    sketch.words((scale.start + scale.end) / 2, bottom + 34, label, anchor="middle")
