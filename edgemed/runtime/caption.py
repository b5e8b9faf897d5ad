"""The strip below a picture: decision, score, operating point, colour scale, and what the picture is not for.

image = caption.below(image, caption.words(screening, rule), with_scale=True)
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed.runtime import scale
from edgemed.runtime.decision import Decision, DecisionRule
from edgemed.runtime.screening import Screening

__all__ = ["DISCLAIMER", "GROUND", "MIN_WIDTH_PX", "Words", "below", "draw", "fixed_height_px", "height_px", "words"]

DISCLAIMER = "Research use only, not for diagnosis"
GROUND = (28, 24, 22)
MIN_WIDTH_PX = 512
_TEXT, _FAINT = (240, 240, 240), (180, 175, 170)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_HEAD_SIZE, _LINE_SIZE, _SMALL_SIZE = 0.62, 0.42, 0.38
_HEAD_PX, _LINE_PX, _MARGIN_PX = 36, 20, 16
_SCALE_PX = (170, 10)
_SCALE_HEIGHT_PX = 92  # title, bar, ticks and what line and cross mean
_TICKS = (0.0, 3.0, 6.0, 9.0, 12.0)
_NARROW_PX, _WIDE_PX = 640, 1024  # widths up to and from which letters keep their size
# Blue first. Okabe and Ito 2008: told apart with any colour vision; the word stands beside the colour all the same.
_DECISION = {
    Decision.ALERT: (0, 94, 213),
    Decision.CLEAR: (178, 114, 0),
    Decision.INDETERMINATE: (0, 159, 230),
    Decision.REFUSED: (150, 150, 150),
}


@dataclass(frozen=True, kw_only=True)
class Words:
    """What the strip says: a headline, lines below it that are wrapped where they are too long; then the disclaimer."""

    decision: Decision
    headline: str
    lines: tuple[str, ...]


def words(screening: Screening, rule: DecisionRule, *, more: tuple[str, ...] = ()) -> Words:
    """Return what to say of a result.

    Args:
        screening: any; of a refused one the reasons are said.
        rule: that decided.
        more: lines to put in before the reasons.
    """
    score = "" if screening.score is None else f"   score {screening.score:.2f}"
    point, zone = rule.operating_point, rule.indeterminate
    lines = []
    if screening.score is not None:
        lines.append(f"{point.name}, threshold {point.threshold:.2f}")
    if screening.decision is Decision.INDETERMINATE:
        lines.append(f"cannot tell: the score lies in {zone.low:.2f} to {zone.high:.2f}")
    if screening.fallback:
        lines.append("computed on the CPU, in place of the accelerator")
    # The name of a file may be a patient's, and is no word for a picture.
    reasons = [reason.removeprefix(f"{screening.source}: ") for reason in screening.reasons]
    headline = f"{screening.decision.value.upper()}{score}"
    return Words(decision=screening.decision, headline=headline, lines=(*more, *lines, *reasons))


def below(image: NDArray[np.uint8], said: Words, *, with_scale: bool) -> NDArray[np.uint8]:
    """Return the picture on a dark ground of at least 512 px width, with the strip under it, as high as it takes.

    Args:
        image: (rows, columns, 3) uint8, blue first.
        said: in the strip.
        with_scale: the picture shows evidence.
    """
    rows, columns = image.shape[:2]
    width = max(columns, MIN_WIDTH_PX)
    canvas = np.full((rows + height_px(said, width, with_scale=with_scale), width, 3), GROUND, np.uint8)
    left = (width - columns) // 2
    canvas[:rows, left : left + columns] = image
    draw(canvas[rows:], said, with_scale=with_scale)
    return canvas


def fixed_height_px(width: int, *, lines: int) -> int:
    """Return the height of a strip of this width for so many lines and the scale, whatever it is going to say."""
    return round(_unit(width) * max(_HEAD_PX + (lines + 1) * _LINE_PX + _MARGIN_PX // 2, _SCALE_HEIGHT_PX))


def height_px(said: Words, width: int, *, with_scale: bool) -> int:
    """Return the height that a strip of this width needs."""
    lines = len(_wrapped(said, width, with_scale=with_scale))
    height = _HEAD_PX + (lines + 1) * _LINE_PX + _MARGIN_PX // 2
    return round(_unit(width) * max(height, _SCALE_HEIGHT_PX if with_scale else 0))


def draw(strip: NDArray[np.uint8], said: Words, *, with_scale: bool) -> None:
    """Draw the strip; lines that do not fit its height end in dots, and the disclaimer stays.

    Args:
        strip: (rows, columns, 3) uint8 of at least 512 columns, drawn over.
        said: in it.
        with_scale: the picture shows evidence.
    """
    unit = _unit(strip.shape[1])
    x, height = round(_MARGIN_PX * unit), strip.shape[0]
    strip[...] = GROUND
    cv2.rectangle(strip, (0, 0), (round(6 * unit), height), _DECISION[said.decision], cv2.FILLED)
    _write(strip, said.headline, (x, round(28 * unit)), _HEAD_SIZE * unit, _TEXT)
    room = max(0, int((height / unit - _HEAD_PX - _MARGIN_PX // 2) // _LINE_PX) - 1)
    for number, line in enumerate(_fitted(_wrapped(said, strip.shape[1], with_scale=with_scale), room)):
        _write(strip, line, (x, round((_HEAD_PX + 14 + number * _LINE_PX) * unit)), _LINE_SIZE * unit, _TEXT)
    _write(strip, DISCLAIMER, (x, height - round(11 * unit)), _LINE_SIZE * unit, _FAINT)
    if with_scale:
        _draw_scale(strip, unit)


def _unit(width: int) -> float:
    """Return the factor of all sizes: letters grow with the picture, less than it does."""
    return float(np.interp(width, (_NARROW_PX, _WIDE_PX), (1.0, 1.4)))


def _wrapped(said: Words, width: int, *, with_scale: bool) -> list[str]:
    """Break the lines at words so that they fit beside the scale."""
    unit = _unit(width)
    room = width - unit * (2 * _MARGIN_PX + (_SCALE_PX[0] + _MARGIN_PX if with_scale else 0))
    return [part for line in said.lines for part in _parts(line, room, _LINE_SIZE * unit)]


def _parts(line: str, room: float, size: float) -> list[str]:
    parts = [""]
    for word in line.split():
        longer = f"{parts[-1]} {word}".strip()
        if parts[-1] and _width(longer, size) > room:
            parts.append(word)
        else:
            parts[-1] = longer
    return [_cut(part, room, size) for part in parts]


def _cut(part: str, room: float, size: float) -> str:
    """Shorten one word that is longer than a line."""
    while _width(part, size) > room and len(part) > 4:
        part = part[:-4] + "..."
    return part


def _fitted(lines: list[str], room: int) -> list[str]:
    return (
        lines if len(lines) <= room else [*lines[: max(0, room - 1)], f"{lines[room - 1]} ..." if room else ""][:room]
    )


def _draw_scale(strip: NDArray[np.uint8], unit: float) -> None:
    """Draw the colour scale with its ticks, and what line and cross mean, at the right end."""
    width, height = (round(side * unit) for side in _SCALE_PX)
    left, top = strip.shape[1] - round(_MARGIN_PX * unit) - width, round(28 * unit)
    size = _SMALL_SIZE * unit
    _write(strip, "evidence above threshold, log-odds", (left, round(18 * unit)), size, _FAINT)
    ramp = np.linspace(0.0, 1.0, width)[None].repeat(height, axis=0)
    strip[top : top + height, left : left + width] = scale.colours(ramp)
    for value in _TICKS:
        x = left + round((width - 1) * value / scale.TOP_LOG_ODDS)
        cv2.line(strip, (x, top + height), (x, top + height + round(4 * unit)), _FAINT, 1)
        label = f"{value:.0f}+" if value == scale.TOP_LOG_ODDS else f"{value:.0f}"
        at = min(x - _width(label, size) // 2, left + width - _width(label, size))
        _write(strip, label, (max(left, at), top + height + round(16 * unit)), size, _FAINT)
    _write(strip, "line: threshold, ticks to more", (left, top + height + round(33 * unit)), size, _FAINT)
    _write(strip, "cross: most", (left, top + height + round(48 * unit)), size, _FAINT)


def _width(text: str, size: float) -> int:
    return int(cv2.getTextSize(text, _FONT, size, 1)[0][0])


def _write(strip: NDArray[np.uint8], text: str, at: tuple[int, int], size: float, colour: tuple[int, int, int]) -> None:
    # The font of OpenCV 4 has no other letters.
    plain = text.encode("ascii", "replace").decode("ascii")
    cv2.putText(strip, plain, at, _FONT, size, colour, 1, cv2.LINE_AA)
