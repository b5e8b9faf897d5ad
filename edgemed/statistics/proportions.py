"""Proportions with Wilson intervals, the rates at a threshold, and a paired test of two methods.

Source of the interval: Wilson, Journal of the American Statistical Association 22:209 (1927), score interval without
continuity correction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from numpy.typing import ArrayLike

from edgemed.statistics.estimate import Z95, Estimate, labelled_scores

__all__ = ["Rates", "f1", "mcnemar", "rates", "wilson", "wilson_interval"]


@dataclass(frozen=True, kw_only=True)
class Rates:
    """The four counts at a threshold and the proportions they give; a proportion of nothing is None.

    Attributes:
        sensitivity: abnormals that alert, of all abnormals.
        specificity: normals that do not alert, of all normals.
        ppv: abnormals among the alerts, at the prevalence of this data.
        npv: normals among the rest, at the prevalence of this data.
        accuracy: images decided rightly, of all.
        f1: harmonic mean of PPV and sensitivity; None without an abnormal and without an alert.
    """

    threshold: float
    true_positives: int
    false_negatives: int
    true_negatives: int
    false_positives: int
    sensitivity: Estimate | None
    specificity: Estimate | None
    ppv: Estimate | None
    npv: Estimate | None
    accuracy: Estimate
    f1: Estimate | None


def wilson(successes: int, n: int) -> Estimate:
    """Return successes / n with Wilson's 95 % score interval and the binomial variance p (1 - p) / n.

    Raises:
        ValueError: n below 1, or successes outside 0..n.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"expected 0 <= successes <= n and n >= 1, got successes {successes}, n {n}")
    share = successes / n
    return Estimate(value=share, ci95=wilson_interval(share, n), variance=share * (1.0 - share) / n)


def wilson_interval(share: float, n: int) -> tuple[float, float]:
    """Return Wilson's interval for a share in [0, 1] of n >= 1 trials; it always holds the share."""
    square = Z95 * Z95
    centre = share + square / (2 * n)
    margin = Z95 * math.sqrt(share * (1.0 - share) / n + square / (4 * n * n))
    scale = 1.0 + square / n
    # The ends are exact at 0 and 1; rounding would leave them an ulp off.
    low = 0.0 if share == 0.0 else max(0.0, (centre - margin) / scale)
    high = 1.0 if share == 1.0 else min(1.0, (centre + margin) / scale)
    return low, high


def f1(true_positives: int, *, false_positives: int, false_negatives: int) -> Estimate:
    """Return F1 = 2 tp / (2 tp + fp + fn) with a 95 % interval and the variance by the delta method.

    Given how many images are abnormal or alert, the true positives among them are binomial with a share s, and
    F1 = 2 s / (1 + s) rises with it: the interval is Wilson's for s, carried over.

    Raises:
        ValueError: a negative count, or all three are zero.

    Source: Lam, Gopal and Qian, "Confidence intervals for the F1 score: a comparison of four methods",
    arXiv:2309.14621 (2023), Wilson indirect method.
    """
    counts = (true_positives, false_positives, false_negatives)
    if min(counts) < 0 or sum(counts) == 0:
        raise ValueError(f"expected counts of at least 0, one of them above, got tp, fp, fn {counts}")
    share = wilson(true_positives, sum(counts))
    low, high = share.ci95
    slope = 2.0 / (1.0 + share.value) ** 2
    return Estimate(
        value=2.0 * true_positives / (2 * true_positives + false_positives + false_negatives),
        ci95=(2.0 * low / (1.0 + low), 2.0 * high / (1.0 + high)),
        variance=slope * slope * share.variance,
    )


def mcnemar(b: int, c: int) -> float:
    """Return the exact two-sided p-value that discordant pairs fall either way with equal chance.

    Args:
        b: images that only the first method got right, >= 0.
        c: images that only the second got right, >= 0.

    Returns:
        min(1, 2 * P(X <= min(b, c))) with X binomial(b + c, 1/2); 1 without discordant pairs.

    Raises:
        ValueError: a negative count.

    Source: McNemar, Psychometrika 12:153 (1947), in its exact binomial form.
    """
    if b < 0 or c < 0:
        raise ValueError(f"expected counts of at least 0, got b {b}, c {c}")
    term, total = 1, 1
    for i in range(min(b, c)):
        term = term * (b + c - i) // (i + 1)
        total += term
    # Whole numbers until here: the one division rounds once, however large they are.
    return min(1.0, 2 * total / (1 << (b + c)))


def rates(labels: ArrayLike, scores: ArrayLike, threshold: float) -> Rates:
    """Return what a threshold does on labelled data; a score at or above it is an alert.

    Args:
        labels: (n,), 0 normal and 1 abnormal.
        scores: (n,), finite, rising with abnormality.
        threshold: on the scale of the scores.

    Raises:
        ValueError: an argument is not as above.
    """
    truth, values = labelled_scores(labels, scores)
    alert = values >= threshold
    tp, fn = int((alert & truth).sum()), int((~alert & truth).sum())
    tn, fp = int((~alert & ~truth).sum()), int((alert & ~truth).sum())
    return Rates(
        threshold=float(threshold),
        true_positives=tp,
        false_negatives=fn,
        true_negatives=tn,
        false_positives=fp,
        sensitivity=_share(tp, tp + fn),
        specificity=_share(tn, tn + fp),
        ppv=_share(tp, tp + fp),
        npv=_share(tn, tn + fn),
        accuracy=wilson(tp + tn, truth.size),
        f1=f1(tp, false_positives=fp, false_negatives=fn) if tp + fp + fn else None,
    )


def _share(successes: int, n: int) -> Estimate | None:
    return wilson(successes, n) if n else None
