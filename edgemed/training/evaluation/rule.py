"""Thresholds of a model that has none yet: calibrated and chosen on its own answers to validation.

What a conversion chooses for the int8 model comes later, and on less of validation: these are for a look at a float
model, or at a TFLite file outside a bundle.

    rule = rule.of_validation(answers, recipe, model=digest)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgemed import statistics
from edgemed.errors import GateError
from edgemed.runtime import decision
from edgemed.runtime.decision import Calibration, DecisionRule, OperatingPoint, Zone
from edgemed.training import recipe as recipes
from edgemed.training.criteria import Criterion
from edgemed.training.evaluation.answers import Answers
from edgemed.training.recipe import Recipe

__all__ = ["of_validation", "scores"]


def of_validation(found: Answers, recipe: Recipe, *, model: str) -> DecisionRule:
    """Return Platt scaling and the recipe's operating points, all from the answers to validation.

    Args:
        found: answers to the validation split; both classes present.
        recipe: names the criteria.
        model: digest that the rule is bound to.

    Raises:
        GateError: the logits do not rise with abnormality.
    """
    try:
        fitted = statistics.platt(found.abnormality, found.abnormal)
    except ValueError as err:
        raise GateError(f"calibration: the logits cannot be calibrated on validation: {err}; train further") from err
    calibration = Calibration(slope=fitted.slope, intercept=fitted.intercept)
    values = scores(calibration, found.abnormality)
    points = tuple(_point(found, values, criterion) for criterion in recipes.points(recipe))
    active = next(point for point in points if point.name == recipes.active(recipe))
    return DecisionRule(
        schema=1,
        version=1,
        model=model,
        calibration=calibration,
        operating_points=points,
        active=active.name,
        indeterminate=_zone(recipe, {point.name: point.threshold for point in points}, active.threshold),
        quality=recipe.quality,
    )


def scores(calibration: Calibration, abnormality: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the calibrated score of each logit of abnormality (n,), as the device computes it."""
    return np.array([decision.score(float(logit), calibration) for logit in abnormality], dtype=np.float64)


def _point(found: Answers, values: NDArray[np.float64], asked: Criterion) -> OperatingPoint:
    words, threshold = _chosen(found.abnormal, values, asked)
    rates = statistics.rates(found.abnormal, values, threshold)
    if rates.sensitivity is None or rates.specificity is None:
        raise ValueError("answers: expected normal and abnormal images, got one kind only")
    return OperatingPoint(
        name=asked.name,
        criterion=f"{words} on validation",
        threshold=threshold,
        sensitivity=rates.sensitivity.value,
        sensitivity_ci95=rates.sensitivity.ci95,
        specificity=rates.specificity.value,
        specificity_ci95=rates.specificity.ci95,
        n_abnormal=int(found.abnormal.sum()),
        n_normal=int((~found.abnormal).sum()),
    )


def _chosen(abnormal: NDArray[np.bool_], values: NDArray[np.float64], asked: Criterion) -> tuple[str, float]:
    """Return a criterion in words and the threshold that meets it."""
    if asked.sensitivity is not None:
        threshold = statistics.threshold_for_sensitivity(abnormal, values, asked.sensitivity)
        return f"sensitivity >= {asked.sensitivity:g}", threshold
    if asked.specificity is not None:
        threshold = statistics.threshold_for_specificity(abnormal, values, asked.specificity)
        return f"specificity >= {asked.specificity:g}", threshold
    return "sensitivity = specificity", statistics.threshold_of_equal_error(abnormal, values)


def _zone(recipe: Recipe, thresholds: Mapping[str, float], active: float) -> Zone:
    """Return the scores between ruling out and ruling in, where the recipe asks for that; else none."""
    asked = recipes.points(recipe)
    ends = [
        next((thresholds[one.name] for one in asked if getattr(one, kind) is not None), active)
        for kind in ("sensitivity", "specificity")
    ]
    if recipe.indeterminate != "between" or ends[0] >= ends[1]:
        return Zone(low=active, high=active)
    return Zone(low=min(active, ends[0]), high=max(active, ends[1]))
