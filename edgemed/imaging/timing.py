"""The time from frame to frame that a recording states.

interval_ms = timing.frame_interval_ms(Path("lung.mp4")) or timing.ASSUMED_MS
"""

from __future__ import annotations

import math
from pathlib import Path

from edgemed.errors import ImageError
from edgemed.imaging import header
from edgemed.imaging.header import Format

__all__ = ["ASSUMED_MS", "frame_interval_ms"]

ASSUMED_MS = 1000.0 / 30.0
"""For a recording that does not say: 30 frames a second, what ultrasound units usually store."""

_SNIFFED_BYTES = 132
_RANGE_MS = (0.1, 3_600_000.0)


def frame_interval_ms(path: Path) -> float | None:
    """Return the milliseconds from frame to frame; None where the file does not say, or cannot be read.

    Of a clip it is its mean frame rate. Of a DICOM file it is FrameTime, else CineRate, else
    RecommendedDisplayFrameRate (PS3.3 C.7.6.5); FrameTimeVector is not read.
    """
    try:
        with path.open("rb") as stream:
            kind = header.sniff(stream.read(_SNIFFED_BYTES))
    except OSError:
        return None  # who reads the frames says why
    if kind is Format.CLIP:
        return _of_clip(path)
    return _of_dicom(path) if kind is Format.DICOM else None


def _of_clip(path: Path) -> float | None:
    import cv2

    capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG)
    try:
        fps = capture.get(cv2.CAP_PROP_FPS)
    finally:
        capture.release()
    return _plausible(1000.0 / fps) if fps > 0.0 else None


def _of_dicom(path: Path) -> float | None:
    from edgemed.imaging import dicom

    rates = ("CineRate", "RecommendedDisplayFrameRate")
    try:
        found = dicom.header(path, source=str(path), keywords=("FrameTime", *rates))
    except ImageError:
        return None  # who reads the frames says why
    if (interval_ms := _number(found.get("FrameTime"))) is not None:
        return _plausible(interval_ms)
    rate = next((rate for name in rates if (rate := _number(found.get(name)))), None)
    return None if rate is None else _plausible(1000.0 / rate)


def _number(text: str | None) -> float | None:
    """Return a decimal string above 0."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0.0 else None


def _plausible(interval_ms: float) -> float | None:
    return interval_ms if _RANGE_MS[0] <= interval_ms <= _RANGE_MS[1] else None
