"""Frames from clips (MP4, MOV, AVI, MKV, MPEG) by OpenCV's FFmpeg reader, one at a time.

Rules: only an existing file whose first bytes name a container gets here, so that neither a network address nor a
picture-name pattern reaches FFmpeg; frames come as stored, without a rotation hint; a container that declares its
frame count must deliver it; an MPEG stream, which declares none and needs no end code, is damaged where FFmpeg's
decoder says so. An MPEG stream cut exactly between two pictures passes as whole.

    for frame in cine.read(Path("lung.mp4")):
        ...
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from edgemed import native_output
from edgemed.errors import ImageError
from edgemed.imaging import colour
from edgemed.imaging.frame import Frame
from edgemed.imaging.header import FILE_LIMIT_BYTES, check_size

__all__ = ["read"]

# Edit lists may hide a frame at either end of a sound clip.
_FRAMES_SPARE = 2
# FFmpeg hides damage by copying from the picture before, and says so on stderr alone.
# FFmpeg colours what it takes to go to a terminal.
_MPEG_DAMAGE = re.compile(r"\[mpeg[12]video @ \w+\] (?:\x1b\[[\d;]*m)*([\w ,:.-]+)")


def read(path: Path) -> Iterator[Frame]:
    """Yield the frames of a clip in order, gray uint8, ``index`` counting from 0.

    MP4, MOV and AVI declare how many frames they hold, so that a clip cut short is found out at its end; MPEG
    streams do not, and end at the first frame that is damaged.

    Raises:
        ImageError: not decodable, without a frame, above the size limits, damaged, or with fewer frames than
            declared.
    """
    source = str(path)
    if path.stat().st_size > FILE_LIMIT_BYTES:
        raise ImageError(f"{source}: is larger than the {FILE_LIMIT_BYTES} bytes accepted here; cut the clip")
    head = _head(path)
    capture = _opened(path, source)
    try:
        check_size(
            _property(capture, cv2.CAP_PROP_FRAME_HEIGHT), _property(capture, cv2.CAP_PROP_FRAME_WIDTH), source=source
        )
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        count = 0
        for count, frame in enumerate(_frames(capture, head, source), start=1):  # noqa: B007 (used after the loop)
            yield frame
        _check_count(count, _declared(capture, head), source)
    finally:
        capture.release()


def _opened(path: Path, source: str) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise ImageError(f"{source}: clip cannot be opened; the file is damaged or cut short, copy it again")
    return capture


def _frames(capture: cv2.VideoCapture, head: bytes, source: str) -> Iterator[Frame]:
    index = 0
    while True:
        try:
            found, image = _next_mpeg(capture, index, source) if head[:3] == b"\0\0\x01" else capture.read()
        except cv2.error as err:
            raise ImageError(f"{source}: frame {index} cannot be decoded; the clip is damaged, copy it again") from err
        if not found:
            return
        gray = colour.to_gray(np.asarray(image, dtype=np.uint8), order=colour.Order.BGR)
        yield Frame(pixels=gray.pixels, source=source, index=index, coloured_fraction=gray.coloured_fraction)
        index += 1


def _next_mpeg(capture: cv2.VideoCapture, index: int, source: str) -> tuple[bool, cv2.typing.MatLike]:
    with native_output.captured(_MPEG_DAMAGE) as words:
        found, image = capture.read()
    if words:
        raise ImageError(
            f"{source}: frame {index}: MPEG data are damaged or cut short: {words[0]}; copy the clip again"
        )
    return found, image


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(12)


def _declared(capture: cv2.VideoCapture, head: bytes) -> int:
    """Return the frame count of a container that stores one; 0 for the others, where it is a guess from duration."""
    stores_count = head[4:8] == b"ftyp" or head[8:12] == b"AVI "
    return _property(capture, cv2.CAP_PROP_FRAME_COUNT) if stores_count else 0


def _check_count(count: int, declared: int, source: str) -> None:
    if count == 0:
        raise ImageError(f"{source}: clip without a frame; the file is damaged or cut short, copy it again")
    if count < declared - _FRAMES_SPARE:
        raise ImageError(f"{source}: expected {declared} frames, got {count}; the clip is cut short, copy it again")


def _property(capture: cv2.VideoCapture, name: int) -> int:
    return int(capture.get(name))
