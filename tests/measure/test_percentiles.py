from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed import measure


def covering(n: int, share: float, low: int, high: int) -> float:
    """Return P(low <= B < high) of a binomial by plain Python: how often the ranks enclose the quantile."""
    import math

    return sum(math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(low, high))


@pytest.mark.parametrize(("n", "share"), [(6, 0.5), (50, 0.5), (50, 0.9), (1000, 0.99)], ids=str)
def test_ranks_enclose_the_quantile_with_95_percent(n: int, share: float) -> None:
    ranks = measure.order_interval(n, share)
    assert ranks is not None
    low, high = ranks
    assert covering(n, share, low, high) >= 0.95
    # Each end is as tight as its 2.5 % allow.
    assert covering(n, share, 0, low + 1) > 0.025
    assert covering(n, share, high - 1, n + 1) > 0.025


def test_intervals_cover_the_true_median_of_simulated_times(rng: np.random.Generator) -> None:
    drawn = [measure.distribution(rng.exponential(1.0, 60)).p50_ci95 for _ in range(400)]
    hit = sum(one is not None and one[0] <= np.log(2) <= one[1] for one in drawn)
    assert hit >= 0.93 * 400


def test_too_few_samples_have_no_interval() -> None:
    assert measure.order_interval(5, 0.5) is None
    assert measure.order_interval(0, 0.5) is None
    assert measure.order_interval(20, 0.99) is None


def test_one_sample_is_its_own_median_without_an_interval() -> None:
    found = measure.distribution([5.0])
    assert (found.n, found.p50, found.p50_ci95, found.p90, found.p99, found.max) == (1, 5.0, None, 5.0, None, 5.0)


def test_no_sample_gives_nothing() -> None:
    found = measure.distribution([])
    assert (found.n, found.p50, found.p90, found.p99, found.max) == (0, None, None, None, None)


def test_p99_is_given_from_1000_samples_on() -> None:
    assert measure.distribution(np.arange(999)).p99 is None
    assert measure.distribution(np.arange(1000)).p99 == pytest.approx(989.01)
    assert measure.distribution(np.arange(1000)).p99_ci95 == (982.0, 996.0)


@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=60))
def test_no_sample_is_left_out_and_order_does_not_count(values: list[float]) -> None:
    found = measure.distribution(values)
    assert found.n == len(values)
    assert found.max == round(max(values), 4)
    assert found == measure.distribution(values[::-1])


def test_negative_time_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"^samples_ms: expected finite times of at least 0$"):
        measure.distribution([1.0, -0.1])


def test_limit_is_exceeded_by_two_of_twenty_and_not_by_one() -> None:
    assert measure.exceeds(2, 20)
    assert not measure.exceeds(1, 20)
    assert not measure.exceeds(0, 20)
    assert measure.exceeds(1, 1, share=0.99)
