"""Frames from files: PNG, JPEG, TIFF, NumPy arrays, DICOM and clips, told apart by their first bytes.

Rules: sizes are bounded before anything is decoded; a picture is decoded once and comes out as stored (the EXIF
orientation is not applied: a medical picture is turned by whoever exports it, never by a viewer's hint); colour
becomes gray and its share is kept; 16 bits stay 16 bits; alpha is ignored.

    for frame in readers.read(Path("scan.dcm")):
        ...
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed import files, native_output
from edgemed.errors import ImageError
from edgemed.imaging import colour
from edgemed.imaging import header as headers
from edgemed.imaging.frame import Frame, Pixels
from edgemed.imaging.header import FILE_LIMIT_BYTES, Format

__all__ = ["SUFFIXES", "decode", "expand", "read"]

SUFFIXES = frozenset(
    [
        ".png",
        ".jpg",
        ".jpeg",
        ".tif",
        ".tiff",
        ".npy",
        ".dcm",
        ".dicom",
        ".mp4",
        ".m4v",
        ".mov",
        ".avi",
        ".mkv",
        ".webm",
        ".mpg",
        ".mpeg",
    ]
)
"""Suffixes that `expand` takes for an image without looking inside; other files are judged by their first bytes."""

_KNOWN = "PNG, JPEG, TIFF, NPY, DICOM or a clip (MP4, MOV, AVI, MKV, MPEG)"
_SNIFFED_BYTES = 132
# libjpeg fills damaged parts with gray and goes on; it says so on stderr alone. Bytes left over count where a marker
# may follow picture data (DHT, RSTn, EOI, SOS): a flipped bit leaves such. Elsewhere they are padding of the header.
_JPEG_DAMAGE = re.compile(
    r"Premature end of JPEG file"
    r"|Corrupt JPEG data: (?!bad ICC)(?!\d+ extraneous bytes before marker 0x(?!c4|d[0-79a]))[\w ]+"
)


def read(path: Path | str) -> Iterator[Frame]:
    """Yield the frames of one file, one at a time; ``source`` is the path as given.

    Raises:
        ImageError: on the first step: missing, a folder, a pipe or device, too large, of no known format, damaged,
            or of a size or pixel type that is not accepted; on a later one: a frame is damaged or missing.
    """
    source, path = str(path), Path(path)
    kind = headers.sniff(_first_bytes(path))
    if kind is Format.CLIP:
        from edgemed.imaging import cine

        yield from cine.read(path)
        return
    if kind is Format.NPY:
        from edgemed.imaging import arrays

        arrays.check(path)
    raw = files.read_bounded(path, limit_bytes=FILE_LIMIT_BYTES, error=ImageError)
    yield from decode(raw, source=source)


def decode(raw: bytes, *, source: str) -> Iterator[Frame]:
    """Yield the frames in the bytes of a still, an array or a DICOM file; clips need a path, see `read`.

    Raises:
        ImageError: as `read`.
    """
    kind = headers.sniff(raw[:_SNIFFED_BYTES])
    if kind is None:
        raise ImageError(_unknown(raw, source))
    if kind is Format.CLIP:
        raise ImageError(f"{source}: expected a still, got a clip; give the path of a clip file")
    if kind is Format.DICOM:
        from edgemed.imaging import dicom

        yield from dicom.decode(raw, source=source)
    elif kind is Format.NPY:
        from edgemed.imaging import arrays

        yield from arrays.decode(raw, source=source)
    else:
        yield from _stills(raw, kind, source)


def expand(inputs: Sequence[Path]) -> list[Path]:
    """Return the inputs with each folder replaced by the image files in and below it, in sorted order.

    A file in a folder counts by its suffix, or else by its first bytes. Names that start with a dot are skipped,
    ``DICOMDIR``, an index that holds no pixels, and what is no regular file, such as a pipe. A path that is missing
    or closed stays: `read` says so.
    """
    found: list[Path] = []
    for path in inputs:
        # Path.is_dir raises where a path cannot be looked at.
        found.extend(_images_below(path) if os.path.isdir(path) else [path])  # noqa: PTH112
    return found


def _stills(raw: bytes, kind: Format, source: str) -> Iterator[Frame]:
    header = headers.parse(raw, kind, source=source)
    buffer = np.frombuffer(raw, np.uint8)
    for page in range(header.pages):
        image = _decoded(buffer, page if header.pages > 1 else None, kind, source)
        if header.white_is_zero and image.dtype == np.uint16:
            # OpenCV turns 8-bit TIFF of this kind round, but not 16-bit.
            image = np.bitwise_not(image)
        gray = colour.to_gray(image, order=colour.Order.BGR)
        yield Frame(
            pixels=gray.pixels,
            source=source,
            index=page,
            bits=8 * gray.pixels.dtype.itemsize,
            coloured_fraction=gray.coloured_fraction,
        )


def _decoded(buffer: NDArray[np.uint8], page: int | None, kind: Format, source: str) -> Pixels:
    """Decode one picture with OpenCV, as it is stored."""
    try:
        if kind is Format.JPEG:
            image = _decoded_jpeg(buffer, source)
        elif page is None:
            image = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
        else:
            image = cv2.imdecodemulti(buffer, cv2.IMREAD_UNCHANGED, range=(page, page + 1))[1][0]
    except (cv2.error, IndexError) as err:
        raise ImageError(_damaged(kind, source)) from err
    if image is None:
        raise ImageError(_damaged(kind, source))
    if image.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{source}: expected 8- or 16-bit unsigned pixels, got {image.dtype}; export it as such")
    if image.ndim == 3 and image.shape[2] not in (1, 3, 4):
        raise ImageError(f"{source}: expected 1, 3 or 4 channels, got {image.shape[2]}; export it as gray")
    return image.view(np.uint8) if image.dtype == np.uint8 else image.view(np.uint16)


def _decoded_jpeg(buffer: NDArray[np.uint8], source: str) -> cv2.typing.MatLike | None:
    """Decode a JPEG, refusing damage that libjpeg notices; a flipped bit may still give other, valid data."""
    with native_output.captured(_JPEG_DAMAGE) as words:
        image = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
    if image is not None and words:
        raise ImageError(f"{source}: JPEG data are damaged: {words[0]}; export the image again")
    return image


def _damaged(kind: Format, source: str) -> str:
    return f"{source}: {kind.value} cannot be decoded; the file is damaged or cut short, copy or export it again"


def _unknown(raw: bytes, source: str) -> str:
    if not raw:
        return f"{source}: expected {_KNOWN}, got an empty file; copy it again"
    if Path(source).suffix.lower() in (".dcm", ".dicom"):
        return (
            f"{source}: expected 'DICM' at byte 128, got other bytes: no file meta information header; "
            "export it again as a DICOM Part 10 file"
        )
    return f"{source}: expected {_KNOWN}, got a file that starts like none of them; export it as one of these"


def _first_bytes(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        # Opening a pipe would wait for its writer; a folder is refused by open itself.
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise ImageError(f"{path}: expected a file, got a pipe, socket or device; copy its bytes to a file")
        with path.open("rb") as stream:
            return stream.read(_SNIFFED_BYTES)
    except OSError as err:
        raise ImageError(f"{path}: cannot be read: {err.strerror or err}; check the path and its permissions") from err


def _images_below(folder: Path) -> list[Path]:
    found: list[Path] = []

    def keep(error: OSError) -> None:
        found.append(Path(error.filename))

    for place, folders, names in os.walk(folder, onerror=keep):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [Path(place, name) for name in names if not name.startswith(".") and name != "DICOMDIR"]
        found.extend(path for path in paths if _is_image(path))
    return sorted(found)


def _is_image(path: Path) -> bool:
    """Judge by suffix, then by content; what cannot be opened stays, so that `read` reports it."""
    named = path.suffix.lower() in SUFFIXES
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        return named or headers.sniff(_first_bytes(path)) is not None
    except OSError as err:
        return named or err.errno != errno.ENOENT
    except ImageError:
        return True
