"""How a quantized model's answers to validation compare with the float model's, image by image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemed import statistics

_HALVES_SEED = 1
SENSITIVITY = 0.95


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """The validation images: labels (n,), 0 normal and 1 abnormal, and patients (n,)."""

    labels: NDArray[np.int64]
    patients: NDArray[np.int64]

    @property
    def halves(self) -> NDArray[np.bool_]:
        """Return which half each image lies in; a patient's images lie in one."""
        names = np.unique(self.patients)
        first = np.random.default_rng(_HALVES_SEED).permutation(names)[: len(names) // 2]
        inside: NDArray[np.bool_] = np.isin(self.patients, first)
        return inside


def alerts(images: Images, logits: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return each image's decision: in each half by the threshold at sensitivity 0.95 of the other half, (n,)."""
    scores = np.exp(-np.logaddexp(0.0, -logits))
    decided = np.zeros(len(logits), dtype=bool)
    for half in (images.halves, ~images.halves):
        threshold = statistics.threshold_for_sensitivity(images.labels[~half], scores[~half], SENSITIVITY)
        decided[half] = scores[half] >= threshold
    return decided


def figures(images: Images, logits: NDArray[np.float64], of_float: NDArray[np.float64]) -> dict[str, object]:
    """Return AUC, its paired difference to float, and the decisions that differ from the float model's."""
    area = statistics.delong(images.labels, logits)
    decided, of_reference = alerts(images, logits), alerts(images, of_float)
    right, right_float = decided == images.labels, of_reference == images.labels
    return {
        "auc": area.value,
        "auc_ci95": area.ci95,
        "difference": difference(images, of_float, logits),
        "flipped": int((decided != of_reference).sum()),
        "flipped_to_wrong": int((right_float & ~right).sum()),
        "flipped_to_right": int((~right_float & right).sum()),
        "sensitivity": float(decided[images.labels == 1].mean()),
        "specificity": float(1.0 - decided[images.labels == 0].mean()),
        "logit_rmse": float(np.sqrt(np.mean((logits - of_float) ** 2))),
    }


def difference(images: Images, first: NDArray[np.float64], second: NDArray[np.float64]) -> dict[str, object]:
    """Return AUC of the second minus AUC of the first with the paired DeLong interval."""
    pair = statistics.paired_delong(images.labels, first, second)
    return {"value": pair.difference, "ci95": pair.ci95, "p": pair.p_value}
