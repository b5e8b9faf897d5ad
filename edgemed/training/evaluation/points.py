"""What operating points attain: rates, predictive values, likelihood ratios, the confusion matrix.

results = points.results(rule, sample, prevalences=(0.02,))
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgemed import statistics
from edgemed.runtime.decision import DecisionRule, OperatingPoint
from edgemed.statistics import Rates
from edgemed.training.evaluation.document import AtPrevalence, Figure, PointResult, Ratio
from edgemed.training.evaluation.sample import Sample, figure

__all__ = ["results"]


def results(rule: DecisionRule, sample: Sample, *, prevalences: tuple[float, ...]) -> tuple[PointResult, ...]:
    """Return a result for each operating point of a rule, in its order.

    Args:
        rule: calibration and thresholds.
        sample: both classes present.
        prevalences: each above 0 and below 1.
    """
    return tuple(_result(point, sample, point.name == rule.active, prevalences) for point in rule.operating_points)


def _result(point: OperatingPoint, sample: Sample, active: bool, prevalences: tuple[float, ...]) -> PointResult:
    rates = statistics.rates(sample.abnormal, sample.scores, point.threshold)
    alert, abnormal = sample.scores >= point.threshold, sample.abnormal
    right, all_of_them = alert == abnormal, np.ones(len(sample), dtype=np.bool_)
    ratios = statistics.likelihood_ratios(rates)
    accuracy = sample.share(rates.accuracy, right, all_of_them)
    if accuracy is None:
        raise ValueError("rates: expected an accuracy, got none")
    return PointResult(
        name=point.name,
        criterion=point.criterion,
        active=active,
        threshold=point.threshold,
        sensitivity=sample.share(rates.sensitivity, right, abnormal),
        specificity=sample.share(rates.specificity, right, ~abnormal),
        ppv=sample.share(rates.ppv, right, alert),
        npv=sample.share(rates.npv, right, ~alert),
        accuracy=accuracy,
        f1=_f1(rates, sample, alert),
        true_positives=rates.true_positives,
        false_negatives=rates.false_negatives,
        true_negatives=rates.true_negatives,
        false_positives=rates.false_positives,
        likelihood_ratio_positive=_ratio(ratios.positive),
        likelihood_ratio_negative=_ratio(ratios.negative),
        at_prevalence=tuple(_at(rates, prevalence) for prevalence in prevalences),
    )


def _f1(rates: Rates, sample: Sample, alert: NDArray[np.bool_]) -> Figure | None:
    """Return F1; by patient it is carried over from the share that its interval by image comes from, too."""
    if rates.f1 is None:
        return None
    drawn = None
    if sample.draws is not None:
        share = sample.draws.share(alert & sample.abnormal, alert | sample.abnormal)
        drawn = sample.draws.interval(2.0 * share / (1.0 + share))
    return figure(rates.f1, drawn)


def _ratio(found: statistics.Ratio | None) -> Ratio | None:
    return None if found is None else Ratio(value=found.value, ci95=(found.low, found.high))


def _at(rates: Rates, prevalence: float) -> AtPrevalence:
    found = statistics.predictive_values(rates, prevalence=prevalence)
    return AtPrevalence(
        prevalence=prevalence,
        ppv=None if found.ppv is None else figure(found.ppv),
        npv=None if found.npv is None else figure(found.npv),
    )
