"""The document of an evaluation: every figure with its intervals, and what it was measured on.

print(evaluation.auc)  # 0.9830 [0.9707, 0.9901], by patient [0.9650, 0.9934]
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from edgemed import statistics

__all__ = ["Evaluation", "Figure", "Interval", "PointResult"]

Interval: TypeAlias = tuple[float, float]


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Figure(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value with its 95 % intervals.

    Attributes:
        ci95: DeLong or Wilson, with images as independent.
        ci95_by_patient: percentiles over resamples of whole patients at the prevalence of the data; None where no
            patient has several images, or where the resamples show no spread or leave the figure undefined.
    """

    value: float
    ci95: Interval
    ci95_by_patient: Interval | None

    def __str__(self) -> str:
        """Return the value with its intervals as they are shown to people."""
        return statistics.shown(self.value, self.ci95, by_patient=self.ci95_by_patient)


class PointResult(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one operating point attains; None where a class has no image."""

    name: str
    criterion: str
    active: bool
    threshold: float
    sensitivity: Figure | None
    specificity: Figure | None
    ppv: Figure | None
    npv: Figure | None
    accuracy: Figure


class Evaluation(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document ``evaluate --json`` prints.

    Attributes:
        bundle: name, version and digest of what was evaluated.
        model: digest of the int8 model, by which a bundle knows the evaluations that are its own.
        decision_version: of the thresholds.
        backend: that ran the int8 model.
        recipe: that named the data's columns and divided the data.
        seed: of the recipe; it cut validation from train and drew the patients of the resamples.
        n, n_abnormal: images scored; refused ones count too, with the score their logit would have had, unless they
            were refused before inference (``unscored``).
        n_groups: patients among them, where patients are known; otherwise images.
        resamples: of whole patients; None where no patient has several images.
        brier, expected_calibration_error: of the calibrated scores; ten equal bins.
        decisions: how many images ended as what.
        interval: the method behind every interval, in words.
        unit: what n counts and ci95 takes as independent.
    """

    schema_version: int
    bundle: dict[str, str]
    model: str
    decision_version: int
    backend: str
    recipe: str
    seed: int
    split: str
    n: int
    n_abnormal: int
    n_groups: int
    unscored: int
    resamples: int | None
    auc: Figure
    brier: float
    expected_calibration_error: float
    operating_points: tuple[PointResult, ...]
    decisions: dict[str, int]
    interval: str
    unit: str
