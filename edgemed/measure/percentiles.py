"""Percentiles of times with distribution-free intervals: order statistics, whatever the distribution looks like.

found = distribution([5.1, 5.0, 5.3, 9.9])
found.p50, found.p50_ci95
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import ArrayLike, NDArray

__all__ = ["TAIL_SAMPLES", "Distribution", "distribution", "exceeds", "order_interval", "rounded"]

TAIL_SAMPLES = 1000
"""Below so many a p99 says nothing: fewer than 10 samples lie beyond it."""

_ALPHA = 0.05
_DIGITS = 4  # of a millisecond: 0.1 microseconds

Milliseconds = Annotated[float, Meta(ge=0.0)]
Interval = tuple[Milliseconds, Milliseconds]


class Distribution(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Percentiles of ``n`` times in ms; every sample counts, none is called an outlier.

    Attributes:
        p50: the median; p90 and p99 alike. None without a sample, and p99 below `TAIL_SAMPLES`.
        p50_ci95: two samples that enclose the true percentile with 95 % confidence or more, if samples are
            independent; None where there are too few for that.
        max: the longest.
    """

    n: Annotated[int, Meta(ge=0)]
    p50: Milliseconds | None
    p50_ci95: Interval | None
    p90: Milliseconds | None
    p90_ci95: Interval | None
    p99: Milliseconds | None
    p99_ci95: Interval | None
    max: Milliseconds | None

    def percentile(self, name: str) -> float | None:
        """Return ``p50``, ``p90``, ``p99`` or ``max`` by name."""
        value: float | None = getattr(self, name)
        return value

    def interval(self, name: str) -> tuple[float, float] | None:
        """Return the interval of a percentile; None for ``max``, which is what it is."""
        found: tuple[float, float] | None = getattr(self, f"{name}_ci95", None)
        return found


def distribution(samples_ms: ArrayLike) -> Distribution:
    """Return the percentiles of some times.

    Args:
        samples_ms: (n,), finite, >= 0; n may be 0.

    Raises:
        ValueError: a time is negative or not finite.
    """
    values = np.sort(np.asarray(samples_ms, np.float64).reshape(-1))
    if values.size and not (np.isfinite(values).all() and values[0] >= 0.0):
        raise ValueError("samples_ms: expected finite times of at least 0")
    has_tail = values.size >= TAIL_SAMPLES
    return Distribution(
        n=values.size,
        p50=_quantile(values, 0.5),
        p50_ci95=_enclosed(values, 0.5),
        p90=_quantile(values, 0.9),
        p90_ci95=_enclosed(values, 0.9),
        p99=_quantile(values, 0.99) if has_tail else None,
        p99_ci95=_enclosed(values, 0.99) if has_tail else None,
        max=_rounded(values[-1]) if values.size else None,
    )


def order_interval(n: int, share: float) -> tuple[int, int] | None:
    """Return the ranks, from 1, of the two order statistics that enclose a quantile with 95 % confidence.

    Each end is missed with a probability of at most 2.5 %.

    Args:
        n: independent samples.
        share: of the quantile, in (0, 1).

    Returns:
        None where even the smallest or the largest sample does not reach so far.

    Source: David and Nagaraja, Order Statistics (2003), section 7.1.
    """
    if n == 0:
        return None
    below = _cumulative(n, share)  # below[k] = P(B <= k), B samples lie below the quantile
    # Rank l is too high where B < l; rank u is too low where B >= u.
    low = int(np.searchsorted(below, _ALPHA / 2, side="right"))
    high = int(np.searchsorted(below, 1.0 - _ALPHA / 2, side="left")) + 1
    return (low, high) if low >= 1 and high <= n else None


def exceeds(over: int, n: int, *, share: float = 0.99, alpha: float = 0.025) -> bool:
    """Return whether so many samples above a limit show that the quantile ``share`` lies above it.

    The binomial test: were the quantile within the limit, a share of at most ``1 - share`` would lie above.

    Args:
        over: samples above the limit.
        n: all samples.
        share: of the quantile.
        alpha: probability of a false answer.
    """
    if over == 0:
        return False
    return 1.0 - float(_cumulative(n, 1.0 - share)[over - 1]) < alpha


def _cumulative(n: int, share: float) -> NDArray[np.float64]:
    """Return P(B <= k) for k = 0..n of a binomial B(n, share)."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    k = np.arange(n + 1)
    density = logs[n] - logs - logs[::-1] + k * math.log(share) + (n - k) * math.log1p(-share)
    found: NDArray[np.float64] = np.minimum(np.cumsum(np.exp(density)), 1.0)
    return found


def _quantile(values: NDArray[np.float64], share: float) -> float | None:
    return _rounded(np.quantile(values, share)) if values.size else None


def _enclosed(values: NDArray[np.float64], share: float) -> Interval | None:
    ranks = order_interval(values.size, share)
    return None if ranks is None else (_rounded(values[ranks[0] - 1]), _rounded(values[ranks[1] - 1]))


def _rounded(value: float | np.floating) -> float:
    return round(float(value), _DIGITS)


def rounded(samples_ms: Sequence[float]) -> tuple[float, ...]:
    """Return times to 0.1 microseconds, which is finer than any clock here is true."""
    return tuple(np.round(np.asarray(samples_ms, np.float64), _DIGITS).tolist())
