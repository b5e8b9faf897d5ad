"""How sure a difference must be before an inspection speaks of it: about one false alarm in a thousand comparisons."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["association", "proportions_differ", "separation"]

_Z = 3.29  # two-sided 0.001 of the normal distribution


def proportions_differ(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Return whether two proportions, each (hits, of), differ by the pooled z test at 0.001."""
    (hits_a, n_a), (hits_b, n_b) = first, second
    pooled = (hits_a + hits_b) / (n_a + n_b)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n_a + 1 / n_b))
    return error > 0 and abs(hits_a / n_a - hits_b / n_b) > _Z * error


def separation(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[float, bool]:
    """Return the probability that a value of ``second`` exceeds one of ``first``, and whether it is surely not 0.5.

    Ties count half. Sure means beyond 3.29 standard errors of the Mann-Whitney statistic under equal distributions.
    """
    n, m = len(first), len(second)
    below = np.searchsorted(np.sort(first), second, side="left").astype(np.float64)
    below += np.searchsorted(np.sort(first), second, side="right")
    value = float(below.sum()) / (2 * n * m)
    error = math.sqrt((n + m + 1) / (12 * n * m))
    return value, abs(value - 0.5) > _Z * error


def association(rows: NDArray[np.str_], columns: NDArray[np.str_]) -> float:
    """Return Cramer's V of two columns of values, 0..1, corrected for bias (Bergsma 2013).

    0 where one of them has a single value.
    """
    _, row = np.unique(rows, return_inverse=True)
    _, column = np.unique(columns, return_inverse=True)
    height, width, n = int(row.max()) + 1, int(column.max()) + 1, len(row)
    if min(height, width) < 2 or n < 2:
        return 0.0
    table = np.bincount(row * width + column, minlength=height * width).reshape(height, width).astype(np.float64)
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / n
    phi = float((((table - expected) ** 2) / expected).sum()) / n
    phi = max(0.0, phi - (height - 1) * (width - 1) / (n - 1))
    smaller = min(height - (height - 1) ** 2 / (n - 1), width - (width - 1) ** 2 / (n - 1)) - 1
    return min(1.0, math.sqrt(phi / smaller)) if smaller > 0 else 0.0
