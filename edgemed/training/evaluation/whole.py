"""The whole document that ``evaluate --json`` prints."""

from __future__ import annotations

import msgspec

from edgemed.training.evaluation.document import (
    BrierParts,
    Calibrated,
    Comparison,
    DecisionCurve,
    Evaluated,
    Figure,
    PointResult,
    Several,
    Subgroup,
)
from edgemed.training.out_of_distribution import OodReport

__all__ = ["Evaluation"]


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model does on labelled images.

    Attributes:
        bundle: name, version and digest of the bundle that was evaluated; None for a model without one.
        model: digest of the model, by which a bundle knows the evaluations that are its own.
        decision_version: of the thresholds; None where they were fitted for this evaluation.
        backend: that ran the model.
        recipe: that named the data's columns and divided the data.
        seed: of the recipe; it cut validation from train and drew the patients of the resamples.
        n, n_abnormal: images scored; refused ones count too, with the score their logit would have had, unless they
            were refused before inference (``unscored``).
        n_groups: patients among them, where patients are known; otherwise images.
        resamples: of whole patients; None where no patient has several images.
        brier, expected_calibration_error: of the scores in force; ten equal bins.
        decisions: how many images ended as what.
        interval: the method behind every interval, in words.
        unit: what n counts and ci95 takes as independent.
        subject: what was evaluated, in more words than ``bundle``.
        thresholds: where calibration and thresholds come from, in words.
        average_precision: at the prevalence of these images.
        calibrations: before and after each calibration; the one in force is marked.
        comparison: with another model; None where none was named.
        several: for a model of several labels; None for one of abnormal against normal.
        out_of_distribution: None where no such images were named.
        cautions: what a reader must know before relying on a figure, a sentence each.
    """

    schema_version: int
    bundle: dict[str, str] | None
    model: str
    decision_version: int | None
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
    subject: Evaluated
    thresholds: str
    average_precision: Figure
    brier_parts: BrierParts
    calibrations: tuple[Calibrated, ...]
    decision_curve: DecisionCurve
    subgroups: tuple[Subgroup, ...]
    comparison: Comparison | None
    several: Several | None
    out_of_distribution: OodReport | None
    cautions: tuple[str, ...]
