"""The decision document of a converted model: operating points, the zone between them, and everything beside it.

Thresholds are chosen on scores of images that the scoring model never saw: on the out-of-fold answers over train and
validation where there are any, else on what the model itself answers to the operating part of validation, and to
altered views of it where there are some. Scores of all are calibrated probabilities, so that a threshold chosen on the
one holds on the other; what the model that ships attains there on validation stands beside each point.

    basis = operating.basis(answered, parts=parts, folds=folds)
    rule = operating.decision_rule(basis, answered, gate=gate, ...)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters import points, scaling
from converters.division import Parts
from converters.gate import Gate, Indeterminate
from converters.scaling import Folds
from edgemed.runtime import decision

__all__ = ["Answered", "Basis", "basis", "choosing", "decision_rule", "notes", "require_useful"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Answered:
    """What one model answers to all of validation.

    Attributes:
        logits: (n,), of abnormal against normal.
        labels: (n,), 0 normal and 1 abnormal.
        groups: (n,) patients or what else was kept together; None where nothing is known.
        calibration: of the model.
        altered: (v, m), of v altered views of the m images of the operating part; None where there are none.
    """

    logits: NDArray[np.float64]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_] | None
    calibration: decision.Calibration
    altered: NDArray[np.float64] | None = None

    @property
    def scores(self) -> NDArray[np.float64]:
        """Return the calibrated score of each image, (n,)."""
        return scaling.scores(self.logits, self.calibration)


@dataclass(frozen=True, kw_only=True, eq=False)
class Basis:
    """Images that choose thresholds, and those that confirm them.

    Attributes:
        labels: (m,), 0 normal and 1 abnormal.
        scores: (m,), calibrated.
        groups: (m,) or None.
        where: the images in words.
        confirming: indices into validation: images whose answers by the model that ships chose no threshold.
    """

    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    groups: NDArray[np.str_] | None
    where: str
    confirming: NDArray[np.int64]


def basis(answered: Answered, *, parts: Parts, folds: Folds | None) -> Basis:
    """Return what chooses the thresholds of a model: the folds where there are any, else the operating part."""
    if folds is not None:
        return Basis(
            labels=folds.labels,
            scores=folds.scores,
            groups=folds.groups,
            where=f"out of fold on train and validation, {folds.count} folds",
            confirming=np.arange(len(answered.labels)),
        )
    chosen, altered = parts.operating, answered.altered
    logits, labels = choosing(answered.logits[chosen], answered.labels[chosen], altered)
    groups = None if answered.groups is None else answered.groups[chosen]
    where = "on the operating part of validation"
    if altered is not None:
        # Views of one image say no more than views of one patient would.
        groups = np.tile(chosen.astype(np.str_) if groups is None else groups, 1 + len(altered))
        where = f"{where}, each image as it is and in {len(altered)} altered view{'s' * (len(altered) > 1)}"
    return Basis(
        labels=labels,
        scores=scaling.scores(logits, answered.calibration),
        groups=groups,
        where=where,
        confirming=parts.gate,
    )


def choosing(
    logits: NDArray[np.float64], labels: NDArray[np.int64], altered: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return logits and labels of images and of their altered views, ((1 + v) m,) each.

    Args:
        logits: (m,).
        labels: (m,).
        altered: (v, m), or None for no views.
    """
    if altered is None:
        return logits, labels
    return np.concatenate([logits, altered.reshape(-1)]), np.tile(labels, 1 + len(altered))


def decision_rule(
    chosen_on: Basis,
    answered: Answered,
    *,
    model_digest: str,
    gate: Gate,
    logit_tolerance: float,
    quality: decision.QualityLimits,
    limits: decision.OutOfDistribution | None,
) -> decision.DecisionRule:
    """Return the decision document of a model.

    Args:
        chosen_on: result of `basis`.
        answered: what the converted model answers to validation.
        model_digest: of its file.
        gate: names the operating points and the kind of indeterminate zone.
        logit_tolerance: largest difference of a logit between back ends.
        quality: limits before inference.
        limits: of the domain; None where the model has no embedding.
    """
    found = _points(chosen_on, answered, gate)
    return decision.DecisionRule(
        schema=1,
        version=1,
        model=model_digest,
        calibration=answered.calibration,
        operating_points=found,
        active=gate.active,
        indeterminate=_zone(found, gate, answered.calibration, logit_tolerance),
        quality=quality,
        out_of_distribution=limits,
    )


def require_useful(rule: decision.DecisionRule, gate: Gate) -> None:
    """Return when each operating point of a document decides something.

    Raises:
        GateError: a criterion is met only where every image alerts, or none does.
    """
    for criterion, found in zip(gate.points, rule.operating_points, strict=True):
        points.require_useful(criterion, found)


def notes(rule: decision.DecisionRule, gate: Gate) -> tuple[str, ...]:
    """Return what to know of the operating points of a document, a line each: claims that the images do not carry."""
    said = []
    for point in rule.operating_points:
        if point.holds is False:
            said.append(
                f"{point.name}: {point.criterion}: attained, but {point.n_abnormal} abnormal and {point.n_normal} "
                "normal images do not carry the claim: the lower end of its 95 % interval lies below"
            )
    ends = _ends(rule.operating_points, gate)
    if gate.indeterminate is Indeterminate.BETWEEN and ends is not None and ends[0] >= ends[1]:
        said.append(
            f"the threshold that rules out, {ends[0]:.4f}, is not below the one that rules in, {ends[1]:.4f}: each "
            "threshold between them meets both criteria, so that only the tolerance between back ends is indeterminate"
        )
    return tuple(said)


def _points(chosen_on: Basis, answered: Answered, gate: Gate) -> tuple[decision.OperatingPoint, ...]:
    confirming, scores = chosen_on.confirming, answered.scores
    found = []
    for criterion in gate.points:
        threshold = points.threshold(criterion, chosen_on.labels, chosen_on.scores)
        confirmed = points.attained(
            answered.labels[confirming],
            scores[confirming],
            threshold,
            groups=None if answered.groups is None else answered.groups[confirming],
        )
        found.append(
            points.point(
                criterion,
                threshold,
                chosen_on.labels,
                chosen_on.scores,
                groups=chosen_on.groups,
                where=chosen_on.where,
                confirmed=confirmed,
            )
        )
    return tuple(found)


def _zone(
    found: tuple[decision.OperatingPoint, ...], gate: Gate, calibration: decision.Calibration, tolerance: float
) -> decision.Zone:
    """Return the indeterminate zone: it holds the active threshold and is at least twice the tolerance wide."""
    active = next(point.threshold for point in found if point.name == gate.active)
    ends = _ends(found, gate)
    if gate.indeterminate is Indeterminate.TOLERANCE or ends is None or ends[0] >= ends[1]:
        ends = active, active
    low, high = (scaling.logit(end, calibration) for end in ends)
    lacking = max(0.0, 2.0 * tolerance - (high - low))
    if lacking:
        ends = (decision.score(low - lacking / 2, calibration), decision.score(high + lacking / 2, calibration))
    # The zone holds the active threshold itself, whatever rounding made of its way to a logit and back.
    return decision.Zone(low=min(active, ends[0]), high=max(active, ends[1]))


def _ends(found: tuple[decision.OperatingPoint, ...], gate: Gate) -> tuple[float, float] | None:
    """Return the thresholds that rule out and rule in, where there are both."""
    if gate.ruling_out is None or gate.ruling_in is None:
        return None
    of = {point.name: point.threshold for point in found}
    return of[gate.ruling_out.name], of[gate.ruling_in.name]
