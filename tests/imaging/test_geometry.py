from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgemed.imaging import geometry
from edgemed.imaging.steps import Resize

SIDES = st.integers(1, 300)


def linear_reference(pixels: NDArray[np.float64], out: int, axis: int) -> NDArray[np.float64]:
    """Interpolate along one axis at pixel centres, edges repeated, in float64."""
    side = pixels.shape[axis]
    place = np.clip((np.arange(out) + 0.5) * side / out - 0.5, 0, side - 1)
    left = np.floor(place).astype(int)
    right = np.minimum(left + 1, side - 1)
    shape = [1, 1]
    shape[axis] = out
    weight = (place - left).reshape(shape)
    return np.take(pixels, left, axis) * (1 - weight) + np.take(pixels, right, axis) * weight


def round_half_up(value: Fraction) -> int:
    return int((value + Fraction(1, 2)) // 1)


@given(rows=SIDES, columns=SIDES, fraction=st.integers(0, 4500).map(lambda n: n / 10_000))
def test_crop_removes_the_floor_of_the_fraction_on_each_side(rows: int, columns: int, fraction: float) -> None:
    pixels = np.zeros((rows, columns), np.uint8)
    cropped = geometry.crop_border(pixels, fraction)
    exact = Fraction(round(fraction * 10_000), 10_000)
    assert cropped.shape == (rows - 2 * int(rows * exact // 1), columns - 2 * int(columns * exact // 1))
    assert cropped.size > 0


def test_crop_of_0_29_of_a_hundred_pixels_is_29() -> None:
    # 0.29 * 100 is 28.999999999999996 in floating point.
    assert geometry.crop_border(np.zeros((100, 100), np.uint8), 0.29).shape == (42, 42)


@given(rows=SIDES, columns=SIDES, height=st.integers(8, 64), width=st.integers(8, 64))
def test_fitted_size_keeps_proportions_and_touches_one_side(rows: int, columns: int, height: int, width: int) -> None:
    scale = min(Fraction(height, rows), Fraction(width, columns))
    expected = (max(1, round_half_up(rows * scale)), max(1, round_half_up(columns * scale)))
    assert geometry.fitted_size(rows, columns, height=height, width=width) == expected
    assert expected[0] == height or expected[1] == width


@pytest.mark.parametrize("method", ["area", "linear"])
@given(rows=SIDES, columns=SIDES)
def test_constant_picture_stays_constant(method: str, rows: int, columns: int) -> None:
    pixels = np.full((rows, columns), 137, np.uint8)
    plane = geometry.resize(pixels, Resize(method=method, fit="stretch"), height=24, width=31)
    assert plane.shape == (24, 31)
    assert (plane == 137).all()


@given(rows=SIDES, columns=SIDES)
def test_letterbox_is_centred_on_black(rows: int, columns: int) -> None:
    pixels = np.full((rows, columns), 9, np.uint8)
    plane = geometry.resize(pixels, Resize(method="linear", fit="letterbox"), height=40, width=56)
    inner = geometry.fitted_size(rows, columns, height=40, width=56)
    expected = np.zeros((40, 56), np.uint8)
    top, left = (40 - inner[0]) // 2, (56 - inner[1]) // 2
    expected[top : top + inner[0], left : left + inner[1]] = 9
    np.testing.assert_array_equal(plane, expected)


@pytest.mark.parametrize(
    ("rows", "columns"), {"both axes": (96, 93), "rows only": (72, 31), "columns only": (24, 155)}.values()
)
def test_area_by_an_integer_factor_is_the_mean_of_each_box(rng: np.random.Generator, rows: int, columns: int) -> None:
    pixels = rng.integers(0, 256, (rows, columns), dtype=np.uint8)
    plane = geometry.resize(pixels, Resize(method="area", fit="stretch"), height=24, width=31)
    k, m = rows // 24, columns // 31
    sums = pixels.reshape(24, k, 31, m).astype(np.int64).sum(axis=(1, 3))
    # At most half a level from the exact mean, in integers.
    assert (2 * np.abs(plane.astype(np.int64) * (k * m) - sums) <= k * m).all()


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(20, 90), columns=st.integers(20, 90))
def test_area_by_any_factor_is_linear_then_box_mean(seed: int, rows: int, columns: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (rows, columns), dtype=np.uint8)
    k, m = max(1, round_half_up(Fraction(rows, 16))), max(1, round_half_up(Fraction(columns, 12)))
    grown = linear_reference(linear_reference(pixels.astype(np.float64), 16 * k, 0), 12 * m, 1)
    expected = grown.reshape(16, k, 12, m).mean(axis=(1, 3))
    plane = geometry.resize(pixels, Resize(method="area", fit="stretch"), height=16, width=12)
    # Weights of 8 bits on two axes, and two roundings.
    assert np.abs(plane - expected).max() <= 1.5


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(2, 60), columns=st.integers(2, 60))
def test_linear_interpolates_between_pixel_centres(seed: int, rows: int, columns: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (rows, columns), dtype=np.uint8)
    plane = geometry.resize(pixels, Resize(method="linear", fit="stretch"), height=33, width=20)
    expected = linear_reference(linear_reference(pixels.astype(np.float64), 33, 0), 20, 1)
    assert np.abs(plane - expected).max() <= 1.5


def test_view_of_a_larger_picture_resizes_as_its_copy_does(rng: np.random.Generator) -> None:
    view = rng.integers(0, 256, (200, 300), dtype=np.uint8)[31:170, 17:251]
    step = Resize(method="area", fit="letterbox")
    np.testing.assert_array_equal(
        geometry.resize(view, step, height=64, width=64), geometry.resize(view.copy(), step, height=64, width=64)
    )
