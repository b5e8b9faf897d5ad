"""What the tags of a DICOM data set say of its pixels, checked and as values.

Rules: a tag that decides the picture is either sound or refused by its name; a message never holds a tag's value
unless the value is a code of the standard, such as PhotometricInterpretation.

    layout = dicom_tags.layout(dataset, source="scan.dcm")
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgemed.errors import ImageError
from edgemed.imaging.grayscale import LookUp, Rescale, VoiFunction, Window
from edgemed.imaging.header import check_size

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["Layout", "instance", "layout", "modality", "modality_step", "spacing_mm", "translated", "voi_step"]

GRAY = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How pixels are stored (PS3.3 C.7.6.3), within the bounds accepted here."""

    rows: int
    columns: int
    frames: int
    samples: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    photometric: str
    transfer_syntax: str


@contextlib.contextmanager
def translated(source: str, doing: str) -> Iterator[None]:
    """Run code of pydicom and its codecs: no warning leaves it, and what it raises becomes an ImageError.

    Warnings are switched off process-wide for the moment; never yield a frame inside.

    Raises:
        ImageError: whatever the library raised, with the kind of the exception but not its words, which may hold
            values of the file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except ImageError:
            raise
        # pydicom converts values when they are read and documents no closed set of exceptions; its codecs raise
        # their own. At this border each of them means "this file cannot be read".
        except Exception as err:
            raise ImageError(
                f"{source}: {doing} failed ({type(err).__name__}); the DICOM file is damaged or cut short, "
                "export it again"
            ) from err


def layout(dataset: Dataset, *, source: str) -> Layout:
    """Return how pixels are stored.

    Raises:
        ImageError: no pixel data, raw detector data, a tag that is missing, or a size, depth or colour space that
            is not accepted.
    """
    if "PixelData" not in dataset:
        raise ImageError(f"{source}: PixelData is missing; expected an image, export one from the study")
    if dataset.get("PresentationIntentType") == "FOR PROCESSING":
        raise ImageError(
            f"{source}: PresentationIntentType: expected FOR PRESENTATION, got FOR PROCESSING, which is raw detector "
            "data; export the image that the radiographer sees"
        )
    found = Layout(
        rows=_integer(dataset, "Rows", source),
        columns=_integer(dataset, "Columns", source),
        frames=_integer(dataset, "NumberOfFrames", source, absent=1),
        samples=_integer(dataset, "SamplesPerPixel", source),
        bits_allocated=_integer(dataset, "BitsAllocated", source),
        bits_stored=_integer(dataset, "BitsStored", source),
        signed=_integer(dataset, "PixelRepresentation", source, absent=0) == 1,
        photometric=str(dataset.get("PhotometricInterpretation", "")),
        transfer_syntax=str(getattr(dataset, "file_meta", {}).get("TransferSyntaxUID", "")),
    )
    check_size(found.rows, found.columns, source=source)
    _check_depth(found, _integer(dataset, "HighBit", source, absent=found.bits_stored - 1), source)
    _check_colour_space(found, source)
    return found


def modality(dataset: Dataset) -> str | None:
    """Return Modality, or None when it is absent or empty."""
    value = dataset.get("Modality")
    return str(value).strip() or None if isinstance(value, str) else None


def instance(dataset: Dataset) -> str | None:
    """Return SOPInstanceUID, or None when it is absent or empty; it identifies the image: no message quotes it."""
    value = dataset.get("SOPInstanceUID")
    return str(value).strip() or None if isinstance(value, str) else None


def spacing_mm(dataset: Dataset) -> tuple[float, float] | None:
    """Return (row, column) distance from PixelSpacing, else ImagerPixelSpacing; None unless two positive numbers."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        value = dataset.get(keyword)
        if value is not None and not isinstance(value, str) and len(value) == 2:
            row, column = float(value[0]), float(value[1])
            if 0 < row < np.inf and 0 < column < np.inf:
                return row, column
    return None


def modality_step(dataset: Dataset, *, source: str) -> Rescale | LookUp | None:
    """Return the modality LUT, else the rescale, else None.

    Raises:
        ImageError: a LUT whose descriptor and data disagree, or a rescale that is no line.
    """
    if items := dataset.get("ModalityLUTSequence"):
        return _look_up(items[0], dataset, source)
    if "RescaleSlope" not in dataset and "RescaleIntercept" not in dataset:
        return None
    try:
        return Rescale(slope=_number(dataset, "RescaleSlope", 1.0), intercept=_number(dataset, "RescaleIntercept", 0.0))
    except ValueError as err:
        raise ImageError(
            f"{source}: RescaleSlope, RescaleIntercept: expected finite numbers and a slope other than 0; "
            "export the image again"
        ) from err


def voi_step(dataset: Dataset, *, source: str) -> Window | LookUp | None:
    """Return the first VOI LUT, else the first window, else None.

    Raises:
        ImageError: a LUT whose descriptor and data disagree, half a window, or one without width.
    """
    if items := dataset.get("VOILUTSequence"):
        return _look_up(items[0], dataset, source)
    if dataset.get("WindowCenter") is None and dataset.get("WindowWidth") is None:
        return None
    try:
        return Window(
            center=_number(dataset, "WindowCenter"),
            width=_number(dataset, "WindowWidth"),
            function=VoiFunction(str(dataset.get("VOILUTFunction") or "LINEAR")),
        )
    except ValueError as err:
        raise ImageError(
            f"{source}: WindowCenter, WindowWidth, VOILUTFunction: expected a finite centre, a width above 0 "
            "(LINEAR: at least 1) and a function of the standard; export the image again"
        ) from err


def _check_depth(found: Layout, high_bit: int, source: str) -> None:
    if found.bits_allocated not in (8, 16):
        raise ImageError(
            f"{source}: BitsAllocated: expected 8 or 16, got {found.bits_allocated}; it is no image for screening"
        )
    if not 8 <= found.bits_stored <= found.bits_allocated or high_bit != found.bits_stored - 1:
        raise ImageError(
            f"{source}: BitsStored, HighBit: expected 8 to {found.bits_allocated} bits from bit 0 on, "
            f"got {found.bits_stored} up to bit {high_bit}; export the image again"
        )


def _check_colour_space(found: Layout, source: str) -> None:
    samples = {1: (*GRAY, PALETTE), 3: COLOUR}.get(found.samples, ())
    if found.photometric not in samples:
        known = ", ".join((*GRAY, PALETTE, *COLOUR))
        raise ImageError(
            f"{source}: PhotometricInterpretation: expected one of {known} with 1 or 3 samples to match; "
            "export the image in gray"
        )
    if found.samples == 3 and (found.bits_stored != found.bits_allocated or found.signed):
        raise ImageError(
            f"{source}: BitsStored: expected 8 or 16 unsigned bits for colour, got {found.bits_stored}; "
            "export the image in gray"
        )


def _integer(dataset: Dataset, keyword: str, source: str, *, absent: int | None = None) -> int:
    value = dataset.get(keyword)
    if value is None and absent is not None:
        return absent
    if not isinstance(value, int) or value < 0:
        raise ImageError(f"{source}: {keyword}: expected one whole number; the file is damaged, export it again")
    return int(value)


def _number(dataset: Dataset, keyword: str, absent: float | None = None) -> float:
    """Return the first value of a decimal string; ValueError when there is none."""
    value: Any = dataset.get(keyword)
    if value is None and absent is not None:
        return absent
    try:
        return float(value if isinstance(value, (int, float, str)) else value[0])
    except (TypeError, IndexError) as err:
        raise ValueError(f"{keyword}: expected a number") from err


def _look_up(item: Dataset, dataset: Dataset, source: str) -> LookUp:
    """Return one item of a LUT sequence (PS3.3 C.11.1.1, C.11.2.1.1)."""
    try:
        count, first, bits = (int(value) for value in item.LUTDescriptor)
        # 65536 entries are written as 0, and a signed descriptor as its two's complement.
        count = count % 65536 or 65536
        return LookUp(first=first, bits=bits, values=_entries(item.LUTData, count, dataset))
    except (ValueError, TypeError, AttributeError) as err:
        raise ImageError(
            f"{source}: LUTDescriptor, LUTData: expected matching counts and 8 to 16 bits; export the image again"
        ) from err


def _entries(data: Any, count: int, dataset: Dataset) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Return LUT data as uint16: words, or bytes when there are only half as many as words need."""
    if isinstance(data, bytes):
        word = "<u2" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">u2"
        kind = word if len(data) >= 2 * count else "u1"
        values = np.frombuffer(data, kind).astype(np.uint16)
    else:
        values = np.atleast_1d(np.asarray(data, dtype=np.int64)).astype(np.uint16)
    if values.size < count:
        raise ValueError("fewer entries than the descriptor says")
    return values[:count].copy()
