"""The document of an evaluation: every figure with its intervals, and what it was measured on.

print(evaluation.auc)  # 0.9830 [0.9707, 0.9901], by patient [0.9650, 0.9934]
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from edgemed import statistics

__all__ = [
    "FEW",
    "AtPrevalence",
    "Bin",
    "BrierParts",
    "Calibrated",
    "ComparedPoint",
    "Comparison",
    "DecisionCurve",
    "Evaluated",
    "Figure",
    "Interval",
    "PointResult",
    "Ratio",
    "Several",
    "Subgroup",
]

Interval: TypeAlias = tuple[float, float]

FEW = 30
"""Images below which a figure of a subgroup, or of a class, is marked as resting on few."""


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Figure(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value with its 95 % intervals.

    Attributes:
        ci95: with images as independent; the document says by which method.
        ci95_by_patient: percentiles over resamples of whole patients at the prevalence of the data; None where no
            patient has several images, or where the resamples show no spread or leave the figure undefined.
    """

    value: float
    ci95: Interval
    ci95_by_patient: Interval | None

    def __str__(self) -> str:
        """Return the value with its intervals as they are shown to people."""
        return statistics.shown(self.value, self.ci95, by_patient=self.ci95_by_patient)


class Ratio(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A likelihood ratio with its 95 % interval; None is without bound."""

    value: float | None
    ci95: tuple[float, float | None]

    def __str__(self) -> str:
        """Return the ratio with its interval as it is shown to people."""
        return statistics.shown_ratio(self.value, self.ci95)


class AtPrevalence(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Predictive values in a population with a stated prevalence; None where no image alerts, or every one."""

    prevalence: float
    ppv: Figure | None
    npv: Figure | None


class PointResult(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one operating point attains; a figure of no image is None.

    Attributes:
        active: it is the one in force.
        ppv, npv: at the prevalence of the evaluated images.
        true_positives, false_negatives, true_negatives, false_positives: the confusion matrix.
        likelihood_ratio_positive, likelihood_ratio_negative: by how much an alert, or its absence, changes the odds.
        at_prevalence: predictive values at the prevalences asked for.
    """

    name: str
    criterion: str
    active: bool
    threshold: float
    sensitivity: Figure | None
    specificity: Figure | None
    ppv: Figure | None
    npv: Figure | None
    accuracy: Figure
    f1: Figure | None
    true_positives: int
    false_negatives: int
    true_negatives: int
    false_positives: int
    likelihood_ratio_positive: Ratio | None
    likelihood_ratio_negative: Ratio | None
    at_prevalence: tuple[AtPrevalence, ...]


class Bin(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Images whose score lies in [low, high): what was foretold, and what was observed; None in an empty bin."""

    low: float
    high: float
    n: int
    mean_score: float | None
    observed: Figure | None


class BrierParts(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Brier score = reliability - resolution + uncertainty; ten equal bins."""

    reliability: float
    resolution: float
    uncertainty: float


class Calibrated(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far the scores of one calibration are probabilities on the evaluated images.

    Attributes:
        method: ``none`` (sigmoid of the logit), ``in force``, ``platt``, ``temperature`` or ``isotonic``.
        fitted_on: in words.
    """

    method: Literal["none", "in force", "platt", "temperature", "isotonic"]
    fitted_on: str
    brier: float
    brier_parts: BrierParts
    expected_calibration_error: float
    bins: tuple[Bin, ...]


class DecisionCurve(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Net benefit a patient of acting by the score in force, and on everyone; on none it is 0."""

    prevalence: float
    thresholds: tuple[float, ...]
    model: tuple[float, ...]
    everyone: tuple[float, ...]


class Subgroup(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The images with one value of an attribute.

    Attributes:
        value: None for those where it is not known.
        few: fewer than 30 images, or than 30 of a class that a figure rests on: chance may explain any difference.
        auc: None with fewer than two images of a class.
        sensitivity, specificity: at the active operating point.
    """

    attribute: str
    value: str | None
    n: int
    n_abnormal: int
    few: bool
    auc: Figure | None
    sensitivity: Figure | None
    specificity: Figure | None


class Evaluated(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was evaluated.

    Attributes:
        name: of the bundle, or of the recipe.
        version: of a bundle.
        model: digest of the model's file.
        labels: its own words for what it tells apart; those in ``normal_labels`` are no finding.
    """

    kind: Literal["bundle", "run", "keras", "tflite"]
    name: str
    version: str | None
    model: str
    labels: tuple[str, ...]
    normal_labels: tuple[str, ...]


class ComparedPoint(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Decisions of two models, each at its own threshold, on the same images.

    Attributes:
        flipped: decided differently: ``to_alert`` and ``to_clear`` by the other model.
        p_value: McNemar's exact test on those that one of the two got right.
    """

    name: str
    threshold: float
    other_threshold: float
    flipped: int
    to_alert: int
    to_clear: int
    only_this_right: int
    only_other_right: int
    p_value: float


class Comparison(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another model on the same images.

    Attributes:
        n: images that both scored.
        difference: AUC of the other minus this one, paired DeLong, and by patient.
        p_value: of no difference.
        points: operating points that both have by name, or each one's active one.
    """

    other: Evaluated
    n: int
    auc: Figure
    other_auc: Figure
    difference: Figure
    p_value: float
    points: tuple[ComparedPoint, ...]


class Several(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model of several labels: which label has the highest probability.

    Attributes:
        one_vs_rest: AUC of each label's probability against all other labels.
        confusion: rows are the true labels, columns the predicted ones.
    """

    labels: tuple[str, ...]
    macro_auc: Figure
    one_vs_rest: dict[str, Figure]
    accuracy: Figure
    confusion: tuple[tuple[int, ...], ...]
