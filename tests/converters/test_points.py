from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from converters import points
from converters.gate import Criterion
from edgemed import statistics
from edgemed.errors import GateError
from edgemed.statistics import proportions

RULE_OUT = Criterion(name="rule-out", sensitivity=0.9)
RULE_IN = Criterion(name="rule-in", specificity=0.9)
BALANCED = Criterion(name="balanced", balanced="equal-error")
SCORES = st.lists(st.tuples(st.floats(0.01, 0.99), st.booleans()), min_size=4, max_size=40).filter(
    lambda rows: len({abnormal for _, abnormal in rows}) == 2
)


def overlapping(rng: np.random.Generator, count: int = 200) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    labels = np.arange(count) % 2
    return labels, 1 / (1 + np.exp(-(1.5 * labels - 0.75 + rng.normal(size=count))))


def rates(labels: NDArray[np.int64], scores: NDArray[np.float64], threshold: float) -> tuple[float, float]:
    alerts = scores >= threshold
    return float(alerts[labels == 1].mean()), float((~alerts)[labels == 0].mean())


@given(SCORES)
def test_ruling_in_takes_the_lowest_threshold_of_its_specificity(rows: list[tuple[float, bool]]) -> None:
    scores, labels = np.array([row[0] for row in rows]), np.array([int(row[1]) for row in rows])
    found = points.threshold(RULE_IN, labels, scores)
    assert rates(labels, scores, found)[1] >= 0.9
    lower = [value for value in np.unique(scores) if value < found]
    assert all(rates(labels, scores, value)[1] < 0.9 for value in lower)


@given(SCORES)
def test_equal_error_differs_least_of_all_thresholds(rows: list[tuple[float, bool]]) -> None:
    scores, labels = np.array([row[0] for row in rows]), np.array([int(row[1]) for row in rows])
    sensitivity, specificity = rates(labels, scores, points.threshold(BALANCED, labels, scores))
    others = [rates(labels, scores, value) for value in np.unique(scores)]
    assert abs(sensitivity - specificity) <= min(abs(one - other) for one, other in others) + 1e-12


def test_ruling_out_and_in_keep_their_promises(rng: np.random.Generator) -> None:
    labels, scores = overlapping(rng)
    low, high = points.threshold(RULE_OUT, labels, scores), points.threshold(RULE_IN, labels, scores)
    assert rates(labels, scores, low)[0] >= 0.9
    assert rates(labels, scores, high)[1] >= 0.9
    assert low < points.threshold(BALANCED, labels, scores) < high


def test_thresholds_lie_on_no_image(rng: np.random.Generator) -> None:
    labels, scores = overlapping(rng)
    found = {points.threshold(criterion, labels, scores) for criterion in (RULE_OUT, RULE_IN, BALANCED)}
    assert not found & set(scores.tolist())


MET_BY_DECIDING_NOTHING = {
    "rule-in": (
        RULE_IN,
        [0.1, 0.2, 0.9, 0.9],
        "operating point rule-in: specificity >= 0.9 is reached only where no abnormal image alerts, on 3 normal and 1 "
        "abnormal images; train the model further, or ask for less",
    ),
    "rule-out": (
        RULE_OUT,
        [0.3, 0.2, 0.9, 0.1],
        "operating point rule-out: sensitivity >= 0.9 is reached only where every normal image alerts as well, on 3 "
        "normal and 1 abnormal images; train the model further, or ask for less",
    ),
}


@pytest.mark.parametrize("name", MET_BY_DECIDING_NOTHING)
def test_criterion_that_is_met_by_deciding_nothing_is_refused(name: str) -> None:
    criterion, values, message = MET_BY_DECIDING_NOTHING[name]
    labels, scores = np.array([0, 0, 0, 1]), np.array(values)
    threshold = points.threshold(criterion, labels, scores)
    found = points.point(criterion, threshold, labels, scores, groups=None, where="here")
    with pytest.raises(GateError) as caught:
        points.require_useful(criterion, found)
    assert str(caught.value) == message


def test_independent_images_have_wilson_intervals(rng: np.random.Generator) -> None:
    labels, scores = overlapping(rng)
    found = points.attained(labels, scores, 0.5, groups=None)
    expected = statistics.rates(labels, scores, 0.5)
    assert expected.sensitivity is not None
    assert expected.specificity is not None
    assert (found.sensitivity, found.specificity) == (expected.sensitivity.value, expected.specificity.value)
    # Images of their own have a design effect of n / (n - 1): one image less, at most.
    assert found.sensitivity_ci95 == pytest.approx(expected.sensitivity.ci95, abs=0.003)
    assert found.specificity_ci95[0] <= expected.specificity.ci95[0]


def test_images_that_go_together_count_as_their_patients(rng: np.random.Generator) -> None:
    """Each patient's image stands there four times: the interval is that of a quarter of the images."""
    labels, scores = overlapping(rng, 60)
    patients = np.arange(60).astype(np.str_)
    once = points.attained(labels, scores, 0.5, groups=None)
    repeated = points.attained(labels.repeat(4), scores.repeat(4), 0.5, groups=patients.repeat(4))
    assert (repeated.sensitivity, repeated.n_abnormal) == (once.sensitivity, 120)
    assert repeated.sensitivity_ci95 == pytest.approx(once.sensitivity_ci95, abs=0.02)
    naive = points.attained(labels.repeat(4), scores.repeat(4), 0.5, groups=None)
    assert repeated.sensitivity_ci95[0] < naive.sensitivity_ci95[0] - 0.02


def separated(abnormal: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    labels = np.repeat([0, 1], [50, abnormal])
    return labels, np.where(labels == 1, 0.9, 0.1)


@pytest.mark.parametrize(("abnormal", "holds"), [(21, False), (210, True)], ids=["too few", "enough"])
def test_point_says_whether_its_images_carry_the_claim(abnormal: int, holds: bool) -> None:
    labels, scores = separated(abnormal)
    criterion = Criterion(name="rule-out", sensitivity=0.95)
    threshold = points.threshold(criterion, labels, scores)
    point = points.point(criterion, threshold, labels, scores, groups=None, where="here")
    assert (point.sensitivity, point.holds) == (1.0, holds)
    assert point.criterion == "sensitivity >= 0.95 here"
    low = abnormal / (abnormal + 1.959964**2)
    assert point.sensitivity_ci95[0] == pytest.approx(low, rel=1e-6)


def test_images_of_one_patient_count_as_one() -> None:
    labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.9, 0.9, 0.1])
    point = points.attained(labels, scores, 0.5, groups=np.array(["a", "a", "b", "b"]))
    assert (point.sensitivity, point.n_abnormal) == (0.5, 2)
    assert point.sensitivity_ci95 == pytest.approx(proportions.wilson_interval(0.5, 1))


def test_balanced_point_claims_nothing(rng: np.random.Generator) -> None:
    labels, scores = overlapping(rng)
    point = points.point(BALANCED, 0.5, labels, scores, groups=None, where="here")
    assert (point.holds, point.criterion) == (None, "sensitivity = specificity here")
    assert math.isclose(point.sensitivity, rates(labels, scores, 0.5)[0])
