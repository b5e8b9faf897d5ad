from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed import statistics
from tests.statistics.drawn import labelled_scores

# "Intervention to all patients" at 30 % prevalence as published in PMC6993280, table 4 (AFP below 400 ug/L).
PUBLISHED = {0.05: 0.263, 0.08: 0.239, 0.10: 0.222, 0.20: 0.125, 0.30: 0.0, 0.40: -0.167, 0.50: -0.4, 0.90: -6.0}


def test_acting_on_everyone_has_the_published_net_benefit() -> None:
    labels, scores = np.repeat([1, 0], (30, 70)), np.linspace(0, 1, 100)
    curve = statistics.decision_curve(labels, scores, list(PUBLISHED))
    assert curve.everyone == pytest.approx(list(PUBLISHED.values()), abs=0.0005)


@given(labelled_scores(least=1), st.lists(st.floats(0.01, 0.99), min_size=1, max_size=8))
def test_model_equals_the_count_of_true_and_weighted_false_positives(data, thresholds: list[float]) -> None:
    labels, scores = data
    curve = statistics.decision_curve(labels, scores, thresholds)
    for found, t in zip(curve.model, thresholds, strict=True):
        alert = scores >= t
        expected = (alert & (labels == 1)).sum() / len(labels) - (alert & (labels == 0)).sum() / len(labels) * t / (
            1 - t
        )
        assert found == pytest.approx(expected, abs=1e-12)


def test_perfect_score_is_worth_the_prevalence_whatever_the_threshold() -> None:
    curve = statistics.decision_curve([1, 1, 0, 0], [1.0, 1.0, 0.0, 0.0], [0.1, 0.5, 0.9], prevalence=0.02)
    assert curve.model == pytest.approx([0.02, 0.02, 0.02])


REFUSALS = {
    "threshold of one": (
        lambda: statistics.decision_curve([1, 0], [0.5, 0.1], [0.5, 1.0]),
        "thresholds: expected an array (k,) of values above 0 and below 1",
    ),
    "one class": (
        lambda: statistics.decision_curve([1, 1], [0.5, 0.1], [0.5]),
        "labels: expected both classes, got 2 abnormal and 0 normal",
    ),
    "logits": (
        lambda: statistics.decision_curve([1, 0], [2.5, 0.1], [0.5]),
        "scores: expected values in [0, 1], got a value outside",
    ),
    "prevalence": (
        lambda: statistics.decision_curve([1, 0], [0.5, 0.1], [0.5], prevalence=1.0),
        "prevalence: expected above 0 and below 1, got 1.0",
    ),
}


@pytest.mark.parametrize(("call", "message"), REFUSALS.values(), ids=REFUSALS)
def test_curve_the_data_cannot_carry_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message
