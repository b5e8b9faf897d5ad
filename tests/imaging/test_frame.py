from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgemed.imaging.frame import Frame

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "three axes": (
        {"pixels": np.zeros((2, 2, 3), np.uint8)},
        "pixels: expected a non-empty (rows, columns) array, got shape (2, 2, 3)",
    ),
    "empty": (
        {"pixels": np.zeros((0, 4), np.uint8)},
        "pixels: expected a non-empty (rows, columns) array, got shape (0, 4)",
    ),
    "float": ({"pixels": np.zeros((2, 2))}, "pixels: expected uint8 or uint16, got float64"),
    "16 bits in uint8": (
        {"pixels": np.zeros((2, 2), np.uint8), "bits": 16},
        "bits: expected one of (8,) for uint8, got 16",
    ),
    "value past its bits": (
        {"pixels": np.full((2, 2), 4096, np.uint16), "bits": 12},
        "pixels: expected values below 2^12, got one above",
    ),
}


@pytest.mark.parametrize(("fields", "message"), WRONG.values(), ids=WRONG)
def test_wrong_frame_is_not_built(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="expected") as refusal:
        Frame(source="test", **fields)
    assert str(refusal.value) == message


def test_pixels_are_read_only() -> None:
    frame = Frame(pixels=np.full((2, 3), 4095, np.uint16), bits=12, source="test")
    with pytest.raises(ValueError, match="read-only"):
        frame.pixels[0, 0] = 1
