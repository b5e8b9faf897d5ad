"""What a result means for a patient: predictive values at a stated prevalence, and likelihood ratios.

A data set made for training has a prevalence of its own, often far above the clinic's; PPV and NPV follow it, while
sensitivity, specificity and the likelihood ratios do not.

    at_clinic = statistics.predictive_values(rates, prevalence=0.05)
    ratio = statistics.likelihood_ratios(rates).positive
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgemed.statistics.estimate import Z95, Estimate, expit
from edgemed.statistics.proportions import Rates

__all__ = ["LikelihoodRatios", "PredictiveValues", "Ratio", "likelihood_ratios", "predictive_values"]


@dataclass(frozen=True, kw_only=True)
class PredictiveValues:
    """PPV and NPV in a population with a stated prevalence; None where no image alerts, or every one does."""

    prevalence: float
    ppv: Estimate | None
    npv: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A ratio >= 0 with its two-sided 95 % interval.

    Attributes:
        value: None where the denominator is zero: beyond all bounds in this data.
        low: lower end; finite always.
        high: upper end; None where there is none.
    """

    value: float | None
    low: float
    high: float | None


@dataclass(frozen=True, kw_only=True)
class LikelihoodRatios:
    """By what factor an alert (positive), or its absence (negative), multiplies the odds of abnormality.

    None where the data decide every image alike, so that numerator and denominator are both zero.
    """

    positive: Ratio | None
    negative: Ratio | None


def predictive_values(rates: Rates, *, prevalence: float) -> PredictiveValues:
    """Return PPV and NPV at a prevalence, by Bayes' rule, with the 95 % interval on the logit scale.

    logit(PPV) has variance (1 - se) / (se m) + sp / ((1 - sp) n), logit(NPV) has se / ((1 - se) m) + (1 - sp) / (sp n),
    with m abnormals and n normals. Where a cell of the table is zero, the interval comes from the adjusted estimates,
    z^2 / 2 added to each cell, and is extended to hold the value.

    Args:
        rates: at a threshold; at least one abnormal and one normal.
        prevalence: of abnormality in the population asked about, above 0 and below 1.

    Raises:
        ValueError: the prevalence is outside, or a class is absent.

    Source: Mercaldo, Lau and Zhou, Statistics in Medicine 26:2170 (2007), equations 8 to 11 and table II.
    """
    if not 0.0 < prevalence < 1.0:
        raise ValueError(f"prevalence: expected above 0 and below 1, got {prevalence!r}")
    tp, fn, tn, fp = _cells(rates)
    odds = math.log(prevalence / (1.0 - prevalence))
    return PredictiveValues(
        prevalence=prevalence,
        ppv=_by_bayes(hits=tp, of_hits=tp + fn, false=fp, of_false=tn + fp, odds=odds),
        npv=_by_bayes(hits=tn, of_hits=tn + fp, false=fn, of_false=tp + fn, odds=-odds),
    )


def likelihood_ratios(rates: Rates) -> LikelihoodRatios:
    """Return both likelihood ratios with 95 % intervals on the log scale.

    LR+ = se / (1 - sp) and LR- = (1 - se) / sp; log LR+ has variance 1/tp - 1/m + 1/fp - 1/n, log LR- likewise. Where
    one of the two counts is zero, the variance and the end that stays finite come from 0.5 added to every cell.

    Args:
        rates: at a threshold; at least one abnormal and one normal.

    Raises:
        ValueError: a class is absent.

    Source: Simel, Samsa and Matchar, Journal of Clinical Epidemiology 44:763 (1991).
    """
    tp, fn, tn, fp = _cells(rates)
    return LikelihoodRatios(
        positive=_ratio(tp, tp + fn, fp, tn + fp),
        negative=_ratio(fn, tp + fn, tn, tn + fp),
    )


def _cells(rates: Rates) -> tuple[int, int, int, int]:
    """Return tp, fn, tn and fp once both classes are there."""
    tp, fn, tn, fp = rates.true_positives, rates.false_negatives, rates.true_negatives, rates.false_positives
    if tp + fn == 0 or tn + fp == 0:
        raise ValueError(f"rates: expected both classes, got {tp + fn} abnormal and {tn + fp} normal")
    return tp, fn, tn, fp


def _by_bayes(*, hits: float, of_hits: float, false: float, of_false: float, odds: float) -> Estimate | None:
    """Return the share of right answers among one kind of answer; ``odds`` are the prior log-odds of being right."""
    if hits == 0 and false == 0:
        return None
    exact = 0 < hits < of_hits and 0 < false < of_false
    more = 0.0 if exact else Z95 * Z95 / 2.0
    right, wrong = (hits + more) / (of_hits + 2 * more), (false + more) / (of_false + 2 * more)
    centre = odds + math.log(right / wrong)
    error = math.sqrt((1.0 - right) / (right * (of_hits + 2 * more)) + (1.0 - wrong) / (wrong * (of_false + 2 * more)))
    low, high = expit(centre - Z95 * error), expit(centre + Z95 * error)
    value = 1.0 if false == 0 else 0.0 if hits == 0 else expit(odds + math.log(hits / of_hits * of_false / false))
    return Estimate(
        value=value, ci95=(min(low, value), max(high, value)), variance=(value * (1.0 - value) * error) ** 2
    )


def _ratio(above: int, of_above: int, below: int, of_below: int) -> Ratio | None:
    """Return (above / of_above) / (below / of_below)."""
    if above == 0 and below == 0:
        return None
    more = 0.0 if above and below else 0.5
    first, second = (above + more) / (of_above + 2 * more), (below + more) / (of_below + 2 * more)
    variance = 1 / (above + more) - 1 / (of_above + 2 * more) + 1 / (below + more) - 1 / (of_below + 2 * more)
    factor = math.exp(Z95 * math.sqrt(max(0.0, variance)))
    centre = first / second
    if below == 0:
        return Ratio(value=None, low=centre / factor, high=None)
    return Ratio(value=above / of_above * of_below / below, low=centre / factor if above else 0.0, high=centre * factor)
