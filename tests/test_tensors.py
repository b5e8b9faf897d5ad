"""Quantize, dequantize and the input table, against the formula in exact rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed import tensors
from edgemed.tensors import Quantization

quantizations = st.builds(Quantization, scale=st.floats(2**-20, 2**10, width=32), zero_point=st.integers(-128, 127))
finite = st.floats(-1e6, 1e6, width=32)


def exact(value: float, q: Quantization) -> int:
    """The formula in rational arithmetic on the float64 quotient, ties away from zero."""
    quotient = Fraction(value / q.scale)
    rounded = math.floor(abs(quotient) + Fraction(1, 2))
    return max(-128, min(127, (rounded if quotient >= 0 else -rounded) + q.zero_point))


@given(st.lists(finite, min_size=1, max_size=20), quantizations)
def test_quantize_equals_the_formula(values: list[float], q: Quantization) -> None:
    expected = [exact(value, q) for value in values]
    assert tensors.quantize(np.array(values), q).tolist() == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(0.5, 1, id="half up"),
        pytest.param(-0.5, -1, id="half down"),
        pytest.param(1.5, 2, id="one and a half"),
        pytest.param(2.5, 3, id="not to even"),
        pytest.param(-2.5, -3, id="negative, not to even"),
        pytest.param(1e9, 127, id="saturates high"),
        pytest.param(-1e9, -128, id="saturates low"),
    ],
)
def test_ties_go_away_from_zero_and_ends_saturate(value: float, expected: int) -> None:
    q = Quantization(scale=1.0, zero_point=0)
    assert tensors.quantize(np.array([value]), q).tolist() == [expected]


@given(st.integers(-128, 127), quantizations)
def test_integer_survives_the_round_trip(integer: int, q: Quantization) -> None:
    given_integer = np.array([integer], np.int8)
    assert tensors.quantize(tensors.dequantize(given_integer, q), q).tolist() == [integer]


@given(st.floats(0.0, 1.0), quantizations)
def test_error_inside_the_range_is_at_most_half_a_scale(share: float, q: Quantization) -> None:
    low, high = (-128 - q.zero_point) * q.scale, (127 - q.zero_point) * q.scale
    value = low + share * (high - low)
    back = tensors.dequantize(tensors.quantize(np.array([value]), q), q)[0]
    assert abs(back - value) <= q.scale / 2 * (1 + 1e-9)


@given(st.lists(finite, min_size=2, max_size=20), quantizations)
def test_order_is_kept(values: list[float], q: Quantization) -> None:
    quantized = tensors.quantize(np.sort(values), q).astype(int)
    assert (np.diff(quantized) >= 0).all()


def test_dequantize_widens_before_it_subtracts() -> None:
    q = Quantization(scale=0.5, zero_point=127)
    assert tensors.dequantize(np.array([-128], np.int8), q).tolist() == [-127.5]


@given(quantizations)
def test_input_table_equals_quantize_of_every_grey_level(q: Quantization) -> None:
    table = tensors.input_table(q)
    assert table.dtype == np.int8
    assert table.tolist() == [exact(level, q) for level in range(256)]


def test_input_table_cannot_be_changed() -> None:
    table = tensors.input_table(Quantization(scale=1.0, zero_point=-128))
    with pytest.raises(ValueError, match="read-only"):
        table[0] = 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=["nan", "inf", "minus-inf"])
def test_value_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValueError) as caught:
        tensors.quantize(np.array([0.0, value]), Quantization(scale=1.0, zero_point=0))
    assert str(caught.value) == "values: expected finite numbers, got NaN or infinity"


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf], ids=["zero", "negative", "nan", "inf"])
def test_scale_that_is_not_positive_is_refused(scale: float) -> None:
    with pytest.raises(ValueError) as caught:
        Quantization(scale=scale, zero_point=0)
    assert str(caught.value) == f"scale: expected a finite number above 0, got {scale!r}"


@pytest.mark.parametrize("zero_point", [-129, 128], ids=["below", "above"])
def test_zero_point_outside_int8_is_refused(zero_point: int) -> None:
    with pytest.raises(ValueError) as caught:
        Quantization(scale=1.0, zero_point=zero_point)
    assert str(caught.value) == f"zero_point: expected -128..127, got {zero_point}"
