from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed import tensors
from edgemed.errors import BundleError, InferenceError
from edgemed.runtime import outputs
from edgemed.tensors import Quantization, TensorSpec

QUANTIZATIONS = st.builds(Quantization, scale=st.floats(2**-20, 2**10, width=32), zero_point=st.integers(-128, 127))
INTEGERS = st.lists(st.tuples(st.integers(-128, 127), st.integers(-128, 127)), min_size=1, max_size=20)


def spec(dtype: str, quantization: Quantization | None = None) -> TensorSpec:
    return TensorSpec(name="logit", shape=(1, 1), dtype=dtype, quantization=quantization)


@given(INTEGERS, QUANTIZATIONS)
def test_between_equal_scales_the_difference_is_that_of_the_integers(
    pairs: list[tuple[int, int]], q: Quantization
) -> None:
    one, other = (np.array(column, np.int8) for column in zip(*pairs, strict=True))

    assert outputs.lsb_apart(tensors.dequantize(one, q), other, q) == max(abs(a - b) for a, b in pairs)


@pytest.mark.parametrize(
    ("real", "lsb"),
    [
        pytest.param(2.0, 0, id="the same"),
        pytest.param(2.01, 1, id="a little more"),
        pytest.param(1.5, 1, id="one LSB less"),
        pytest.param(0.9, 3, id="a little more than two LSB"),
        pytest.param(1e30, 123, id="beyond the range is its upper end"),
        pytest.param(-1e30, 132, id="beyond the range is its lower end"),
    ],
)
def test_real_numbers_differ_in_lsb_of_the_reference_rounded_up(real: float, lsb: int) -> None:
    q = Quantization(scale=0.5, zero_point=0)

    assert outputs.lsb_apart(np.array([[real]]), np.array([[4]], np.int8), q) == lsb


def test_int8_is_read_through_its_scale() -> None:
    read = outputs.reader(spec("int8", Quantization(scale=0.25, zero_point=-4)))

    assert read(np.array([[0]], np.int8)).tolist() == [[1.0]]


def test_float32_is_read_as_it_is() -> None:
    values = np.array([[0.1, -3e38]], np.float32)

    found = outputs.reader(spec("float32"))(values)

    assert (found.dtype, found.tolist()) == (np.float64, values.astype(np.float64).tolist())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_float_answer_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(InferenceError) as caught:
        outputs.reader(spec("float32"))(np.array([[value]], np.float32))

    assert str(caught.value) == "model: output logit: expected finite numbers, got NaN or infinity"


def test_int8_without_a_scale_is_refused() -> None:
    with pytest.raises(BundleError) as caught:
        outputs.reader(spec("int8"))

    assert str(caught.value) == "model: logit: expected one scale and zero point, got none; convert to full int8"
