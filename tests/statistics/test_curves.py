from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given

from edgemed import statistics
from tests.statistics.drawn import labelled_scores


@given(labelled_scores(least=1))
def test_roc_curve_equals_scikit_learn(data: tuple[np.ndarray, np.ndarray]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    curve = statistics.roc_curve(*data)
    fpr, tpr, thresholds = metrics.roc_curve(*data, drop_intermediate=False)
    assert curve.false_positive_rate == pytest.approx(fpr, abs=1e-12)
    assert curve.true_positive_rate == pytest.approx(tpr, abs=1e-12)
    assert curve.thresholds.tolist() == thresholds.tolist()


@given(labelled_scores(least=1))
def test_area_below_the_roc_points_is_the_auc(data: tuple[np.ndarray, np.ndarray]) -> None:
    curve = statistics.roc_curve(*data)
    widths = np.diff(curve.false_positive_rate)
    area = np.sum(widths * (curve.true_positive_rate[1:] + curve.true_positive_rate[:-1]) / 2)
    assert area == pytest.approx(statistics.auc(*data), abs=1e-12)


@given(labelled_scores(least=1))
def test_precision_recall_points_equal_scikit_learn(data: tuple[np.ndarray, np.ndarray]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    curve = statistics.precision_recall_curve(*data)
    # scikit-learn rises in thresholds and adds a point of its own making at recall 0.
    precision, recall, thresholds = metrics.precision_recall_curve(*data)
    assert curve.precision == pytest.approx(precision[-2::-1], abs=1e-12)
    assert curve.recall == pytest.approx(recall[-2::-1], abs=1e-12)
    assert curve.thresholds.tolist() == thresholds[::-1].tolist()


@given(labelled_scores(least=1))
def test_average_precision_equals_scikit_learn_and_lies_in_its_interval(data: tuple[np.ndarray, np.ndarray]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    estimate = statistics.average_precision(*data)
    assert estimate.value == pytest.approx(metrics.average_precision_score(*data), abs=1e-12)
    assert 0.0 <= estimate.ci95[0] <= estimate.value <= estimate.ci95[1] <= 1.0


def test_average_precision_of_a_hand_computed_ranking() -> None:
    # Abnormals at ranks 1, 3 and 4 of 5: (1/1 + 2/3 + 3/4) / 3; the interval by the formula of Boyd et al. 2013.
    estimate = statistics.average_precision([1, 0, 1, 1, 0], [0.9, 0.8, 0.7, 0.6, 0.5])
    value = (1 + 2 / 3 + 3 / 4) / 3
    logit, margin = math.log(value / (1 - value)), 1.959963984540054 / math.sqrt(3 * value * (1 - value))
    assert estimate.value == pytest.approx(value)
    assert estimate.ci95 == pytest.approx((1 / (1 + math.exp(margin - logit)), 1 / (1 + math.exp(-margin - logit))))


def test_separated_classes_have_average_precision_one_with_an_open_interval() -> None:
    estimate = statistics.average_precision([1] * 20 + [0] * 50, [1.0] * 20 + [0.0] * 50)
    assert (estimate.value, estimate.ci95) == (1.0, statistics.wilson(20, 20).ci95)


def test_interval_of_the_average_precision_covers_the_true_value(rng: np.random.Generator) -> None:
    labels = np.repeat([0, 1], (150, 50))
    truth = statistics.average_precision(np.repeat([0, 1], (150_000, 50_000)), _scores(rng, 1000)).value
    covered = 0
    for _ in range(300):
        low, high = statistics.average_precision(labels, _scores(rng, 1)).ci95
        covered += low <= truth <= high
    # Boyd et al. find the logit interval conservative; three standard errors below 0.95.
    assert covered / 300 >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 300)


def _scores(rng: np.random.Generator, times: int) -> np.ndarray:
    return np.concatenate([rng.normal(size=150 * times), rng.normal(size=50 * times) + 1.5])


REFUSALS = {
    "roc of one class": (
        lambda: statistics.roc_curve([1, 1], [0.1, 0.2]),
        "labels: expected both classes, got 2 abnormal and 0 normal",
    ),
    "recall without abnormals": (
        lambda: statistics.average_precision([0, 0], [0.1, 0.2]),
        "labels: expected at least one abnormal (1), got none; a recall needs abnormals",
    ),
}


@pytest.mark.parametrize(("call", "message"), REFUSALS.values(), ids=REFUSALS)
def test_curve_the_data_cannot_carry_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message
