from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from converters import operating, scaling
from converters.division import Parts
from converters.gate import Criterion, Gate, Indeterminate
from converters.operating import Answered
from edgemed.runtime import decision
from edgemed.runtime.decision import Decision
from edgemed.statistics.proportions import wilson_interval
from tests.converters.test_scaling import document

QUALITY = decision.QualityLimits(min_side_px=16, max_side_px=512, min_contrast=0.0, max_coloured_fraction=1.0)
POINTS = (
    Criterion(name="rule-out", sensitivity=0.95),
    Criterion(name="rule-in", specificity=0.95),
    Criterion(name="balanced", balanced="equal-error"),
)
GATE = Gate(points=POINTS[:1], active="rule-out")
GATE_IN = Gate(points=POINTS[1:2], active="rule-in")
BETWEEN = Gate(points=POINTS, active="balanced", indeterminate=Indeterminate.BETWEEN)
PARTS = Parts(operating=np.arange(0, 300, 2), gate=np.arange(1, 300, 2))


def answered(rng: np.random.Generator, *, apart: float = 3.0) -> Answered:
    labels = np.repeat([0, 1], 150)
    logits = apart * (labels - 0.5) + rng.normal(size=300)
    calibration = scaling.fitted(logits[PARTS.operating], labels[PARTS.operating])
    return Answered(logits=logits, labels=labels, groups=None, calibration=calibration)


def rule(
    found: Answered, gate: Gate, *, tolerance: float = 0.1, folds: scaling.Folds | None = None
) -> decision.DecisionRule:
    return operating.decision_rule(
        operating.basis(found, parts=PARTS, folds=folds),
        found,
        model_digest="sha256:" + "0" * 64,
        gate=gate,
        logit_tolerance=tolerance,
        quality=QUALITY,
        limits=None,
    )


def decided(logit: float, document: decision.DecisionRule) -> Decision:
    score = decision.score(logit, document.calibration)
    return decision.decide(score, document.indeterminate, document.operating_point.threshold)


def test_threshold_reaches_the_sensitivity_and_says_what_it_attained(rng: np.random.Generator) -> None:
    found = answered(rng)
    point = rule(found, GATE).operating_point
    chosen = PARTS.operating
    alerts = found.scores[chosen] >= point.threshold
    assert point.sensitivity == alerts[found.labels[chosen] == 1].mean() >= 0.95
    assert point.specificity == pytest.approx(1 - alerts[found.labels[chosen] == 0].mean())
    assert (point.n_abnormal, point.n_normal) == (75, 75)
    assert point.criterion == "sensitivity >= 0.95 on the operating part of validation"


def test_point_is_confirmed_on_images_that_did_not_choose_it(rng: np.random.Generator) -> None:
    found = answered(rng)
    point = rule(found, GATE).operating_point
    alerts = found.scores[PARTS.gate] >= point.threshold
    assert point.confirmed is not None
    assert point.confirmed.sensitivity == alerts[found.labels[PARTS.gate] == 1].mean()
    assert point.confirmed.n_normal == 75


@pytest.mark.parametrize("gate", [GATE, BETWEEN], ids=["tolerance", "between"])
@pytest.mark.parametrize("apart", [3.0, 9.0], ids=["overlapping", "apart"])
def test_indeterminate_zone_spans_the_tolerance_between_back_ends(
    rng: np.random.Generator, gate: Gate, apart: float
) -> None:
    made = rule(answered(rng, apart=apart), gate, tolerance=0.25)
    for logit in np.linspace(-6, 6, 400):
        assert {decided(logit, made), decided(logit + 0.249, made)} != {Decision.ALERT, Decision.CLEAR}


def test_between_ruling_out_and_ruling_in_nothing_is_decided(rng: np.random.Generator) -> None:
    found = answered(rng, apart=1.5)
    made = rule(found, BETWEEN)
    low, high, middle = (point.threshold for point in made.operating_points)
    assert (made.indeterminate.low, made.indeterminate.high) == (low, high)
    assert low < middle < high
    assert made.active == "balanced"
    chosen = PARTS.operating
    outcomes = np.array([decided(logit, made).value for logit in found.logits[chosen]])
    truth = found.labels[chosen]
    assert (outcomes[truth == 1] == "clear").mean() <= 0.05
    assert (outcomes[truth == 0] == "alert").mean() <= 0.05
    assert operating.notes(made, BETWEEN)[-1].startswith("rule-in: specificity >= 0.95")


def test_threshold_that_rules_out_above_the_one_that_rules_in_leaves_the_tolerance(rng: np.random.Generator) -> None:
    found = answered(rng, apart=9.0)
    made = rule(found, BETWEEN, tolerance=0.25)
    out, into, balanced = (point.threshold for point in made.operating_points)
    assert out > into
    centre = scaling.logit(balanced, found.calibration)
    assert scaling.logit(made.indeterminate.low, found.calibration) == pytest.approx(centre - 0.25)
    assert scaling.logit(made.indeterminate.high, found.calibration) == pytest.approx(centre + 0.25)
    assert operating.notes(made, BETWEEN)[-1] == (
        f"the threshold that rules out, {out:.4f}, is not below the one that rules in, {into:.4f}: each threshold "
        "between them meets both criteria, so that only the tolerance between back ends is indeterminate"
    )


def test_altered_views_choose_with_their_images_and_count_as_one_patient(rng: np.random.Generator) -> None:
    found = answered(rng)
    chosen = PARTS.operating
    # Every view moves up: a threshold of unaltered images would call more than half of their normals abnormal.
    altered = found.logits[chosen] + np.array([[2.0], [2.0], [2.0]])
    point = rule(dataclasses.replace(found, altered=altered), GATE_IN).operating_point
    before = rule(found, GATE_IN).operating_point
    pooled = scaling.scores(np.concatenate([found.logits[chosen], *altered]), found.calibration)
    normal = np.tile(found.labels[chosen], 4) == 0
    assert point.specificity == pytest.approx((pooled[normal] < point.threshold).mean())
    assert 0.95 <= point.specificity < 0.96
    assert (pooled[normal] < before.threshold).mean() < 0.8
    assert (point.n_abnormal, point.n_normal) == (300, 300)
    independent = wilson_interval(point.specificity, point.n_normal)
    assert point.specificity_ci95[0] < independent[0] - 0.01
    assert point.confirmed is not None
    assert point.confirmed.n_normal == 75
    assert point.criterion == (
        "specificity >= 0.95 on the operating part of validation, each image as it is and in 3 altered views"
    )


def test_claim_that_the_images_do_not_carry_is_said(rng: np.random.Generator) -> None:
    made = rule(answered(rng), GATE)
    assert made.operating_point.holds is False
    assert operating.notes(made, GATE) == (
        "rule-out: sensitivity >= 0.95 on the operating part of validation: attained, but 75 abnormal and 75 normal "
        "images do not carry the claim: the lower end of its 95 % interval lies below",
    )


def test_out_of_fold_answers_choose_the_thresholds_where_there_are_any(rng: np.random.Generator) -> None:
    folds = scaling.of_folds(document(rng, slopes=(0.8, 1.0, 1.3), count=400))
    found = dataclasses.replace(answered(rng), calibration=scaling.fitted(*_operating(answered(rng)), folds=folds))
    point = rule(found, GATE, folds=folds).operating_point
    assert point.criterion == "sensitivity >= 0.95 out of fold on train and validation, 3 folds"
    assert point.n_abnormal + point.n_normal == 1200
    assert (folds.scores[folds.labels == 1] >= point.threshold).mean() == point.sensitivity >= 0.95
    assert point.confirmed is not None
    assert point.confirmed.n_abnormal == 150


def _operating(found: Answered) -> tuple[np.ndarray, np.ndarray]:
    return found.logits[PARTS.operating], found.labels[PARTS.operating]
