"""Thresholds of a model that has none yet: calibrated and chosen on its own answers to validation.

What a conversion chooses for the int8 model comes later, and on less of validation: these are for a look at a float
model, or at a TFLite file outside a bundle.

    rule = rule.of_validation(answers, recipe, model=digest)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgemed import statistics
from edgemed.errors import GateError
from edgemed.runtime import decision
from edgemed.runtime.decision import Calibration, DecisionRule, OperatingPoint, Zone
from edgemed.training.evaluation.answers import Answers
from edgemed.training.recipe import Recipe

__all__ = ["of_validation", "scores"]


def of_validation(found: Answers, recipe: Recipe, *, model: str) -> DecisionRule:
    """Return Platt scaling and the recipe's operating point, both from the answers to validation.

    Args:
        found: answers to the validation split; both classes present.
        recipe: names the criterion.
        model: digest that the rule is bound to.

    Raises:
        GateError: the logits do not rise with abnormality.
    """
    try:
        fitted = statistics.platt(found.abnormality, found.abnormal)
    except ValueError as err:
        raise GateError(f"calibration: the logits cannot be calibrated on validation: {err}; train further") from err
    calibration, asked = Calibration(slope=fitted.slope, intercept=fitted.intercept), recipe.operating_point
    values = scores(calibration, found.abnormality)
    threshold = statistics.threshold_for_sensitivity(found.abnormal, values, asked.sensitivity)
    return DecisionRule(
        schema=1,
        version=1,
        model=model,
        calibration=calibration,
        operating_points=(
            _point(found, values, asked.name, f"sensitivity >= {asked.sensitivity:g} on validation", threshold),
        ),
        active=asked.name,
        indeterminate=Zone(low=threshold, high=threshold),
        quality=recipe.quality,
    )


def scores(calibration: Calibration, abnormality: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the calibrated score of each logit of abnormality (n,), as the device computes it."""
    return np.array([decision.score(float(logit), calibration) for logit in abnormality], dtype=np.float64)


def _point(found: Answers, values: NDArray[np.float64], name: str, criterion: str, threshold: float) -> OperatingPoint:
    rates = statistics.rates(found.abnormal, values, threshold)
    if rates.sensitivity is None or rates.specificity is None:
        raise ValueError("answers: expected normal and abnormal images, got one kind only")
    return OperatingPoint(
        name=name,
        criterion=criterion,
        threshold=threshold,
        sensitivity=rates.sensitivity.value,
        sensitivity_ci95=rates.sensitivity.ci95,
        specificity=rates.specificity.value,
        specificity_ci95=rates.specificity.ci95,
        n_abnormal=int(found.abnormal.sum()),
        n_normal=int((~found.abnormal).sum()),
    )
