"""Accuracy figures with their intervals: AUC, proportions, paired tests, calibration, operating points, fair cuts.

Rules: plain numpy; labels are 0 (normal) and 1 (abnormal), scores rise with abnormality, a score at or above a
threshold is an alert; every interval is two-sided 95 %; a figure the data cannot carry is a `ValueError`, never NaN.

    estimate = statistics.delong(labels, scores)
    low, high = estimate.ci95
"""

from __future__ import annotations

from edgemed.statistics.auc import PairedEstimate, auc, delong, paired_delong
from edgemed.statistics.calibration import PlattScaling, brier, expected_calibration_error, platt
from edgemed.statistics.estimate import Estimate, shown
from edgemed.statistics.grouping import groups_holding
from edgemed.statistics.proportions import Rates, mcnemar, rates, threshold_for_sensitivity, wilson
from edgemed.statistics.resampling import bootstrap

__all__ = [
    "Estimate",
    "PairedEstimate",
    "PlattScaling",
    "Rates",
    "auc",
    "bootstrap",
    "brier",
    "delong",
    "expected_calibration_error",
    "groups_holding",
    "mcnemar",
    "paired_delong",
    "platt",
    "rates",
    "shown",
    "threshold_for_sensitivity",
    "wilson",
]
