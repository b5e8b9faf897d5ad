"""A frame: one gray image as it came from its source, before any preprocessing.

frame = Frame(pixels=pixels, source="scan.png")
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Frame", "Pixels"]

Pixels: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One gray image with what its file says about it.

    Attributes:
        pixels: (rows, columns), uint8 or uint16, read-only; higher is brighter.
        bits: significant bits, 8 for uint8 and 9..16 for uint16.
        modality: DICOM Modality (``DX``, ``CR``, ``US``, ...); None when the file format does not carry one.
        is_dicom: the source is a DICOM file, so that an absent modality is a reason to refuse.
        spacing_mm: (row, column) distance of pixel centres; None when unknown.
        coloured_fraction: share of pixels, 0..1, whose colour channels spread over more than 24 of 255 levels.
        instance: SOP Instance UID of a DICOM file, which identifies the image: for keyed hashes alone, never shown.
        source: the input as the caller named it; shown in results.
        index: frame number within its source, from 0.
    """

    pixels: Pixels
    source: str
    index: int = 0
    bits: int = 8
    modality: str | None = None
    is_dicom: bool = False
    spacing_mm: tuple[float, float] | None = None
    coloured_fraction: float = 0.0
    instance: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or self.pixels.size == 0:
            raise ValueError(f"pixels: expected a non-empty (rows, columns) array, got shape {self.pixels.shape}")
        if self.pixels.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"pixels: expected uint8 or uint16, got {self.pixels.dtype}")
        legal = (8,) if self.pixels.dtype == np.uint8 else tuple(range(9, 17))
        if self.bits not in legal:
            raise ValueError(f"bits: expected one of {legal} for {self.pixels.dtype}, got {self.bits}")
        if self.bits in range(9, 16) and int(self.pixels.max()) >> self.bits:
            raise ValueError(f"pixels: expected values below 2^{self.bits}, got one above")
        self.pixels.setflags(write=False)
