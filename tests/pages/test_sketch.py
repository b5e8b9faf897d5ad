from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgemed.pages.sketch import BLUE, Scale, Sketch, ticks


def sketch() -> Sketch:
    made = Sketch(width=60, height=40)
    made.box(10, 10, 20, 20, colour=BLUE)
    made.line([(0, 5), (59, 5)], dashed=True)
    made.words(30, 36, "a < b")
    return made


def test_svg_escapes_words_and_is_the_same_each_time() -> None:
    text = sketch().svg()
    assert "a &lt; b" in text
    assert text == sketch().svg()


def test_png_has_the_box_where_it_was_put() -> None:
    pixels = cv2.imdecode(np.frombuffer(sketch().png(), np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert pixels.shape == (80, 120, 3)
    assert tuple(pixels[40, 40]) == (0xB2, 0x72, 0x00)
    assert tuple(pixels[70, 10]) == (255, 255, 255)


def test_scale_maps_ends_to_ends_and_one_value_to_the_middle() -> None:
    scale = Scale(low=2.0, high=4.0, start=100, end=0)
    assert (scale(2.0), scale(4.0), scale(3.0)) == (100, 0, 50)
    assert Scale(low=1.0, high=1.0, start=0, end=10)(1.0) == 5.0


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.0, 10.0, [0, 2, 4, 6, 8, 10]), (0.9, 1.1, [0.9, 0.95, 1.0, 1.05, 1.1]), (3.0, 3.0, [3.0])],
    ids=["tens", "around-one", "nothing"],
)
def test_ticks_are_round_and_within(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)
