"""Platt scaling of a model's logits, alone or with the models of a cross-validation behind it.

The operating part of validation is small, and its images helped to choose the float model's best epoch: a slope fitted
on it alone is uncertain, and rather too steep. The fold models were trained by the same recipe on nearly the same
images, so that their scalings, each fitted on images its model never saw, say what to expect of this one: they are the
prior, a normal distribution of slope and intercept about their mean, as wide as they scatter. The model's own answers
are the likelihood; what ships is the most probable scaling. Many images outvote the prior, few lean on it. A slope and
an intercept stay the whole formula: a device computes it from two numbers, and it cannot change the order of scores,
which isotonic regression does by making ties.

    folds = scaling.of_folds(document)
    found = scaling.fitted(logits, labels, folds=folds)

Source: Platt 1999; the maximum a posteriori estimate of a logistic regression, Gelman et al., "A weakly informative
default prior distribution for logistic and other regression models", Annals of Applied Statistics 2:1360 (2008).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemed import statistics
from edgemed.errors import GateError
from edgemed.imaging.out_of_fold import OutOfFold
from edgemed.runtime import decision

__all__ = ["Folds", "fitted", "logit", "of_folds", "scores"]

_STEPS = 100
_NARROWEST = 0.1  # of the mean slope: three folds may agree by chance


@dataclass(frozen=True, kw_only=True, eq=False)
class Folds:
    """The scalings of fold models, and what they make of the answers.

    Attributes:
        count: of the folds.
        slope, intercept: mean over the folds.
        slope_sd, intercept_sd: how far another model of the recipe may lie from it.
        labels: (n,) 0 normal or 1 abnormal, of all images of train and validation.
        scores: (n,) of their out-of-fold answers, each by the scaling of its own fold.
        groups: (n,) patients, or what else was kept together.
    """

    count: int
    slope: float
    intercept: float
    slope_sd: float
    intercept_sd: float
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    groups: NDArray[np.str_]


def of_folds(found: OutOfFold) -> Folds:
    """Return the scaling of each fold, fitted on its own answers, summed up.

    Raises:
        GateError: a fold's logits do not rise with abnormality.
    """
    logits, abnormal, fold_of = found.logits, found.abnormal, found.fold_of
    scalings, values = [], np.empty(len(logits))
    for fold in range(found.folds):
        chosen = fold_of == fold
        scaling = fitted(logits[chosen], abnormal[chosen], model=f"fold {fold}", where="its own images")
        values[chosen] = scores(logits[chosen], scaling)
        scalings.append((scaling.slope, scaling.intercept))
    slopes, intercepts = np.array(scalings).T
    # The next model differs from their mean by its own deviation and by that of the mean.
    wider = float(np.sqrt(1.0 + 1.0 / found.folds))
    narrowest = _NARROWEST * float(slopes.mean())
    return Folds(
        count=found.folds,
        slope=float(slopes.mean()),
        intercept=float(intercepts.mean()),
        slope_sd=max(narrowest, wider * float(slopes.std(ddof=1))),
        intercept_sd=max(narrowest, wider * float(intercepts.std(ddof=1))),
        labels=abnormal,
        scores=values,
        groups=found.groups,
    )


def fitted(
    logits: NDArray[np.float64],
    labels: NDArray[np.int64],
    *,
    model: str = "int8",
    where: str = "validation",
    folds: Folds | None = None,
) -> decision.Calibration:
    """Return the scaling of a model.

    Args:
        logits: (n,), of abnormal against normal.
        labels: (n,), 0 normal and 1 abnormal.
        model: names it in the error.
        where: names the images in the error.
        folds: models of the same recipe, which are the prior; None for Platt's fit to these images alone.

    Raises:
        GateError: the logits do not rise with abnormality, so that no score can be made of them.
    """
    try:
        alone = statistics.platt(logits, labels)
    except ValueError as err:
        raise GateError(
            f"calibration: the {model} model's logits cannot be calibrated on {where}: {err}; train the model further"
        ) from err
    if folds is None:
        return decision.Calibration(slope=alone.slope, intercept=alone.intercept)
    slope, intercept = _most_probable(logits, labels, folds)
    return decision.Calibration(slope=slope, intercept=intercept)


def scores(logits: NDArray[np.float64], calibration: decision.Calibration) -> NDArray[np.float64]:
    """Return the score of each logit (n,), as the device computes it."""
    return np.array([decision.score(float(logit), calibration) for logit in logits])


def logit(score: float, calibration: decision.Calibration) -> float:
    """Return the logit that has a score; an end of 0..1, which no logit has, counts as 1e-12 away from it."""
    inside = min(max(score, 1e-12), 1.0 - 1e-12)
    return (math.log(inside / (1.0 - inside)) - calibration.intercept) / calibration.slope


def _most_probable(logits: NDArray[np.float64], labels: NDArray[np.int64], prior: Folds) -> tuple[float, float]:
    """Minimise cross-entropy plus the prior's squared deviations over (slope, intercept) by damped Newton steps."""
    design = np.stack([logits, np.ones_like(logits)], axis=1)
    mean = np.array([prior.slope, prior.intercept])
    precision = np.array([prior.slope_sd, prior.intercept_sd]) ** -2.0

    def loss(point: NDArray[np.float64]) -> float:
        z = design @ point
        return float(np.sum(np.logaddexp(0.0, z) - labels * z) + 0.5 * np.sum(precision * (point - mean) ** 2))

    point = mean
    for _ in range(_STEPS):
        chances = 0.5 * (1.0 + np.tanh(0.5 * (design @ point)))
        gradient = design.T @ (chances - labels) + precision * (point - mean)
        curvature = (design * (chances * (1.0 - chances))[:, None]).T @ design + np.diag(precision)
        step = np.linalg.solve(curvature, gradient)
        halved = next((half for half in range(40) if loss(point - step * 0.5**half) <= loss(point)), None)
        if halved is None or np.abs(step).max() < 1e-10:
            break
        point = point - step * 0.5**halved
    # Both the likelihood and the prior push the slope above 0 where the logits rise with abnormality.
    return float(max(point[0], 1e-9)), float(point[1])
