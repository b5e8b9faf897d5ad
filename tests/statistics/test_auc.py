from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgemed import statistics
from tests.statistics.drawn import labelled_scores, noisy

REFERENCE_LABELS = [1, 1, 1, 0, 0, 0, 0]
REFERENCE_SCORES = [0.9, 0.8, 0.3, 0.8, 0.2, 0.1, 0.4]


def slow_kernel(abnormal: float, normal: float) -> float:
    return 1.0 if abnormal > normal else 0.5 if abnormal == normal else 0.0


def slow_components(labels: np.ndarray, scores: np.ndarray) -> tuple[list[float], list[float]]:
    """The structural components by DeLong's definition, pair by pair."""
    abnormal, normal = scores[labels == 1], scores[labels == 0]
    v10 = [sum(slow_kernel(x, y) for y in normal) / len(normal) for x in abnormal]
    v01 = [sum(slow_kernel(x, y) for x in abnormal) / len(abnormal) for y in normal]
    return v10, v01


class TestAuc:
    @given(labelled_scores(least=1))
    def test_auc_equals_scikit_learn(self, data: tuple[np.ndarray, np.ndarray]) -> None:
        metrics = pytest.importorskip("sklearn.metrics")
        assert statistics.auc(*data) == pytest.approx(metrics.roc_auc_score(*data), abs=1e-12)

    @given(labelled_scores(least=1))
    def test_auc_of_negated_scores_is_one_minus_auc(self, data: tuple[np.ndarray, np.ndarray]) -> None:
        labels, scores = data
        assert statistics.auc(labels, -scores) == pytest.approx(1 - statistics.auc(labels, scores), abs=1e-12)

    def test_auc_counts_a_tie_as_one_half(self) -> None:
        assert statistics.auc([1, 0], [0.5, 0.5]) == 0.5

    def test_auc_accepts_boolean_labels(self) -> None:
        assert statistics.auc([True, False], [0.9, 0.1]) == 1.0


class TestDelong:
    @given(labelled_scores())
    def test_variance_equals_the_definition_pair_by_pair(self, data: tuple[np.ndarray, np.ndarray]) -> None:
        v10, v01 = slow_components(*data)
        expected = np.var(v10, ddof=1) / len(v10) + np.var(v01, ddof=1) / len(v01)
        assert statistics.delong(*data).variance == pytest.approx(expected, abs=1e-14)

    @given(labelled_scores())
    def test_interval_holds_the_area_and_stays_in_range(self, data: tuple[np.ndarray, np.ndarray]) -> None:
        estimate = statistics.delong(*data)
        low, high = estimate.ci95
        assert 0.0 <= low <= estimate.value <= high <= 1.0

    @given(labelled_scores())
    def test_monotone_change_of_scores_changes_nothing(self, data: tuple[np.ndarray, np.ndarray]) -> None:
        labels, scores = data
        assert statistics.delong(labels, np.exp(3 * scores)) == statistics.delong(labels, scores)

    def test_hand_computed_example(self) -> None:
        # v10 = 1, 7/8, 1/2 and v01 = 1/2, 1, 1, 2/3, counted by hand.
        estimate = statistics.delong(REFERENCE_LABELS, REFERENCE_SCORES)
        v10, v01 = [1, 7 / 8, 1 / 2], [1 / 2, 1, 1, 2 / 3]
        assert estimate.value == pytest.approx(19 / 24)
        assert estimate.variance == pytest.approx(np.var(v10, ddof=1) / 3 + np.var(v01, ddof=1) / 4)

    def test_separated_classes_have_wilson_interval_of_the_smaller_class(self) -> None:
        estimate = statistics.delong([1] * 20 + [0] * 50, [1.0] * 20 + [0.0] * 50)
        assert (estimate.value, estimate.variance) == (1.0, 0.0)
        assert estimate.ci95 == statistics.wilson(20, 20).ci95

    def test_interval_covers_the_true_area_near_one(self, rng: np.random.Generator) -> None:
        # Binormal with equal variances: area = Phi(gap / sqrt 2); gap 2.77 gives 0.975.
        truth = 0.5 * math.erfc(-2.77 / 2)
        labels = np.repeat([0, 1], 60)
        covered = 0
        for _ in range(600):
            low, high = statistics.delong(labels, rng.normal(size=120) + 2.77 * labels).ci95
            covered += low <= truth <= high
        # 0.95 of 600 with three standard errors below it.
        assert covered / 600 >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 600)

    def test_ten_thousand_images_need_no_pair_matrix(self, rng: np.random.Generator) -> None:
        labels, scores = noisy(rng, 10_000, 1.0)
        estimate = statistics.delong(labels, scores)
        assert estimate.value == pytest.approx(0.5 * math.erfc(-0.5), abs=0.02)


class TestPairedDelong:
    @given(labelled_scores(), st.randoms(use_true_random=False))
    def test_interval_equals_the_definition_pair_by_pair(self, data: tuple[np.ndarray, np.ndarray], random) -> None:
        labels, a = data
        b = np.array([random.choice((x, x + 1 / 12, 1 - x)) for x in a])
        (a10, a01), (b10, b01) = slow_components(labels, a), slow_components(labels, b)
        d10, d01 = np.subtract(b10, a10), np.subtract(b01, a01)
        variance = np.var(d10, ddof=1) / d10.size + np.var(d01, ddof=1) / d01.size
        assume(variance > 1e-12)
        paired = statistics.paired_delong(labels, a, b)
        margin = 1.959963984540054 * math.sqrt(variance)
        assert paired.difference == pytest.approx(d10.mean(), abs=1e-12)
        assert paired.ci95 == pytest.approx((max(-1, d10.mean() - margin), min(1, d10.mean() + margin)), abs=1e-9)

    def test_p_value_is_that_of_the_normal_distribution(self, rng: np.random.Generator) -> None:
        stats = pytest.importorskip("scipy.stats")
        labels, a = noisy(rng, 200, 1.0)
        paired = statistics.paired_delong(labels, a, a + rng.normal(size=200))
        error = (paired.ci95[1] - paired.ci95[0]) / 2 / stats.norm.ppf(0.975)
        assert paired.p_value == pytest.approx(2 * stats.norm.sf(abs(paired.difference) / error), rel=1e-9)

    @given(labelled_scores())
    def test_same_ranking_has_no_difference(self, data: tuple[np.ndarray, np.ndarray]) -> None:
        labels, scores = data
        paired = statistics.paired_delong(labels, scores, 5 * scores - 2)
        assert paired == statistics.PairedEstimate(difference=0.0, ci95=(0.0, 0.0), p_value=1.0)

    @given(labelled_scores(), labelled_scores())
    def test_swapping_the_scores_mirrors_the_interval(self, one, other) -> None:
        labels, a = one
        b = np.resize(other[1], a.size)
        ab, ba = statistics.paired_delong(labels, a, b), statistics.paired_delong(labels, b, a)
        assert (ba.difference, *ba.ci95, ba.p_value) == pytest.approx(
            (-ab.difference, -ab.ci95[1], -ab.ci95[0], ab.p_value), abs=1e-12
        )

    def test_constant_difference_is_not_called_certain(self) -> None:
        labels = [1] * 10 + [0] * 10
        paired = statistics.paired_delong(labels, np.zeros(20), np.array(labels, float))
        assert paired.difference == 0.5
        assert paired.ci95[0] < 0.5 - 0.1
        assert paired.ci95[1] > 0.5 + 0.1
        assert paired.p_value == 2 * 0.5**10

    def test_pairing_narrows_the_interval_of_correlated_scores(self, rng: np.random.Generator) -> None:
        labels, a = noisy(rng, 400, 1.5)
        b = a + 0.01 * rng.normal(size=400)
        paired = statistics.paired_delong(labels, a, b)
        alone = statistics.delong(labels, a)
        assert paired.ci95[1] - paired.ci95[0] < (alone.ci95[1] - alone.ci95[0]) / 5


REFUSALS = {
    "label-2": (
        lambda: statistics.auc([0, 2], [0.0, 1.0]),
        "labels: expected 0 (normal) and 1 (abnormal) only, got other values",
    ),
    "no-images": (
        lambda: statistics.auc([], []),
        "labels: expected a non-empty array of shape (n,), got shape (0,)",
    ),
    "labels-2d": (
        lambda: statistics.auc([[0, 1]], [[0.0, 1.0]]),
        "labels: expected a non-empty array of shape (n,), got shape (1, 2)",
    ),
    "length": (
        lambda: statistics.auc([0, 1], [0.0]),
        "scores: expected shape (2,) like the labels, got (1,)",
    ),
    "nan": (
        lambda: statistics.delong([0, 0, 1, 1], [0.0, math.nan, 1.0, 1.0]),
        "scores: expected finite numbers, got NaN or infinity",
    ),
    "one-class": (
        lambda: statistics.auc([1, 1], [0.0, 1.0]),
        "labels: expected at least 1 abnormal and 1 normal, got 0 of one",
    ),
    "one-abnormal": (
        lambda: statistics.delong([1, 0, 0], [0.0, 1.0, 0.5]),
        "labels: expected at least 2 abnormal and 2 normal, got 1 of one",
    ),
}


@pytest.mark.parametrize(("call", "message"), REFUSALS.values(), ids=REFUSALS)
def test_area_the_data_cannot_carry_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message


def test_every_permutation_of_images_gives_the_same_figures() -> None:
    labels, scores = np.array([1, 0, 1, 0, 1]), np.array([0.9, 0.9, 0.4, 0.1, 0.7])
    figures = {
        (
            statistics.delong(labels[list(order)], scores[list(order)]),
            statistics.rates(labels[list(order)], scores[list(order)], 0.5),
            statistics.threshold_for_sensitivity(labels[list(order)], scores[list(order)], 0.6),
        )
        for order in itertools.permutations(range(5))
    }
    assert len(figures) == 1
