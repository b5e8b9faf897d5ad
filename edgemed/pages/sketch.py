"""Plots without matplotlib, which no device has: lines, boxes and words, written as SVG or drawn as PNG.

    sketch = Sketch(width=760, height=240)
    scale = Scale(low=0.0, high=10.0, start=60, end=740)
    sketch.line([(scale(0), 200), (scale(10), 40)], colour=BLUE)
    sketch.svg(), sketch.png()

Coordinates are pixels, the origin top left. Equal sketches give equal bytes.
"""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from edgemed.pages.drawing import BLUE, FAINT, INK, ORANGE

__all__ = ["BLUE", "FAINT", "GRID", "INK", "ORANGE", "Scale", "Sketch", "ticks"]

GRID = "#e4e4e4"
_SIZE = 12  # pixels, of words
_FINER = 2  # a PNG has so many pixels for one of the sketch

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True, kw_only=True)
class Scale:
    """From values to pixels, linear."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return where a value lies, in pixels."""
        span = self.high - self.low
        return self.start + (self.end - self.start) * ((value - self.low) / span if span else 0.5)


@dataclass(frozen=True, kw_only=True)
class _Line:
    points: tuple[Point, ...]
    colour: str
    width: float
    dashed: bool


@dataclass(frozen=True, kw_only=True)
class _Box:
    corner: Point
    size: Point
    colour: str
    filled: bool


@dataclass(frozen=True, kw_only=True)
class _Words:
    at: Point
    text: str
    colour: str
    anchor: Anchor


@dataclass(kw_only=True)
class Sketch:
    """What is drawn, in order."""

    width: int
    height: int
    _shapes: list[_Line | _Box | _Words] = field(default_factory=list)

    def line(self, points: Sequence[Point], *, colour: str = INK, width: float = 1.0, dashed: bool = False) -> None:
        """Draw a line through two or more points."""
        self._shapes.append(_Line(points=tuple(points), colour=colour, width=width, dashed=dashed))

    def box(self, x: float, y: float, width: float, height: float, *, colour: str, filled: bool = True) -> None:
        """Draw a box from its upper left corner; an empty one has its outline alone."""
        self._shapes.append(_Box(corner=(x, y), size=(width, height), colour=colour, filled=filled))

    def words(self, x: float, y: float, text: str, *, colour: str = INK, anchor: Anchor = "start") -> None:
        """Write on a base line."""
        self._shapes.append(_Words(at=(x, y), text=text, colour=colour, anchor=anchor))

    def svg(self) -> str:
        """Return an ``<svg>`` element that needs nothing from outside."""
        drawn = "".join(map(_element, self._shapes))
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'font-family="Helvetica, Arial, sans-serif" font-size="{_SIZE}">{drawn}</svg>'
        )

    def png(self) -> bytes:
        """Return a PNG with twice the pixels of the sketch each way."""
        import cv2
        import numpy as np

        canvas = np.full((self.height * _FINER, self.width * _FINER, 3), 255, np.uint8)
        for shape in self._shapes:
            _paint(canvas, shape)
        done, raw = cv2.imencode(".png", canvas)
        if not done:
            raise ValueError(f"sketch: cannot be written as PNG: {self.width} x {self.height}")
        return raw.tobytes()


def ticks(low: float, high: float, *, count: int = 5) -> list[float]:
    """Return round numbers within [low, high], about ``count`` of them."""
    span = high - low
    if not span > 0:
        return [low]
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next((nice for nice in (1, 2, 2.5, 5, 10) if nice * power >= raw), 10)
    first = math.ceil(low / step)
    return [round(step * place, 10) for place in range(first, math.floor(high / step + 1e-9) + 1)]


def _number(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")


def _element(shape: _Line | _Box | _Words) -> str:
    if isinstance(shape, _Line):
        points = " ".join(f"{_number(x)},{_number(y)}" for x, y in shape.points)
        dash = ' stroke-dasharray="5 4"' if shape.dashed else ""
        return f'<polyline points="{points}" fill="none" stroke="{shape.colour}" stroke-width="{shape.width:g}"{dash}/>'
    if isinstance(shape, _Box):
        (x, y), (width, height) = shape.corner, shape.size
        style = f'fill="{shape.colour}"' if shape.filled else f'fill="none" stroke="{shape.colour}"'
        return f'<rect x="{_number(x)}" y="{_number(y)}" width="{_number(width)}" height="{_number(height)}" {style}/>'
    x, y = shape.at
    return (
        f'<text x="{_number(x)}" y="{_number(y)}" fill="{shape.colour}" text-anchor="{shape.anchor}">'
        f"{html.escape(shape.text)}</text>"
    )


def _paint(canvas: object, shape: _Line | _Box | _Words) -> None:
    import cv2

    colour = tuple(int(shape.colour[place : place + 2], 16) for place in (5, 3, 1))  # blue, green, red
    if isinstance(shape, _Line):
        _paint_line(canvas, shape, colour)
    elif isinstance(shape, _Box):
        start = _pixel(shape.corner)
        end = _pixel((shape.corner[0] + shape.size[0], shape.corner[1] + shape.size[1]))
        cv2.rectangle(canvas, start, end, colour, -1 if shape.filled else _FINER, cv2.LINE_AA)  # type: ignore[call-overload]  # an array
    else:
        # Hershey's letters are 21 pixels high at scale 1, and know no letter beyond ASCII.
        scale, text = _SIZE * _FINER / 24, shape.text.encode("ascii", "replace").decode()
        (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        x, y = _pixel(shape.at)
        x -= {"start": 0, "middle": width // 2, "end": width}[shape.anchor]
        cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)  # type: ignore[call-overload]  # an array


def _paint_line(canvas: object, shape: _Line, colour: tuple[int, ...]) -> None:
    import cv2
    import numpy as np

    points = [_pixel(point) for point in shape.points]
    width = max(1, round(shape.width * _FINER))
    if not shape.dashed:
        cv2.polylines(canvas, [np.array(points, np.int32)], False, colour, width, cv2.LINE_AA)  # type: ignore[call-overload]  # an array
        return
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        dashes = max(1, int(math.hypot(x1 - x0, y1 - y0) / (9 * _FINER)))
        for place in range(dashes):
            from_, to = place / dashes, (place + 0.55) / dashes
            start = round(x0 + (x1 - x0) * from_), round(y0 + (y1 - y0) * from_)
            end = round(x0 + (x1 - x0) * to), round(y0 + (y1 - y0) * to)
            cv2.line(canvas, start, end, colour, width, cv2.LINE_AA)  # type: ignore[call-overload]  # an array


def _pixel(point: Point) -> tuple[int, int]:
    return round(point[0] * _FINER), round(point[1] * _FINER)
