"""Twenty-five changes that another X-ray unit, viewer or archive may make to a picture; each leaves its label true.

They act on source pictures, before preprocessing, as a device would meet them. Random ones draw from a generator that
name and picture seed, so that every model sees the same pictures.

    changed = shifts.applied("gamma 2", pictures)
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Picture: TypeAlias = NDArray[np.uint8]
Change: TypeAlias = Callable[[Picture, np.random.Generator], Picture]

_LEVELS = np.arange(256) / 255


def applied(name: str, pictures: Sequence[Picture]) -> list[Picture]:
    """Return changed copies; ``clean`` returns the pictures themselves."""
    if name == CLEAN:
        return list(pictures)
    seed = zlib.crc32(name.encode())
    return [CHANGES[name](picture, np.random.default_rng((seed, place))) for place, picture in enumerate(pictures)]


def _levels(curve: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Change:
    table = np.clip(np.rint(curve(_LEVELS) * 255), 0, 255).astype(np.uint8)
    return lambda picture, _: np.asarray(cv2.LUT(picture, table), dtype=np.uint8)


def _crop(rows: float, columns: float) -> Change:
    """Cut this share off each end of the axes and enlarge what is left to the old size."""

    def change(picture: Picture, _: np.random.Generator) -> Picture:
        height, width = picture.shape
        top, left = int(height * rows), int(width * columns)
        return _sized(picture[top : height - top, left : width - left], height, width)

    return change


def _pad(share: float, level: int) -> Change:
    """Reduce the picture and surround it with one level."""

    def change(picture: Picture, _: np.random.Generator) -> Picture:
        height, width = picture.shape
        top, left = int(height * share), int(width * share)
        padded = np.full_like(picture, level)
        padded[top : height - top, left : width - left] = _sized(picture, height - 2 * top, width - 2 * left)
        return padded

    return change


def _collimated(share: float) -> Change:
    """Blacken a strip along each edge."""

    def change(picture: Picture, _: np.random.Generator) -> Picture:
        strip = int(len(picture) * share)
        inside = np.zeros_like(picture)
        inside[strip:-strip, strip:-strip] = picture[strip:-strip, strip:-strip]
        return inside

    return change


def _moved(picture: Picture, rng: np.random.Generator) -> Picture:
    height, width = picture.shape
    signs = rng.choice((-1, 1), size=2)
    matrix = np.array([[1, 0, signs[0] * 0.1 * width], [0, 1, signs[1] * 0.1 * height]], dtype=np.float32)
    return np.asarray(cv2.warpAffine(picture, matrix, (width, height)), dtype=np.uint8)


def _turned(picture: Picture, rng: np.random.Generator) -> Picture:
    height, width = picture.shape
    angle = 10.0 if rng.random() < 0.5 else -10.0
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    return np.asarray(cv2.warpAffine(picture, matrix, (width, height)), dtype=np.uint8)


def _blurred(sigma: float) -> Change:
    return lambda picture, _: np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), dtype=np.uint8)


def _reduced(side: int) -> Change:
    return lambda picture, _: _sized(_sized(picture, side, side), *picture.shape, method=cv2.INTER_LINEAR)


def _jpeg(quality: int) -> Change:
    def change(picture: Picture, _: np.random.Generator) -> Picture:
        _, raw = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.asarray(cv2.imdecode(raw, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)

    return change


def _noisy(deviation: float) -> Change:
    return lambda picture, rng: np.clip(
        np.rint(picture + rng.standard_normal(picture.shape) * deviation), 0, 255
    ).astype(np.uint8)


def _equalized_by_tiles(picture: Picture, _: np.random.Generator) -> Picture:
    return np.asarray(cv2.createCLAHE(4.0, (8, 8)).apply(picture), dtype=np.uint8)


def _equalized(picture: Picture, _: np.random.Generator) -> Picture:
    return np.asarray(cv2.equalizeHist(picture), dtype=np.uint8)


def _sharpened(picture: Picture, _: np.random.Generator) -> Picture:
    return np.asarray(cv2.addWeighted(picture, 2.5, cv2.GaussianBlur(picture, (0, 0), 2), -1.5, 0), dtype=np.uint8)


def _lettered(picture: Picture, rng: np.random.Generator) -> Picture:
    picture = picture.copy()
    height, width = picture.shape
    for _ in range(3):
        words = "".join(rng.choice(list("RLAPMTSX0123456789"), size=int(rng.integers(1, 8))))
        place = (int(rng.uniform(0, 0.67) * width), int(rng.choice([0.09, 0.18, 0.89, 0.96]) * height))
        size = float(rng.uniform(0.4, 1.0)) * height / 224
        cv2.putText(picture, words, place, cv2.FONT_HERSHEY_SIMPLEX, size, 255, int(rng.integers(1, 3)), cv2.LINE_AA)
    return picture


def _shaded(picture: Picture, rng: np.random.Generator) -> Picture:
    height, width = picture.shape
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    field = 1 + 0.4 * (np.cos(angle) * columns + np.sin(angle) * rows)
    return np.clip(picture * field, 0, 255).astype(np.uint8)


def _sized(picture: Picture, height: int, width: int, *, method: int = cv2.INTER_AREA) -> Picture:
    return np.asarray(cv2.resize(picture, (width, height), interpolation=method), dtype=np.uint8)


CLEAN = "clean"

CHANGES: Mapping[str, Change] = {
    "gamma 0.5": _levels(lambda g: g**0.5),
    "gamma 2": _levels(lambda g: g**2),
    "low contrast": _levels(lambda g: 0.3 + 0.4 * g),
    "over-exposed": _levels(lambda g: 1.5 * g),
    "under-exposed": _levels(lambda g: 1.3 * g - 0.4),
    "s-curve": _levels(lambda g: 1 / (1 + np.exp(-9 * (g - 0.5)))),
    "inverse s-curve": _levels(lambda g: 0.5 + np.sign(g - 0.5) * 0.5 * np.abs(2 * g - 1) ** 1.8),
    "crop 0.10": _crop(0.10, 0.10),
    "crop 0.15": _crop(0.15, 0.15),
    "padded black 0.10": _pad(0.10, 0),
    "padded white 0.06": _pad(0.06, 255),
    "collimated 0.08": _collimated(0.08),
    "wider 1.25": _crop(0.0, 0.1),
    "taller 1.25": _crop(0.1, 0.0),
    "moved 0.1": _moved,
    "turned 10": _turned,
    "blur 1.5": _blurred(1.5),
    "96 px": _reduced(96),
    "JPEG 15": _jpeg(15),
    "noise 12": _noisy(12.0),
    "CLAHE 4": _equalized_by_tiles,
    "equalized": _equalized,
    "unsharp 1.5": _sharpened,
    "letters": _lettered,
    "shading": _shaded,
}

#: Every condition of the battery, the unchanged pictures first.
NAMES = (CLEAN, *CHANGES)
