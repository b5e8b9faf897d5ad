"""Accuracy figures with their intervals: areas, proportions, predictive values, paired tests, calibration, thresholds.

Rules: plain numpy; labels are 0 (normal) and 1 (abnormal), scores rise with abnormality, a score at or above a
threshold is an alert; every interval is two-sided 95 %; a figure the data cannot carry is a `ValueError`, never NaN.

    estimate = statistics.delong(labels, scores)
    low, high = estimate.ci95

| module | what |
|---|---|
| `auc` | area under the ROC curve with DeLong's interval, alone and paired |
| `curves` | ROC and precision-recall points, average precision |
| `proportions` | Wilson's interval, the rates at a threshold, F1, McNemar's test |
| `predictive` | PPV and NPV at a stated prevalence, likelihood ratios |
| `thresholds` | for a sensitivity, for a specificity, balanced |
| `calibration` | Brier score and its parts, calibration error, reliability table |
| `scaling` | Platt, temperature and isotonic maps from logit to score |
| `benefit` | decision curves |
| `several` | one-vs-rest and macro AUC, confusion matrix, accuracy of K labels |
| `resampling` | bootstrap by image or by patient |
| `grouping` | cuts that keep patients whole |
"""

from __future__ import annotations

from edgemed.statistics.auc import PairedEstimate, auc, delong, paired_delong
from edgemed.statistics.benefit import DecisionCurve, decision_curve
from edgemed.statistics.calibration import (
    BrierParts,
    ReliabilityBin,
    brier,
    brier_parts,
    expected_calibration_error,
    reliability,
)
from edgemed.statistics.curves import (
    PrecisionRecallCurve,
    RocCurve,
    average_precision,
    precision_recall_curve,
    roc_curve,
)
from edgemed.statistics.estimate import Estimate, shown
from edgemed.statistics.grouping import groups_holding
from edgemed.statistics.predictive import (
    LikelihoodRatios,
    PredictiveValues,
    Ratio,
    likelihood_ratios,
    predictive_values,
)
from edgemed.statistics.proportions import Rates, f1, mcnemar, rates, wilson
from edgemed.statistics.resampling import Resamples, bootstrap, resampled
from edgemed.statistics.scaling import (
    IsotonicRegression,
    PlattScaling,
    TemperatureScaling,
    isotonic,
    platt,
    sigmoid,
    temperature,
)
from edgemed.statistics.several import accuracy, confusion_matrix, macro_auc, one_vs_rest_auc
from edgemed.statistics.thresholds import threshold_balanced, threshold_for_sensitivity, threshold_for_specificity

__all__ = [
    "BrierParts",
    "DecisionCurve",
    "Estimate",
    "IsotonicRegression",
    "LikelihoodRatios",
    "PairedEstimate",
    "PlattScaling",
    "PrecisionRecallCurve",
    "PredictiveValues",
    "Rates",
    "Ratio",
    "ReliabilityBin",
    "Resamples",
    "RocCurve",
    "TemperatureScaling",
    "accuracy",
    "auc",
    "average_precision",
    "bootstrap",
    "brier",
    "brier_parts",
    "confusion_matrix",
    "decision_curve",
    "delong",
    "expected_calibration_error",
    "f1",
    "groups_holding",
    "isotonic",
    "likelihood_ratios",
    "macro_auc",
    "mcnemar",
    "one_vs_rest_auc",
    "paired_delong",
    "platt",
    "precision_recall_curve",
    "predictive_values",
    "rates",
    "reliability",
    "resampled",
    "roc_curve",
    "shown",
    "sigmoid",
    "temperature",
    "threshold_balanced",
    "threshold_for_sensitivity",
    "threshold_for_specificity",
    "wilson",
]
