from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from edgemed.errors import EdgemedError, ImageError
from edgemed.imaging import arrays
from edgemed.imaging.frame import Frame

ACCEPTED = "uint8 or uint16 of shape (rows, columns) or (frames, rows, columns), or uint8 of shape (rows, columns, 3)"
SCALE = "scale it to 0..65535 by its known black and white, then save it as uint16"


def saved(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.dtype(">u2")]),
        hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=6).filter(lambda s: len(s) == 2 or s[2] != 3),
    )
)
def test_saved_frames_come_back(array: NDArray[Any]) -> None:
    frames = list(arrays.decode(saved(array), source="a.npy"))
    stack = array if array.ndim == 3 else array[np.newaxis]
    assert [frame.index for frame in frames] == list(range(len(stack)))
    for frame, expected in zip(frames, stack, strict=True):
        np.testing.assert_array_equal(frame.pixels, expected)
        assert frame.bits == 8 * array.dtype.itemsize


def test_columns_first_comes_back_too(rng: np.random.Generator) -> None:
    array = np.asfortranarray(rng.integers(0, 256, (4, 5), dtype=np.uint8))
    (frame,) = arrays.decode(saved(array), source="a.npy")
    np.testing.assert_array_equal(frame.pixels, array)


def test_colour_becomes_gray_and_is_counted() -> None:
    array = np.full((4, 5, 3), 90, np.uint8)
    array[:2, :, 0] = 200
    (frame,) = arrays.decode(saved(array), source="a.npy")
    assert frame.pixels.shape == (4, 5)
    assert frame.coloured_fraction == 0.5


REFUSED = {
    "NaN": (saved(np.full((4, 4), np.nan)), f"expected {ACCEPTED}, got float64; {SCALE}"),
    "signed": (saved(np.zeros((4, 4), np.int16)), f"expected {ACCEPTED}, got int16; {SCALE}"),
    "objects": (saved(np.array([[{}]], object)), f"expected {ACCEPTED}, got object; {SCALE}"),
    "one axis": (saved(np.zeros(4, np.uint8)), f"expected {ACCEPTED}, got shape (4,); save one picture or one stack"),
    "no pixel": (
        saved(np.zeros((0, 4), np.uint8)),
        f"expected {ACCEPTED}, got shape (0, 4); save one picture or one stack",
    ),
    "negative sides": (
        saved(np.zeros((2, 2), np.uint8)).replace(b"(2, 2), }    ", b"(-2, -2), }  "),
        f"expected {ACCEPTED}, got shape (-2, -2); save one picture or one stack",
    ),
    "cut short": (
        saved(np.zeros((4, 4), np.uint8))[:-3],
        "expected 16 bytes of pixels, got 13; the file is damaged, copy it again",
    ),
    "header cut short": (
        saved(np.zeros((4, 4), np.uint8))[:40],
        "NPY header cannot be read; the file is damaged, save the array again",
    ),
    "format 3": (
        saved(np.zeros((4, 4), np.uint8)).replace(b"NUMPY\1", b"NUMPY\3"),
        "expected NPY format 1.0 or 2.0, got 3.0; save the array again",
    ),
}


@pytest.mark.parametrize(("raw", "message"), REFUSED.values(), ids=REFUSED)
def test_wrong_array_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(ImageError) as refusal:
        list(arrays.decode(raw, source="a.npy"))
    assert str(refusal.value) == f"a.npy: {message}"


def test_huge_claim_is_refused_before_anything_is_made() -> None:
    raw = saved(np.zeros((2, 2), np.uint8)).replace(b"(2, 2), }    ", b"(99999, 9999)}")
    with pytest.raises(ImageError, match="expected 999890001 bytes of pixels, got"):
        list(arrays.decode(raw, source="a.npy"))


@given(st.binary(max_size=300).map(lambda tail: b"\x93NUMPY\1\0" + tail))
def test_any_bytes_give_frames_or_an_error(raw: bytes) -> None:
    try:
        frames = list(arrays.decode(raw, source="a.npy"))
    except EdgemedError:
        return
    assert all(isinstance(frame, Frame) for frame in frames)


@given(place=st.integers(0, 143), byte=st.integers(0, 255))
def test_any_changed_byte_gives_frames_or_an_error(place: int, byte: int) -> None:
    raw = bytearray(saved(np.arange(16, dtype=np.uint8).reshape(4, 4)))
    raw[place] = byte
    try:
        frames = list(arrays.decode(bytes(raw), source="a.npy"))
    except EdgemedError:
        return
    assert all(isinstance(frame, Frame) for frame in frames)
