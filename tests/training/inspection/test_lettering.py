from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgemed.imaging import readers
from edgemed.imaging.frame import Frame
from edgemed.training.inspection import lettering


def _tissue(seed: int, side: int = 256) -> NDArray[np.uint8]:
    """Return speckle such as ultrasound has, smooth at the scale of a few pixels."""
    rng = np.random.default_rng(seed)
    return cv2.GaussianBlur(rng.integers(0, 200, (side, side)).astype(np.uint8), (0, 0), 2.5)


def _frame(pixels: NDArray[np.uint8]) -> Frame:
    return Frame(pixels=pixels, source="x")


@pytest.mark.parametrize("size", [0.35, 0.5, 0.8])
@pytest.mark.parametrize("words", ["LT AXILLA", "RT2", "DOE 1954-03-01"])
def test_bright_words_are_suspected_where_they_stand(words: str, size: float) -> None:
    pixels = _tissue(1)
    cv2.putText(pixels, words, (20, 150), cv2.FONT_HERSHEY_SIMPLEX, size, 250, 1)
    found = lettering.boxes(_frame(pixels))
    assert len(found) >= 2
    assert all(15 <= box.left < 256 and 120 <= box.top <= 152 for box in found)


@pytest.mark.parametrize("seed", range(20))
def test_tissue_and_a_bright_disc_are_no_words(seed: int) -> None:
    pixels = _tissue(seed)
    cv2.circle(pixels, (128, 100), 30, 240, -1)
    assert lettering.boxes(_frame(pixels)) == ()


def test_sixteen_bits_are_read_like_eight() -> None:
    pixels = _tissue(2)
    cv2.putText(pixels, "RT UOQ", (20, 150), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 250, 1)
    deep = Frame(pixels=pixels.astype(np.uint16) * 256, source="x", bits=16)
    assert lettering.boxes(deep) == lettering.boxes(_frame(pixels)) != ()


def test_large_picture_is_reduced_and_its_boxes_are_in_its_own_pixels() -> None:
    pixels = np.full((2000, 2600), 30, np.uint8)
    cv2.putText(pixels, "NAME", (1000, 900), cv2.FONT_HERSHEY_SIMPLEX, 2.0, 250, 5)
    found = lettering.boxes(_frame(pixels))
    assert found and all(980 <= box.left <= 1250 and 820 <= box.top <= 910 for box in found)


def test_small_pictures_are_not_looked_at() -> None:
    pixels = np.zeros((40, 90), np.uint8)
    cv2.putText(pixels, "NAME", (5, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1)
    assert lettering.boxes(_frame(pixels)) == ()


@pytest.mark.slow
def test_burned_in_details_of_the_test_patient_are_suspected(shared_data: Path) -> None:
    frame = next(readers.read(shared_data / "dicom" / "us_gray_burned_in_phi.dcm"))
    assert len(lettering.boxes(frame)) >= 10
