"""A contact sheet of what was found: pictures by finding, with numbers instead of names.

Text burned into a picture shows on it: the sheet belongs where the pictures belong.

    files.write_atomic(path, sheet.png(checked))
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed.errors import ImageError
from edgemed.imaging import intensity
from edgemed.training.inspection.check import Checked
from edgemed.training.inspection.curves import curves
from edgemed.training.inspection.subject import Subject

__all__ = ["png"]

Canvas: TypeAlias = NDArray[np.uint8]
Item = TypeVar("Item")

_TILE_PX = 120
_CAPTION_PX = 16
_HEADING_PX = 34
_GAP_PX = 8
_COLUMNS = 12
_WIDTH_PX = _COLUMNS * (_TILE_PX + _GAP_PX) + _GAP_PX
_PAPER, _INK, _MARK = (255, 255, 255), (40, 40, 40), (30, 30, 220)
_TILES = 24  # tiles a section, at most
_EXTREMES = 12


def png(checked: Checked) -> bytes:
    """Return the sheet as a PNG: histograms, then the pictures of each finding, the darkest and the brightest."""
    subject = checked.subject
    parts = [curves(checked.document.levels, width=_WIDTH_PX)]
    for finding in checked.document.findings:
        if finding.groups:
            sets = [[number - subject.listing.first_number for number in group[:2]] for group in finding.groups]
            shown = _spread(sets, _TILES // 2)
            parts += _section(finding.message, [index for pair in shown for index in pair], subject, paired=True)
        elif finding.images:
            images = [number - subject.listing.first_number for number in finding.images]
            readable = [index for index in images if subject.traits.readable[index]]
            parts += _section(finding.message, _spread(readable, _TILES), subject)
    order = subject.where()[np.argsort(subject.traits.means[subject.where()], kind="stable")].tolist()
    parts += _section("the darkest pictures", order[:_EXTREMES], subject)
    parts += _section("the brightest pictures", order[::-1][:_EXTREMES], subject)
    coded, raw = cv2.imencode(".png", np.vstack(parts))
    if not coded:
        raise ImageError("contact sheet: expected a PNG, the encoder gave none")
    return raw.tobytes()


def _spread(items: Sequence[Item], most: int) -> list[Item]:
    """Return up to ``most`` items, evenly taken from all."""
    if len(items) <= most:
        return list(items)
    return [items[round(place)] for place in np.linspace(0, len(items) - 1, most)]


def _section(title: str, images: Sequence[int], subject: Subject, *, paired: bool = False) -> Iterator[Canvas]:
    """Yield a heading and rows of tiles; a section without a picture yields nothing."""
    if not images:
        return
    heading = _paper(_HEADING_PX)
    _write(heading, title, (_GAP_PX, 23), 0.55)
    yield heading
    for start in range(0, len(images), _COLUMNS):
        row = _paper(_TILE_PX + _CAPTION_PX + _GAP_PX)
        for column, index in enumerate(images[start : start + _COLUMNS]):
            # The two of a pair touch.
            left = _GAP_PX + column * (_TILE_PX + _GAP_PX) - (_GAP_PX // 2 if paired and column % 2 else 0)
            row[:_TILE_PX, left : left + _TILE_PX] = _tile(index, subject)
            _write(row, _caption(index, subject), (left, _TILE_PX + 12), 0.34)
        yield row


def _paper(height: int) -> Canvas:
    return np.full((height, _WIDTH_PX, 3), _PAPER, np.uint8)


def _write(canvas: Canvas, text: str, place: tuple[int, int], size: float) -> None:
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(canvas, plain, place, cv2.FONT_HERSHEY_SIMPLEX, size, _INK, 1, cv2.LINE_AA)


def _caption(index: int, subject: Subject) -> str:
    """Return number, split and label of an image."""
    (number,) = subject.numbers([index])
    return f"{number} {subject.listing.splits[index]} {subject.labels[index]}"[: _TILE_PX // 6]


def _tile(index: int, subject: Subject) -> Canvas:
    """Return a picture fitted into a tile, with the boxes of suspected text."""
    tile = np.full((_TILE_PX, _TILE_PX, 3), 128, np.uint8)
    try:
        frame = subject.listing.read(index)
    except ImageError:  # gone since it was read; its tile stays gray
        return tile
    pixels = intensity.to_8_bits(frame.pixels, bits=frame.bits)
    scale = _TILE_PX / max(pixels.shape)
    rows, columns = (max(1, round(side * scale)) for side in pixels.shape)
    small = cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    top, left = (_TILE_PX - rows) // 2, (_TILE_PX - columns) // 2
    tile[top : top + rows, left : left + columns] = small[..., np.newaxis]
    if boxes := subject.traits.letters[index]:
        corners = np.array([(box.left, box.top, box.left + box.width, box.top + box.height) for box in boxes]) * scale
        first = (int(corners[:, 0].min()) + left - 2, int(corners[:, 1].min()) + top - 2)
        last = (int(corners[:, 2].max()) + left + 2, int(corners[:, 3].max()) + top + 2)
        cv2.rectangle(tile, first, last, _MARK, 1)
    return tile
