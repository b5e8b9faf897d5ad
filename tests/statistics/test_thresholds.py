from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed import statistics
from tests.statistics.drawn import labelled_scores


@given(labelled_scores(least=1), st.floats(0.001, 1.0))
def test_threshold_for_specificity_is_the_lowest_of_all_that_reach_it(data, specificity: float) -> None:
    labels, scores = data
    found = statistics.threshold_for_specificity(labels, scores, specificity)

    def reached(threshold: float) -> bool:
        rates = statistics.rates(labels, scores, threshold)
        return rates.specificity is not None and rates.specificity.value >= specificity

    beyond = bool(found == 1.0 and (scores[labels == 0] == 1.0).any())
    assert reached(found) or beyond
    assert not any(reached(t) for t in scores if t < found) or beyond


@given(labelled_scores(least=1), st.floats(0.001, 1.0))
def test_mirrored_scores_have_the_mirrored_threshold(data, share: float) -> None:
    labels, scores = data
    # Off the ends, where the two neighbours 0 and 1 are no mirror images of a tie.
    inner = 0.1 + 0.8 * scores
    for_specificity = statistics.threshold_for_specificity(labels, inner, share)
    for_sensitivity = statistics.threshold_for_sensitivity(1 - labels, 1.0 - inner, share)
    assert for_specificity == pytest.approx(1.0 - for_sensitivity, abs=1e-9)


@given(labelled_scores(least=1))
def test_rates_at_equal_error_differ_least_of_all_thresholds(data) -> None:
    labels, scores = data

    def apart(threshold: float) -> float:
        rates = statistics.rates(labels, scores, threshold)
        assert rates.sensitivity is not None
        assert rates.specificity is not None
        return abs(rates.sensitivity.value - rates.specificity.value)

    found = statistics.threshold_of_equal_error(labels, scores)
    assert apart(found) == pytest.approx(min(apart(t) for t in scores), abs=1e-12)


def test_among_equals_the_threshold_that_misses_fewest_wins() -> None:
    # At 0.4 sensitivity 1 and specificity 1/2, at 0.6 sensitivity 0 and specificity 1/2: both 1/2 apart.
    assert statistics.threshold_of_equal_error([0, 1, 0], [0.2, 0.4, 0.6]) == pytest.approx(0.3)


def test_highest_score_of_a_normal_leaves_room_above() -> None:
    assert statistics.threshold_for_specificity([0, 1], [0.6, 0.2], 1.0) == pytest.approx(0.8)
    assert statistics.threshold_for_specificity([0, 1], [1.0, 0.2], 1.0) == 1.0


REFUSALS = {
    "no normal": (
        lambda: statistics.threshold_for_specificity([1], [0.5], 0.9),
        "labels: expected at least one normal (0), got none; a specificity needs normals",
    ),
    "in percent": (
        lambda: statistics.threshold_for_specificity([0], [0.5], 95),
        "specificity: expected above 0 and at most 1, got 95",
    ),
    "one class": (
        lambda: statistics.threshold_of_equal_error([1], [0.5]),
        "labels: expected both classes, got 1 abnormal and 0 normal",
    ),
    "logits": (
        lambda: statistics.threshold_of_equal_error([1, 0], [2.5, -1.0]),
        "scores: expected values in [0, 1], got a value outside",
    ),
}


@pytest.mark.parametrize(("call", "message"), REFUSALS.values(), ids=REFUSALS)
def test_threshold_the_data_cannot_carry_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message


@given(st.tuples(*[st.integers(0, 40)] * 3).filter(any))
def test_f1_equals_scikit_learn_and_its_interval_is_that_of_the_share(counts: tuple[int, int, int]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    tp, fp, fn = counts
    labels, alerts = np.repeat([1, 0, 1], counts), np.repeat([1, 1, 0], counts)
    found = statistics.f1(tp, false_positives=fp, false_negatives=fn)
    assert found.value == pytest.approx(metrics.f1_score(labels, alerts, zero_division=0.0), abs=1e-12)
    low, high = statistics.wilson(tp, tp + fp + fn).ci95
    assert found.ci95 == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high)))
    assert found.ci95[0] <= found.value + 1e-12
    assert found.value <= found.ci95[1] + 1e-12


def test_interval_of_f1_covers_the_true_value(rng: np.random.Generator) -> None:
    # Multinomial cells tp, fn, fp, tn = 0.25, 0.05, 0.1, 0.6: F1 = 0.5 / 0.65.
    covered = 0
    for tp, fn, fp, _ in rng.multinomial(150, [0.25, 0.05, 0.1, 0.6], size=500).tolist():
        low, high = statistics.f1(tp, false_positives=fp, false_negatives=fn).ci95
        covered += low <= 0.5 / 0.65 <= high
    assert covered / 500 >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 500)


def test_f1_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError) as caught:
        statistics.f1(0, false_positives=0, false_negatives=0)
    assert str(caught.value) == "expected counts of at least 0, one of them above, got tp, fp, fn (0, 0, 0)"
