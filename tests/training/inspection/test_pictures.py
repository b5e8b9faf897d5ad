from __future__ import annotations

import cv2
import numpy as np

from edgemed.imaging.frame import Frame
from edgemed.training.inspection import Severity, inspect
from tests.training.inspection.made import described, found, noise, of_kind


def test_unreadable_image_is_an_error_and_does_not_stop_the_others() -> None:
    checked = inspect(described([noise(0), None, noise(1)]))
    (one,) = of_kind(checked, "unreadable")
    assert (one.severity, one.images) == (Severity.ERROR, (3,))
    assert one.message == "1 of 3 images cannot be read"
    assert (checked.document.images, checked.document.readable) == (3, 2)
    assert checked.subject.traits.faults == {1: "secret-1.png: PNG cannot be decoded"}


def test_blank_picture_is_found() -> None:
    (one,) = found(described([noise(0), np.full((40, 40), 9, np.uint8)]), "blank")
    assert (one.images, one.message) == ((3,), "1 picture of almost one grey level")


def test_coloured_picture_is_found() -> None:
    coloured = Frame(pixels=noise(1), source="x", coloured_fraction=0.2)
    (one,) = found(described([noise(0), coloured]), "coloured")
    assert (one.images, one.message) == ((3,), "1 picture with more than 1% of the pixels coloured")


def test_sizes_and_depths_are_counted_and_mixtures_named() -> None:
    deep = Frame(pixels=noise(2).astype(np.uint16) * 16, source="x", bits=12)
    checked = inspect(described([noise(0), noise(1)[:20], deep]))
    assert checked.document.sizes == {"40x40": 2, "40x20": 1}
    assert checked.document.bits == {"8": 2, "12": 1}
    assert of_kind(checked, "sizes")[0].message == (
        "pictures have 2 sizes, sides from 20 to 40 pixels, height over width from 0.50 to 1.00"
    )
    assert of_kind(checked, "depths")[0].message == "pictures have 8 (2) and 12 (1) bits"


def test_text_in_the_pixels_and_in_the_header_is_suspected() -> None:
    written = cv2.GaussianBlur(noise(0, side=160, low=20, high=90), (0, 0), 3)
    cv2.putText(written, "DOE 1954", (30, 90), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1)
    data = described([noise(1), written, noise(2)], attributes={"burned_in": (None, "NO", "YES")})
    (one,) = found(data, "text")
    assert one.images == (3, 4)
    assert one.message == "text is suspected in the pixels of 1 picture, and the header says so for 1"
