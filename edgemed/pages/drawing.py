"""Plots as scalable pictures in text (SVG) that need nothing from outside.

Readable in grey print and with any colour vision: kinds differ in shape, filling or line as well as in colour.

    with drawing.axes(7.6, 2.6) as (figure, axes):
        axes.plot(x, y, color=drawing.BLUE)
        text = drawing.svg(figure)

Source of the colours: Okabe and Ito, "Color Universal Design", 2008.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["BLUE", "FAINT", "INK", "ORANGE", "axes", "svg"]

BLUE, ORANGE = "#0072B2", "#D55E00"
INK, FAINT = "#222222", "#9a9a9a"
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
    "font.size": 10,
    "svg.fonttype": "path",  # the page looks the same wherever it is opened
    "svg.hashsalt": "edgemed",  # equal documents give equal pages
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
}


@contextmanager
def axes(width: float, height: float) -> Iterator[tuple[Any, Any]]:
    """Give a figure of so many inches and its axes; matplotlib's state, which is global, is left as it was."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure, figure.add_subplot()


def svg(figure: Any) -> str:
    """Return a figure as an ``<svg>`` element."""
    raw = io.StringIO()
    figure.savefig(raw, format="svg", metadata={"Date": None, "Creator": None}, transparent=True, dpi=150)
    text = raw.getvalue()
    # Of the document only the picture: the page has its own head, and its own words for what is drawn.
    drawn = text[text.index("<svg") :]
    # Every plot numbers its groups alike, and a page may hold a name once.
    return re.sub(r'<metadata>.*?</metadata>|(?<=<g) id="[^"]*"', "", drawn, flags=re.DOTALL)
