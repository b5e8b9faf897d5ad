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


class TestThresholdForSensitivity:
    @given(labelled_scores(least=1), st.floats(0.001, 1.0))
    def test_threshold_is_the_highest_of_all_that_reach_it(self, data, sensitivity: float) -> None:
        labels, scores = data
        found = statistics.threshold_for_sensitivity(labels, scores, sensitivity)

        def reached(threshold: float) -> bool:
            return statistics.rates(labels, scores, threshold).sensitivity.value >= sensitivity

        assert reached(found)
        higher = [*(t for t in scores if t > found), 2.0]
        # No image lies between `found` and the lowest of these, so any higher choice decides like one of them or above.
        assert not any(reached(math.nextafter(t, math.inf)) for t in higher)

    @given(labelled_scores(least=1), st.floats(0.001, 1.0))
    def test_no_image_lies_on_the_threshold(self, data, sensitivity: float) -> None:
        labels, scores = data
        found = statistics.threshold_for_sensitivity(labels, scores, sensitivity)
        assert found not in scores or found == 0.0

    def test_threshold_is_midway_between_neighbours(self) -> None:
        found = statistics.threshold_for_sensitivity([1, 1, 0, 0], [0.9, 0.6, 0.4, 0.1], 1.0)
        assert found == pytest.approx(0.5)

    def test_normal_tied_with_the_needed_abnormal_stays_above(self) -> None:
        found = statistics.threshold_for_sensitivity([1, 0, 0], [0.6, 0.6, 0.2], 1.0)
        assert found == pytest.approx(0.4)

    def test_exact_share_needs_no_further_abnormal(self) -> None:
        scores = np.linspace(0.01, 1.0, 100)
        assert statistics.threshold_for_sensitivity(np.ones(100), scores, 0.95) == pytest.approx(0.055)

    def test_abnormal_with_the_lowest_score_makes_everything_alert(self) -> None:
        assert statistics.threshold_for_sensitivity([1, 0], [0.2, 0.8], 1.0) == 0.1

    def test_neighbours_without_a_number_between_give_the_upper(self) -> None:
        upper = math.nextafter(0.5, 1.0)
        assert statistics.threshold_for_sensitivity([1, 0], [upper, 0.5], 1.0) == upper


REFUSALS = {
    "no-abnormal": (
        lambda: statistics.threshold_for_sensitivity([0], [0.5], 0.9),
        "labels: expected at least one abnormal (1), got none; a sensitivity needs abnormals",
    ),
    "sensitivity-above-one": (
        lambda: statistics.threshold_for_sensitivity([1], [0.5], 95),
        "sensitivity: expected above 0 and at most 1, got 95",
    ),
    "sensitivity-of-logits": (
        lambda: statistics.threshold_for_sensitivity([1], [-2.5], 0.9),
        "scores: expected values in [0, 1], got a value outside",
    ),
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
