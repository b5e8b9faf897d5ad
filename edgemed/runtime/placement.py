"""Where the cells of an evidence map lie in the frame: cropping and letterboxing undone, interpolated between cells.

Its place is approximate: a cell stands for the patch of the plane at its place in the grid, while the network looked
further around.

    where = placement.follow(frame.pixels.shape, preprocessing, cells=evidence.shape, size=(480, 640))
    values = where.interpolate(evidence)
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed.imaging import geometry
from edgemed.imaging.preprocess import Preprocessing
from edgemed.imaging.steps import CropBorder, Resize

__all__ = ["Placement", "follow"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Placement:
    """Drawn pixels and the cells they lie in; arrays of shape (rows, columns), read-only.

    Attributes:
        map_x, map_y: float32, where each drawn pixel lies among the cells; anything where it was not seen.
        seen: uint8, 1 where the model saw the frame, 0 where it was cropped away.
    """

    map_x: NDArray[np.float32]
    map_y: NDArray[np.float32]
    seen: NDArray[np.uint8]

    def interpolate(self, cells: NDArray[np.float64], *, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Return one value per cell, (h, w), as one per drawn pixel; without meaning where `seen` is 0.

        Args:
            cells: they divide the plane evenly.
            out: may be used for the result.
        """
        values = cv2.remap(
            cells.astype(np.float32), self.map_x, self.map_y, cv2.INTER_CUBIC, dst=out, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(values, np.float32)


def follow(
    frame_shape: tuple[int, ...],
    preprocessing: Preprocessing,
    *,
    cells: tuple[int, ...],
    size: tuple[int, ...],
) -> Placement:
    """Return where an evidence map lies in a frame.

    Args:
        frame_shape: (rows, columns) of the frame.
        preprocessing: that led to the plane.
        cells: (h, w) of the map.
        size: (rows, columns) that are drawn, a scaled copy of the frame.
    """
    vertical, horizontal = _axes(frame_shape, preprocessing)
    y = vertical.cells(cells[0], frame_shape[0], size[0])
    x = horizontal.cells(cells[1], frame_shape[1], size[1])
    map_x, map_y = np.meshgrid(np.nan_to_num(x, nan=0.0), np.nan_to_num(y, nan=0.0))
    seen = np.asarray(~(np.isnan(y)[:, None] | np.isnan(x)[None, :]), np.uint8)
    for array in (map_x, map_y, seen):
        array.setflags(write=False)
    return Placement(map_x=map_x, map_y=map_y, seen=seen)


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """How one axis of the frame lies in the plane, in pixels of each."""

    frame_start: int
    frame_length: int
    plane_start: int
    plane_length: int
    plane_size: int

    def cells(self, count: int, frame_size: int, drawn_size: int) -> NDArray[np.float32]:
        """Return, for each drawn pixel, where it lies among ``count`` cells; NaN outside what the model saw."""
        frame = (np.arange(drawn_size) + 0.5) * frame_size / drawn_size
        seen = (frame >= self.frame_start) & (frame <= self.frame_start + self.frame_length)
        plane = self.plane_start + (frame - self.frame_start) * self.plane_length / self.frame_length
        cells = plane * count / self.plane_size - 0.5
        return np.where(seen, cells, np.nan).astype(np.float32)


def _axes(frame_shape: tuple[int, ...], preprocessing: Preprocessing) -> tuple[_Axis, _Axis]:
    """Follow the crops and the resize of the steps along both axes."""
    start, length = [0, 0], list(frame_shape)
    placed = [(0, preprocessing.height), (0, preprocessing.width)]
    for step in preprocessing.steps:
        if isinstance(step, CropBorder):
            kept = geometry.crop_border(np.empty(length, np.uint8), step.fraction).shape
            start = [s + (old - new) // 2 for s, old, new in zip(start, length, kept, strict=True)]
            length = list(kept)
        elif isinstance(step, Resize) and step.fit == "letterbox":
            size = (preprocessing.height, preprocessing.width)
            inner = geometry.fitted_size(*length, height=size[0], width=size[1])
            placed = [((whole - part) // 2, part) for whole, part in zip(size, inner, strict=True)]
    sizes = (preprocessing.height, preprocessing.width)
    vertical, horizontal = (
        _Axis(
            frame_start=start[i],
            frame_length=length[i],
            plane_start=placed[i][0],
            plane_length=placed[i][1],
            plane_size=sizes[i],
        )
        for i in (0, 1)
    )
    return vertical, horizontal
