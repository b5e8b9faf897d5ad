"""The decision document of a converted model, fitted on what it answers itself to the operating part of validation.

calibration = operating.calibrated(logits, labels)
rule = operating.decision_rule(logits, labels, calibration=calibration, sensitivity=0.95, ...)
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgemed import statistics
from edgemed.errors import GateError
from edgemed.runtime import decision

__all__ = ["calibrated", "decision_rule", "logit", "out_of_distribution", "scores"]

_IN_DOMAIN_REFUSED = 0.01  # design: the limit that 1 % of in-domain images exceed


def calibrated(logits: NDArray[np.float64], labels: NDArray[np.int64], *, model: str = "int8") -> decision.Calibration:
    """Return Platt scaling fitted to logits (n,) and labels (n,) of validation; ``model`` names it in the error.

    Raises:
        GateError: the logits do not rise with abnormality, so that no score can be made of them.
    """
    try:
        fitted = statistics.platt(logits, labels)
    except ValueError as err:
        raise GateError(
            f"calibration: the {model} model's logits cannot be calibrated on validation: {err}; train the model "
            "further"
        ) from err
    return decision.Calibration(slope=fitted.slope, intercept=fitted.intercept)


def scores(logits: NDArray[np.float64], calibration: decision.Calibration) -> NDArray[np.float64]:
    """Return the score of each logit (n,), as the device computes it."""
    return np.array([decision.score(float(logit), calibration) for logit in logits])


def logit(score: float, calibration: decision.Calibration) -> float:
    """Return the logit that has a score above 0 and below 1."""
    return (math.log(score / (1.0 - score)) - calibration.intercept) / calibration.slope


def decision_rule(
    logits: NDArray[np.float64],
    labels: NDArray[np.int64],
    *,
    model_digest: str,
    calibration: decision.Calibration,
    name: str,
    sensitivity: float,
    logit_tolerance: float,
    quality: decision.QualityLimits,
    limits: decision.OutOfDistribution | None,
) -> decision.DecisionRule:
    """Return the decision document of a model.

    Args:
        logits: (n,) of the converted model on the operating part of validation.
        labels: (n,), 0 normal and 1 abnormal.
        model_digest: of its file.
        calibration: result of `calibrated`.
        name: of the operating point.
        sensitivity: it must reach on these images, 0..1.
        logit_tolerance: largest difference of a logit between back ends; the indeterminate zone spans it to both
            sides of the threshold.
        quality: limits before inference.
        limits: result of `out_of_distribution`; None where the model has no embedding.

    Raises:
        ValueError: no threshold reaches the sensitivity.
    """
    values = scores(logits, calibration)
    threshold = statistics.threshold_for_sensitivity(labels, values, sensitivity)
    rates = statistics.rates(labels, values, threshold)
    if rates.sensitivity is None or rates.specificity is None:
        raise ValueError("labels: expected normal and abnormal images, got one kind only")
    centre = logit(threshold, calibration)
    abnormal = int(labels.sum())
    point = decision.OperatingPoint(
        name=name,
        criterion=f"sensitivity >= {sensitivity:g} on the operating part of validation",
        threshold=threshold,
        sensitivity=rates.sensitivity.value,
        sensitivity_ci95=rates.sensitivity.ci95,
        specificity=rates.specificity.value,
        specificity_ci95=rates.specificity.ci95,
        n_abnormal=abnormal,
        n_normal=len(labels) - abnormal,
    )
    return decision.DecisionRule(
        schema=1,
        version=1,
        model=model_digest,
        calibration=calibration,
        operating_points=(point,),
        active=name,
        indeterminate=decision.Zone(
            low=min(threshold, decision.score(centre - logit_tolerance, calibration)),
            high=max(threshold, decision.score(centre + logit_tolerance, calibration)),
        ),
        quality=quality,
        out_of_distribution=limits,
    )


def out_of_distribution(train: NDArray[np.float64], validation: NDArray[np.float64]) -> decision.OutOfDistribution:
    """Return the limit of the Mahalanobis distance of embeddings.

    Args:
        train: (n, C) int8 model's embeddings of train images, dequantized; they give mean and covariance (Ledoit-Wolf
            shrinkage, so that n may be near C).
        validation: (m, C) likewise; 1 % of them lie beyond the limit.

    Source: Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial
    Attacks", NeurIPS 2018, with one class; Ledoit and Wolf 2004.
    """
    from sklearn.covariance import LedoitWolf

    fitted = LedoitWolf().fit(train)
    # precision = L L^T, so the distance is the length of L^T (x - mean).
    whitening = np.linalg.cholesky(fitted.precision_).T
    mean = decision.encode_floats(fitted.location_)
    encoded = decision.encode_floats(whitening)
    size = int(train.shape[1])
    unit = decision.OodGauge(decision.OutOfDistribution(size=size, mean=mean, whitening=encoded, limit=1.0))
    distances = [unit.distance(embedding) for embedding in validation]
    limit = float(np.quantile(distances, 1.0 - _IN_DOMAIN_REFUSED, method="higher"))
    return decision.OutOfDistribution(size=size, mean=mean, whitening=encoded, limit=limit)
