from __future__ import annotations

import cv2
import numpy as np

from edgemed.training.inspection import inspect, sheet
from tests.training.inspection.made import described, noise


def _sheet(raw: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR)


def test_every_finding_with_pictures_has_its_section() -> None:
    pictures = [noise(0), noise(1), noise(0), noise(2), noise(3), np.full((40, 40), 8, np.uint8)]
    data = described(pictures, labels=["normal"] * 6, splits=["train", "train", "val", "val", "test", "test"])
    few = _sheet(sheet.png(inspect(described(pictures[:2]))))
    picture = _sheet(sheet.png(inspect(data)))
    assert picture.shape[1] == few.shape[1]
    # Repeated across splits, near, near across splits, and the blank one; each a heading and a row.
    assert picture.shape[0] - few.shape[0] == 4 * (34 + 144)


def test_pictures_of_a_pair_stand_side_by_side() -> None:
    data = described([noise(0), noise(1), noise(0)], labels=["normal"] * 3)
    picture = _sheet(sheet.png(inspect(data)))
    tile = picture[190 + 34 : 190 + 34 + 120]
    assert np.array_equal(tile[:, 8:128], tile[:, 132:252])


def test_picture_that_is_gone_since_leaves_a_gray_tile() -> None:
    pictures: list[np.ndarray[tuple[int, int], np.dtype[np.uint8]] | None] = [noise(0), noise(1)]
    checked = inspect(described(pictures))
    pictures[:] = [None, None]
    picture = _sheet(sheet.png(checked))
    assert (picture[190 + 34 + 10, 20] == 128).all()


def test_set_without_a_readable_picture_has_a_sheet_too() -> None:
    assert _sheet(sheet.png(inspect(described([None, None])))).shape[0] == 190
