from __future__ import annotations

import cv2
import numpy as np

from tests.training.inspection.made import described, found, noise


def test_attribute_that_tells_the_label_is_named() -> None:
    pictures = [noise(index, side=8) for index in range(40)]
    devices = tuple("old" if index % 2 else ("new" if index % 4 else None) for index in range(40))
    (one,) = found(described(pictures, attributes={"device": devices}), "attribute-goes-with-label")
    assert one.message == (
        "device goes with the label (Cramer's V 0.99): 100% of the images with 'old' are abnormal, 50% of all"
    )


def test_attribute_spread_evenly_is_not_named() -> None:
    pictures = [noise(index, side=8) for index in range(40)]
    data = described(pictures, attributes={"site": tuple("ab"[index // 2 % 2] for index in range(40))})
    assert found(data, "attribute-goes-with-label") == []


def test_brightness_that_tells_the_label_is_named() -> None:
    pictures = [noise(index, side=24) + np.uint8(40 * (index % 2)) for index in range(40)]
    (one,) = found(described(pictures), "picture-goes-with-label")
    assert one.message == (
        "mean brightness alone tells abnormal from the rest with an area under the curve of 1.00 (higher for abnormal)"
    )


def test_test_images_are_not_asked_what_tells_the_label() -> None:
    pictures = [noise(index, side=24) + np.uint8(40 * (index % 2)) for index in range(40)]
    assert found(described(pictures, splits=["test"] * 40), "picture-goes-with-label") == []


def test_text_on_one_label_is_named() -> None:
    pictures = []
    for index in range(60):
        picture = cv2.GaussianBlur(noise(index, side=128, low=20, high=90), (0, 0), 3)
        if index % 2 and index < 30:
            cv2.putText(picture, "A-P", (10, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1)
        pictures.append(picture)
    (one,) = found(described(pictures), "text-goes-with-label")
    assert one.message == "text is suspected in 50% of the pictures of abnormal and in 0% of the others"
