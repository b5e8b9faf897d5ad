"""A stream's frames as pictures of one size: evidence, decision, what the stream shows over time, and when.

The canvas is made once, for the first frame; frames of another size or depth are fitted into it.

    annotator = Annotator(item.frame.pixels.shape, preprocessing=screener.preprocessing, rule=screener.rule)
    image = annotator.annotate(item)
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed.imaging import intensity
from edgemed.imaging.frame import Frame
from edgemed.imaging.preprocess import Preprocessing
from edgemed.runtime import caption, evidence, placement
from edgemed.runtime.decision import DecisionRule
from edgemed.runtime.placement import Placement
from edgemed.runtime.screening import Screening
from edgemed.runtime.temporal import Level
from edgemed.runtime.track import Decided

__all__ = ["Annotator"]

_LINES = 4
_FRAME_PX = 6
_ALERT, _DARK = (0, 94, 213), (0, 0, 0)


class Annotator:
    """Draws onto one canvas, which it owns; for one thread."""

    def __init__(self, shape: tuple[int, ...], *, preprocessing: Preprocessing, rule: DecisionRule) -> None:
        """Make the canvas.

        Args:
            shape: (rows, columns) of the first frame.
            preprocessing: of the bundle that judges.
            rule: that decides.
        """
        self._preprocessing = preprocessing
        self._rule = rule
        rows, columns = evidence.drawn_size(shape)
        # Even sides: video codecs store colour for two by two pixels.
        self._area = (rows + rows % 2, max(columns + columns % 2, caption.MIN_WIDTH_PX))
        strip_px = caption.fixed_height_px(self._area[1], lines=_LINES)
        self._canvas = np.zeros((self._area[0] + strip_px + strip_px % 2, self._area[1], 3), np.uint8)
        self._placed: tuple[object, Placement] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of every picture."""
        return self._canvas.shape[0], self._canvas.shape[1]

    def annotate(self, item: Decided) -> NDArray[np.uint8]:
        """Draw one frame of a stream with its result.

        Returns:
            (rows, columns, 3) uint8, blue first: the canvas itself, overwritten by the next call.
        """
        picture, strip = self._canvas[: self._area[0]], self._canvas[self._area[0] :]
        picture[...] = caption.GROUND
        if item.frame is not None:
            self._draw_frame(picture, item.frame, item.screening)
        if item.level is Level.ALERT:
            _mark(picture)
        over_time = f"stream: {item.level.name.lower()}, {item.time_ms / 1e3:.2f} s, frame {item.number}"
        said = caption.words(item.screening, self._rule, more=(over_time,))
        caption.draw(strip, said, with_scale=_shows_evidence(item.screening))
        return self._canvas

    def _draw_frame(self, picture: NDArray[np.uint8], frame: Frame, screening: Screening) -> None:
        shape = frame.pixels.shape
        factor = min(self._area[0] / shape[0], self._area[1] / shape[1])
        rows, columns = (
            max(1, min(side, round(factor * length))) for side, length in zip(self._area, shape, strict=True)
        )
        top, left = (self._area[0] - rows) // 2, (self._area[1] - columns) // 2
        gray = evidence.scaled(intensity.to_8_bits(frame.pixels, bits=frame.bits), (rows, columns))
        part = picture[top : top + rows, left : left + columns]
        cells = screening.evidence
        if cells is None or not _shows_evidence(screening):
            part[...] = gray[..., None]
            return
        part[...] = evidence.paint(gray, cells, self._where(shape, cells.shape, (rows, columns)), self._rule)

    def _where(self, shape: tuple[int, ...], cells: tuple[int, ...], size: tuple[int, int]) -> Placement:
        """Return where the cells lie, worked out once for frames of one size."""
        key = (shape, cells, size)
        if self._placed is None or self._placed[0] != key:
            self._placed = (key, placement.follow(shape, self._preprocessing, cells=cells, size=size))
        return self._placed[1]


def _shows_evidence(screening: Screening) -> bool:
    return screening.evidence is not None and screening.score is not None


def _mark(picture: NDArray[np.uint8]) -> None:
    """Frame the picture: while there is a frame around it, the stream's alert stands."""
    corner = (picture.shape[1] - 1, picture.shape[0] - 1)
    for colour, thickness in ((_DARK, _FRAME_PX + 4), (_ALERT, _FRAME_PX)):
        cv2.rectangle(picture, (0, 0), corner, colour, thickness)
