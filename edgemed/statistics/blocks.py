"""The moving-block bootstrap: intervals for the median of times that follow each other and depend on each other.

    drawn = log_median_ratio(before, after, rng=np.random.default_rng(0))
    low, high = np.exp(np.percentile(drawn, (2.5, 97.5)))

Times of a loop are autocorrelated (a frequency, a neighbour, a cache last for many samples): drawing single samples
would call everything significant. Whole blocks keep what lasts within them.

Source: Künsch, "The Jackknife and the Bootstrap for General Stationary Observations", Annals of Statistics 17 (1989);
Lahiri, Resampling Methods for Dependent Data (2003), section 2.5.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["FEWEST", "block_length", "log_median_ratio", "medians"]

FEWEST = 40
"""Samples below which blocks are too few to say anything."""

_RESAMPLES = 1000
_FEWEST_BLOCKS = 10
_LONGEST_LAG = 0.1  # of the samples
_BLOCK = 4.0  # times as long as ranks stay correlated


def block_length(values: ArrayLike) -> int:
    """Return how many samples a block should have: 4 times as long as ranks stay correlated, at least n^(1/3).

    Args:
        values: (n,), n >= 2; at most n / 10 is returned, so that there are blocks to draw.
    """
    given = np.asarray(values, np.float64)
    n = given.size
    # Ranks, ties alike: one stall must not pass for independence.
    ranks = np.unique(given, return_inverse=True)[1].reshape(n).astype(np.float64)
    centred = ranks - ranks.mean()
    variance = float(centred @ centred)
    time = 1.0
    for lag in range(1, max(2, int(_LONGEST_LAG * n))):
        correlation = float(centred[:-lag] @ centred[lag:]) / variance if variance else 0.0
        # Below its own noise (two standard deviations of white noise) it is none.
        if correlation < 2.0 / np.sqrt(n):
            break
        time += 2.0 * correlation
    return int(np.clip(round(max(_BLOCK * time, n ** (1 / 3))), 1, max(1, n // _FEWEST_BLOCKS)))


def medians(
    columns: NDArray[np.float64], *, rng: np.random.Generator, resamples: int = _RESAMPLES
) -> NDArray[np.float64]:
    """Return (R, k): the median of each column in each resample; columns are drawn together, row by row.

    Args:
        columns: (n, k), n >= 2; rows in time order.
        rng: seeded by the caller.
        resamples: R.
    """
    n = len(columns)
    length = max(block_length(column) for column in columns.T)
    per = -(-n // length)
    starts = rng.integers(0, n - length + 1, size=(resamples, per))
    rows = (starts[:, :, None] + np.arange(length)).reshape(resamples, -1)[:, :n]
    return np.stack([np.median(column[rows], axis=1) for column in columns.T], axis=1)


def log_median_ratio(
    before: ArrayLike, after: ArrayLike, *, rng: np.random.Generator, resamples: int = _RESAMPLES
) -> NDArray[np.float64] | None:
    """Return (R,): log of the median after over the median before, in each resample; None with too few samples.

    Args:
        before: (n,) positive, in time order.
        after: (m,) positive, in time order.
        rng: seeded by the caller.
        resamples: R.
    """
    one, other = (np.asarray(values, np.float64).reshape(-1, 1) for values in (before, after))
    if min(len(one), len(other)) < FEWEST:
        return None
    drawn = [medians(values, rng=rng, resamples=resamples)[:, 0] for values in (other, one)]
    found: NDArray[np.float64] = np.log(drawn[0]) - np.log(drawn[1])
    return found
