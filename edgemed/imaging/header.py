"""What an image file says of itself, read from its first bytes, so that a size is refused before it is decoded.

Rules: no pixel is decoded here; every offset is checked; a file cut short is refused where the format allows to tell.

    header = header.parse(raw, source="scan.png")

Sources: PNG 1.2 sections 3.3 and 4.1.1; ITU T.81 annex B (JPEG); TIFF 6.0 section 2; ITU T.800 annex A.5.1 (JPEG 2000).
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edgemed.errors import ImageError

__all__ = ["FILE_LIMIT_BYTES", "PIXEL_LIMIT", "Format", "Header", "check_size", "codestream_size", "parse", "sniff"]

FILE_LIMIT_BYTES = 512 << 20
PIXEL_LIMIT = 64 << 20
"""Pixels of one frame; a 43 x 43 cm detector with 0.1 mm pixels has 18 million."""

_TIFF_PAGES = 4096
_BIG_ENDIAN = struct.Struct(">I")
_STARTS_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_SCAN = 0xDA
_STILL_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1")


class Format(enum.Enum):
    """A kind of file, told by its first bytes."""

    PNG = "PNG"
    JPEG = "JPEG"
    TIFF = "TIFF"
    NPY = "NPY"
    DICOM = "DICOM"
    CLIP = "clip"


@dataclass(frozen=True, kw_only=True)
class Header:
    """Size of an image in pixels, its number of pages, and whether a TIFF stores white as 0."""

    rows: int
    columns: int
    pages: int = 1
    white_is_zero: bool = False


def sniff(raw: bytes) -> Format | None:
    """Return the format that the first 132 bytes announce, or None.

    A TIFF marker in the preamble of a DICOM file is legal (PS3.10 section 7.1): DICOM is looked for first.
    """
    if raw[128:132] == b"DICM":
        return Format.DICOM
    starts = {
        b"\x89PNG\r\n\x1a\n": Format.PNG,
        b"\xff\xd8\xff": Format.JPEG,
        b"II*\0": Format.TIFF,
        b"MM\0*": Format.TIFF,
        b"\x93NUMPY": Format.NPY,
        b"\0\0\x01\xba": Format.CLIP,
        b"\0\0\x01\xb3": Format.CLIP,
        b"\x1a\x45\xdf\xa3": Format.CLIP,
    }
    for start, kind in starts.items():
        if raw.startswith(start):
            return kind
    return Format.CLIP if _is_container(raw) else None


def parse(raw: bytes, kind: Format, *, source: str) -> Header:
    """Return the header of a PNG, JPEG or TIFF file.

    Raises:
        ImageError: the header is damaged, the file ends early, the picture has more than 2^26 pixels, or a TIFF
            stores pixels in a way that has no defined grey level here.
    """
    readers = {Format.PNG: _png, Format.JPEG: _jpeg, Format.TIFF: _tiff}
    try:
        header = readers[kind](raw, source)
    except (struct.error, IndexError) as err:
        raise ImageError(
            f"{source}: {kind.value} ends inside its header; the file is cut short, copy it again"
        ) from err
    check_size(header.rows, header.columns, source=source)
    return header


def check_size(rows: int, columns: int, *, source: str) -> None:
    """Refuse a size before anything is allocated for it.

    Raises:
        ImageError: a side is below 1, or rows * columns exceeds 2^26.
    """
    if rows < 1 or columns < 1:
        raise ImageError(f"{source}: expected at least 1 x 1 pixel, got {columns} x {rows}; the file is damaged")
    if rows * columns > PIXEL_LIMIT:
        raise ImageError(
            f"{source}: expected at most {PIXEL_LIMIT} pixels, got {columns} x {rows} = {rows * columns}; "
            "export the image at its native size"
        )


def codestream_size(raw: bytes) -> tuple[int, int] | None:
    """Return (rows, columns) that a JPEG, JPEG-LS or JPEG 2000 codestream announces; None when it announces none."""
    try:
        if raw.startswith(b"\xff\xd8"):
            return _jpeg_size(raw, dict(_jpeg_segments(raw)))
        start = raw.find(b"\xff\x4f\xff\x51", 0, 1 << 16)
        if start < 0:
            return None
        right, bottom, left, top = struct.unpack_from(">4I", raw, start + 8)
    except (struct.error, IndexError):
        return None
    return bottom - top, right - left


def _is_container(raw: bytes) -> bool:
    if raw[:4] == b"RIFF" and raw[8:12] == b"AVI ":
        return True
    box = raw[4:8]
    return (box == b"ftyp" and raw[8:12] not in _STILL_BRANDS) or box in (b"moov", b"mdat", b"wide")


def _png(raw: bytes, source: str) -> Header:
    if raw[12:16] != b"IHDR":
        raise ImageError(f"{source}: expected the PNG chunk IHDR first; the file is damaged, export it again")
    columns, rows = struct.unpack_from(">2I", raw, 16)
    # OpenCV allocates what a chunk claims before it looks whether the file holds it: walk them all first.
    offset, name = 8, b""
    while name != b"IEND":
        name = raw[offset + 4 : offset + 8]
        offset += _BIG_ENDIAN.unpack_from(raw, offset)[0] + 12
        if offset > len(raw):
            raise ImageError(f"{source}: PNG ends inside a chunk; the file is cut short or damaged, copy it again")
    return Header(rows=rows, columns=columns)


def _jpeg(raw: bytes, source: str) -> Header:
    places = dict(_jpeg_segments(raw))
    size = _jpeg_size(raw, places)
    # A preview inside the header has an end marker of its own, hence the search behind the scan's start.
    if size is None or _SCAN not in places or raw.rfind(b"\xff\xd9", places[_SCAN]) < 0:
        raise ImageError(f"{source}: JPEG without its end marker; the file is cut short or damaged, copy it again")
    return Header(rows=size[0], columns=size[1])


def _jpeg_segments(raw: bytes) -> Iterator[tuple[int, int]]:
    """Yield (marker, offset) of each segment, up to the start of the scan."""
    offset = 2
    while raw[offset] == 0xFF:
        marker = raw[offset + 1]
        if marker == 0xFF:  # fill byte
            offset += 1
            continue
        yield marker, offset
        if marker in (_SCAN, 0xD9):
            return
        offset += 2 + struct.unpack_from(">H", raw, offset + 2)[0]


def _jpeg_size(raw: bytes, places: Mapping[int, int]) -> tuple[int, int] | None:
    """Return (rows, columns) of the frame header among the segments."""
    frames = [place for marker, place in places.items() if marker in _STARTS_OF_FRAME]
    if not frames:
        return None
    rows, columns = struct.unpack_from(">2H", raw, frames[0] + 5)
    return rows, columns


def _tiff(raw: bytes, source: str) -> Header:
    order = "<" if raw[:2] == b"II" else ">"
    pages = list(_tiff_pages(raw, order, source))
    if not pages:
        raise ImageError(f"{source}: TIFF without a page; the file is damaged, export it again")
    for page in pages:
        check_size(page.get(257, 0), page.get(256, 0), source=source)
        _check_tiff_tag(page, 258, "BitsPerSample", (8, 16), source)
        _check_tiff_tag(page, 339, "SampleFormat", (1,), source)
        _check_tiff_tag(page, 262, "PhotometricInterpretation", (0, 1, 2, 6), source)
    first = pages[0]
    if any(page.get(262) != first.get(262) for page in pages):
        raise ImageError(f"{source}: TIFF pages differ in PhotometricInterpretation; export them as separate files")
    return Header(rows=first[257], columns=first[256], pages=len(pages), white_is_zero=first.get(262) == 0)


def _tiff_pages(raw: bytes, order: str, source: str) -> Iterator[dict[int, int]]:
    """Yield each directory as tag -> first value."""
    (offset,) = struct.unpack_from(order + "I", raw, 4)
    seen: set[int] = set()
    while offset:
        if offset in seen or len(seen) == _TIFF_PAGES:
            raise ImageError(f"{source}: expected at most {_TIFF_PAGES} TIFF pages in a chain, got a loop or more")
        seen.add(offset)
        (count,) = struct.unpack_from(order + "H", raw, offset)
        yield {
            tag: value
            for tag, value in (_tiff_entry(raw, order, offset + 2 + 12 * i) for i in range(count))
            if value is not None
        }
        (offset,) = struct.unpack_from(order + "I", raw, offset + 2 + 12 * count)


def _tiff_entry(raw: bytes, order: str, offset: int) -> tuple[int, int | None]:
    """Return (tag, first value) of one directory entry; None for a value that is no SHORT or LONG."""
    tag, kind, count = struct.unpack_from(order + "HHI", raw, offset)
    code, size = {3: ("H", 2), 4: ("I", 4)}.get(kind, ("", 0))
    if not code:
        return tag, None
    place = offset + 8
    if count * size > 4:
        (place,) = struct.unpack_from(order + "I", raw, place)
    return tag, struct.unpack_from(order + code, raw, place)[0]


def _check_tiff_tag(page: dict[int, int], tag: int, name: str, legal: tuple[int, ...], source: str) -> None:
    got = page.get(tag, 1)
    if got not in legal:
        expected = " or ".join(map(str, legal))
        raise ImageError(
            f"{source}: {name}: expected {expected}, got {got}; export it as 8- or 16-bit gray TIFF or PNG"
        )
