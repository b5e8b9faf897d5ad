from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.jetson import layout
from converters.jetson.layout import Window

SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=5).map(tuple)


@given(SHAPES)
def test_stored_shape_is_that_of_the_transposed_array(shape: tuple[int, ...]) -> None:
    array = np.zeros(shape)
    moved = array.transpose(layout.TO_IMAGE) if array.ndim == 4 else array
    assert layout.stored(shape) == moved.shape


@given(SHAPES.filter(lambda shape: len(shape) == 4))
def test_order_is_kept_where_a_reshape_does_what_the_transpose_does(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape)).reshape(shape)
    moved = array.transpose(layout.TO_IMAGE)
    same = moved.ravel().tolist() == array.ravel().tolist()
    # A batch above 1 is moved even where it need not be.
    assert same or not layout.keeps_order(shape)
    assert layout.keeps_order(shape) or not same or shape[0] > 1 or 1 in shape


@given(st.permutations(range(4)))
def test_permutation_does_to_the_image_what_tflite_does(order: list[int]) -> None:
    array = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    expected = array.transpose(order).transpose(layout.TO_IMAGE)

    found = array.transpose(layout.TO_IMAGE).transpose(layout.permutation(order))

    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("place", "expected"),
    [(0, 0), (1, 2), (2, 3), (3, 1), (-1, 1)],
    ids=["batch", "height", "width", "depth", "end"],
)
def test_axis_of_an_image_moves(place: int, expected: int) -> None:
    assert layout.axis(place, 4) == expected


@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3))
def test_same_padding_makes_one_output_for_each_stride(size: int, kernel: int, stride: int, dilation: int) -> None:
    window = Window(kernel=(kernel, kernel), stride=(stride, stride), dilation=(dilation, dilation))

    top, left, bottom, right = layout.padding((size, size), window, "SAME")

    extent = (kernel - 1) * dilation + 1
    assert (top, bottom) == (left, right)
    assert 0 <= bottom - top <= 1
    assert (size + top + bottom - extent) // stride + 1 == -(-size // stride)


def test_valid_padding_adds_nothing() -> None:
    assert layout.padding((7, 9), Window(kernel=(3, 3), stride=(2, 2)), "VALID") == (0, 0, 0, 0)
