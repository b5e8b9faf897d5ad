from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed import statistics
from tests.statistics.drawn import labelled_scores


@given(labelled_scores(least=1), st.integers(1, 15))
def test_reliability_table_gives_the_calibration_error(data, bins: int) -> None:
    labels, scores = data
    table = statistics.reliability(labels, scores, bins)
    total = sum(
        one.n / len(labels) * abs(one.mean_score - one.observed.value)
        for one in table
        if one.mean_score is not None and one.observed is not None
    )
    assert [one.n > 0 for one in table] == [one.mean_score is not None for one in table]
    assert sum(one.n for one in table) == len(labels)
    assert statistics.expected_calibration_error(labels, scores, bins) == pytest.approx(total, abs=1e-12)


def test_bins_hold_what_the_definition_says() -> None:
    first, last = statistics.reliability([0, 1, 1, 0], [0.0, 0.49, 0.5, 1.0], bins=2)
    assert (first.n, first.mean_score, first.low, first.high) == (2, 0.245, 0.0, 0.5)
    assert (last.n, last.mean_score) == (2, 0.75)
    assert first.observed == statistics.wilson(1, 2)


def test_scikit_learn_draws_the_same_reliability_curve(rng: np.random.Generator) -> None:
    calibration = pytest.importorskip("sklearn.calibration")
    scores = rng.random(500)
    labels = (rng.random(500) < scores**1.5).astype(int)
    observed, foretold = calibration.calibration_curve(labels, scores, n_bins=10)
    table = [one for one in statistics.reliability(labels, scores) if one.n]
    assert [one.mean_score for one in table] == pytest.approx(foretold, abs=1e-12)
    assert [one.observed.value for one in table if one.observed] == pytest.approx(observed, abs=1e-12)


@given(labelled_scores(least=1), st.integers(1, 15))
def test_brier_score_is_the_sum_of_its_parts(data, bins: int) -> None:
    labels, scores = data
    parts = statistics.brier_parts(labels, scores, bins)
    whole = parts.reliability - parts.resolution + parts.uncertainty
    assert whole == pytest.approx(statistics.brier(labels, scores), abs=1e-12)
    assert parts.reliability >= 0.0
    assert parts.uncertainty == pytest.approx(np.mean(labels) * (1 - np.mean(labels)))


def test_parts_of_scores_on_the_bins_are_murphys() -> None:
    # Scores take one value in each bin, so that nothing happens inside of it: Murphy's three terms by hand.
    labels, scores = np.array([0, 0, 0, 1, 0, 1, 1, 1]), np.repeat([0.25, 0.75], 4)
    parts = statistics.brier_parts(labels, scores, bins=2)
    assert parts.reliability == pytest.approx(0.0)
    assert parts.resolution == pytest.approx((0.25 - 0.5) ** 2)
    assert parts.uncertainty == 0.25


class TestCalibration:
    @given(labelled_scores(least=1))
    def test_brier_equals_scikit_learn(self, data: tuple[np.ndarray, np.ndarray]) -> None:
        metrics = pytest.importorskip("sklearn.metrics")
        assert statistics.brier(*data) == pytest.approx(metrics.brier_score_loss(*data), abs=1e-12)

    @given(labelled_scores(least=1), st.integers(1, 15))
    def test_calibration_error_equals_the_definition(self, data, bins: int) -> None:
        labels, scores = data
        total = 0.0
        for k in range(bins):
            inside = [i for i in range(scores.size) if min(math.floor(scores[i] * bins), bins - 1) == k]
            if inside:
                total += len(inside) / scores.size * abs(np.mean(scores[inside]) - np.mean(labels[inside]))
        assert statistics.expected_calibration_error(labels, scores, bins) == pytest.approx(total, abs=1e-12)

    def test_calibration_error_of_certain_and_right_scores_is_zero(self) -> None:
        assert statistics.expected_calibration_error([1, 0], [1.0, 0.0]) == 0.0

    def test_calibration_error_of_certain_and_wrong_scores_is_one(self) -> None:
        assert statistics.expected_calibration_error([1, 0], [0.0, 1.0]) == 1.0


REFUSALS = {
    "no bins": (lambda: statistics.reliability([0], [0.5], 0), "bins: expected at least 1, got 0"),
    "parts of logits": (
        lambda: statistics.brier_parts([1], [2.5]),
        "scores: expected values in [0, 1], got a value outside",
    ),
    "bins": (
        lambda: statistics.expected_calibration_error([0], [0.5], 0),
        "bins: expected at least 1, got 0",
    ),
    "brier-of-logits": (
        lambda: statistics.brier([1], [2.5]),
        "scores: expected values in [0, 1], got a value outside",
    ),
}


@pytest.mark.parametrize(("call", "message"), REFUSALS.values(), ids=REFUSALS)
def test_calibration_of_what_is_no_probability_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message
