from __future__ import annotations

import numpy as np
import pytest

from edgemed.imaging.frame import Frame
from edgemed.imaging.frozen import Frozen


def frame(level: int, shape: tuple[int, int] = (8, 8)) -> Frame:
    return Frame(pixels=np.full(shape, level, np.uint8), source="test")


def test_stands_still_for_as_long_as_allowed_and_no_longer() -> None:
    gate = Frozen(max_frames=3)
    found = [gate.reasons(frame(5)) for _ in range(5)]
    assert [bool(reasons) for reasons in found] == [False, False, False, True, True]
    assert found[3] == (
        "frozen: 4 identical frames in a row, at most 3 allowed; unfreeze the picture, or check the cable",
    )


def test_another_picture_begins_anew() -> None:
    gate = Frozen(max_frames=1)
    assert gate.reasons(frame(5)) == ()
    assert gate.reasons(frame(5)) != ()
    assert gate.reasons(frame(6)) == ()
    assert gate.reasons(frame(6, (4, 16))) == ()


def test_one_pixel_is_a_difference() -> None:
    gate, pixels = Frozen(max_frames=1), np.zeros((300, 400), np.uint8)
    gate.reasons(Frame(pixels=pixels, source="test"))
    changed = pixels.copy()
    changed[123, 301] = 1
    assert gate.reasons(Frame(pixels=changed, source="test")) == ()


def test_part_of_a_larger_array_is_compared_by_its_pixels() -> None:
    gate, large = Frozen(max_frames=1), np.arange(64, dtype=np.uint8).reshape(8, 8)
    gate.reasons(Frame(pixels=large[:, ::2], source="test"))
    assert gate.reasons(Frame(pixels=large[:, ::2].copy(), source="test")) != ()


def test_no_frames_at_all_cannot_be_asked_for() -> None:
    with pytest.raises(ValueError, match="max_frames: expected at least 1, got 0"):
        Frozen(max_frames=0)
