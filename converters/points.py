"""Thresholds for stated criteria, with what they attain and whether the images that chose them carry the claim.

The rates of images of one patient go together, so that n images of fewer patients say less than n images do: their
intervals are Wilson's at the effective number of images, n over the design effect.

    threshold = points.threshold(criterion, labels, scores)
    point = points.point(criterion, threshold, labels, scores, groups=groups, where="out of fold, 5 folds")

Source: Rao and Scott, "A simple method for the analysis of clustered binary data", Biometrics 48:577 (1992).
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from converters.gate import Criterion
from edgemed import statistics
from edgemed.errors import GateError
from edgemed.runtime import decision
from edgemed.statistics.proportions import wilson_interval

__all__ = ["attained", "point", "require_useful", "threshold"]

_Interval = tuple[float, float]


def threshold(criterion: Criterion, labels: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """Return the score at or above which an image is abnormal, midway between two scores of these images.

    Args:
        criterion: what it must attain.
        labels: (n,), 0 normal and 1 abnormal; at least one of each.
        scores: (n,), calibrated, in [0, 1].
    """
    if criterion.sensitivity is not None:
        return statistics.threshold_for_sensitivity(labels, scores, criterion.sensitivity)
    if criterion.specificity is not None:
        return statistics.threshold_for_specificity(labels, scores, criterion.specificity)
    return statistics.threshold_of_equal_error(labels, scores)


def require_useful(criterion: Criterion, found: decision.OperatingPoint) -> None:
    """Return when a threshold decides something: one that decides nothing meets any criterion of its kind.

    Raises:
        GateError: the criterion is met only where every image alerts, or none does.
    """
    images = (
        f"on {found.n_normal} normal and {found.n_abnormal} abnormal images; train the model further, or ask for less"
    )
    if criterion.sensitivity is not None and found.specificity == 0.0:
        raise GateError(
            f"operating point {criterion.name}: {criterion} is reached only where every normal image alerts as well, "
            f"{images}"
        )
    if criterion.specificity is not None and found.sensitivity == 0.0:
        raise GateError(
            f"operating point {criterion.name}: {criterion} is reached only where no abnormal image alerts, {images}"
        )


def point(
    criterion: Criterion,
    chosen: float,
    labels: NDArray[np.int64],
    scores: NDArray[np.float64],
    *,
    groups: NDArray[np.str_] | None,
    where: str,
    confirmed: decision.Attained | None = None,
) -> decision.OperatingPoint:
    """Return an operating point with what it attains on the images that chose it.

    Args:
        criterion: that it was chosen for.
        chosen: result of `threshold`.
        labels: (n,), 0 normal and 1 abnormal.
        scores: (n,), in [0, 1].
        groups: (n,), patients or what else was kept together; None where nothing is known.
        where: the images, in words.
        confirmed: what the model that ships attains on validation.
    """
    found = attained(labels, scores, chosen, groups=groups)
    interval = found.specificity_ci95 if criterion.sensitivity is None else found.sensitivity_ci95
    return decision.OperatingPoint(
        name=criterion.name,
        criterion=f"{criterion} {where}",
        threshold=chosen,
        **msgspec.structs.asdict(found),
        holds=None if criterion.promised is None else interval[0] >= criterion.promised,
        confirmed=confirmed,
    )


def attained(
    labels: NDArray[np.int64], scores: NDArray[np.float64], chosen: float, *, groups: NDArray[np.str_] | None
) -> decision.Attained:
    """Return sensitivity and specificity at a threshold, with intervals by patient where they are known.

    Args:
        labels: (n,), 0 normal and 1 abnormal; at least one of each.
        scores: (n,).
        chosen: at or above is an alert.
        groups: (n,) or None.
    """
    right = (scores >= chosen) == (labels == 1)
    keys = np.arange(len(labels)).astype(np.str_) if groups is None else groups
    of = {label: _share(right[labels == label], keys[labels == label]) for label in (0, 1)}
    return decision.Attained(
        sensitivity=of[1][0],
        sensitivity_ci95=of[1][1],
        specificity=of[0][0],
        specificity_ci95=of[0][1],
        n_abnormal=int((labels == 1).sum()),
        n_normal=int((labels == 0).sum()),
    )


def _share(right: NDArray[np.bool_], groups: NDArray[np.str_]) -> tuple[float, _Interval]:
    """Return the share of right decisions with Wilson's interval at the effective number of images."""
    whole = statistics.wilson(int(right.sum()), len(right))
    effect = _design_effect(right, groups, whole.value)
    if effect <= 1.0:
        return whole.value, whole.ci95
    # Rounded down: never more certain than the images are.
    effective = max(1, int(len(right) / effect))
    return whole.value, wilson_interval(whole.value, effective)


def _design_effect(right: NDArray[np.bool_], groups: NDArray[np.str_], share: float) -> float:
    """Return the variance of the share by group over that of as many independent images; 1 where it says nothing."""
    _, place = np.unique(groups, return_inverse=True)
    sizes = np.bincount(place).astype(np.float64)
    if len(sizes) == 1:
        return float(len(right))  # one patient says nothing of how patients differ: the images count as one
    if not 0.0 < share < 1.0:
        return 1.0
    residuals = np.bincount(place, weights=right.astype(np.float64)) - share * sizes
    variance = len(sizes) / (len(sizes) - 1) * float((residuals**2).sum()) / len(right) ** 2
    return variance / (share * (1.0 - share) / len(right))
