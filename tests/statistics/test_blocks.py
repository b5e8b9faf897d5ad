from __future__ import annotations

import numpy as np
import pytest

from edgemed.statistics import blocks


def autocorrelated(rng: np.random.Generator, n: int, memory: float) -> np.ndarray:
    """Return times of median 10 whose logs follow an AR(1) of standard deviation 0.05."""
    noise = rng.normal(0.0, 0.05 * np.sqrt(1 - memory**2), n)
    logs = np.zeros(n)
    for place in range(1, n):
        logs[place] = memory * logs[place - 1] + noise[place]
    return 10.0 * np.exp(logs)


def test_blocks_are_longer_the_longer_times_depend_on_each_other(rng: np.random.Generator) -> None:
    lengths = [blocks.block_length(autocorrelated(rng, 1000, memory)) for memory in (0.0, 0.7, 0.95)]
    assert lengths[0] < lengths[1] < lengths[2] <= 100


def test_constant_times_have_short_blocks() -> None:
    assert blocks.block_length(np.full(1000, 5.0)) == 10


def test_interval_covers_one_for_the_same_autocorrelated_process(rng: np.random.Generator) -> None:
    hit = 0
    for _ in range(40):
        one, other = (autocorrelated(rng, 400, 0.7) for _ in range(2))
        drawn = blocks.log_median_ratio(one, other, rng=rng, resamples=200)
        assert drawn is not None
        low, high = np.percentile(drawn, (2.5, 97.5))
        hit += low <= 0.0 <= high
    # Single draws instead of blocks cover 25 of 40 here.
    assert hit >= 33


def test_medians_of_columns_are_drawn_together(rng: np.random.Generator) -> None:
    column = rng.lognormal(0.0, 0.3, 200)
    drawn = blocks.medians(np.stack([column, 3.0 * column], axis=1), rng=rng, resamples=50)
    assert drawn.shape == (50, 2)
    assert drawn[:, 1] == pytest.approx(3.0 * drawn[:, 0])


def test_few_samples_have_no_ratio(rng: np.random.Generator) -> None:
    assert blocks.log_median_ratio(np.ones(39), np.ones(100), rng=rng) is None
