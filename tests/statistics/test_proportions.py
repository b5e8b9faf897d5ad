from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed import statistics
from tests.statistics.drawn import labelled_scores

REFERENCE_LABELS = [1, 1, 1, 0, 0, 0, 0]
REFERENCE_SCORES = [0.9, 0.8, 0.3, 0.8, 0.2, 0.1, 0.4]


class TestWilson:
    # Newcombe, Statistics in Medicine 17:857 (1998), table I, method 3 (score without continuity correction).
    @pytest.mark.parametrize(
        ("successes", "n", "low", "high"),
        [
            pytest.param(81, 263, 0.2553, 0.3662, id="81 of 263"),
            pytest.param(15, 148, 0.0624, 0.1605, id="15 of 148"),
            pytest.param(0, 20, 0.0000, 0.1611, id="0 of 20"),
            pytest.param(1, 29, 0.0061, 0.1718, id="1 of 29"),
        ],
    )
    def test_published_examples(self, successes: int, n: int, low: float, high: float) -> None:
        assert statistics.wilson(successes, n).ci95 == pytest.approx((low, high), abs=5e-5)

    @given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
    def test_interval_equals_statsmodels_and_holds_the_share(self, data: tuple[int, int]) -> None:
        proportion = pytest.importorskip("statsmodels.stats.proportion")
        estimate = statistics.wilson(*data)
        assert estimate.ci95 == pytest.approx(proportion.proportion_confint(*data, method="wilson"), abs=1e-12)
        assert 0.0 <= estimate.ci95[0] <= estimate.value <= estimate.ci95[1] <= 1.0


class TestMcnemar:
    @given(st.integers(0, 400), st.integers(0, 400))
    def test_p_value_equals_scipy_binomial_test(self, b: int, c: int) -> None:
        stats = pytest.importorskip("scipy.stats")
        expected = stats.binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
        assert statistics.mcnemar(b, c) == pytest.approx(expected, rel=1e-9)

    def test_hand_computed_example(self) -> None:
        # 2 * (1 + 6) / 2**6
        assert statistics.mcnemar(1, 5) == 0.21875

    def test_counts_too_large_for_floats_still_divide(self) -> None:
        assert statistics.mcnemar(1500, 1500) == 1.0
        assert 0.0 < statistics.mcnemar(1400, 1600) < 1e-3


class TestRates:
    @given(labelled_scores(least=1), st.sampled_from([k / 12 for k in range(14)]))
    def test_counts_equal_scikit_learn(self, data: tuple[np.ndarray, np.ndarray], threshold: float) -> None:
        metrics = pytest.importorskip("sklearn.metrics")
        labels, scores = data
        tn, fp, fn, tp = metrics.confusion_matrix(labels, scores >= threshold, labels=[0, 1]).ravel()
        found = statistics.rates(labels, scores, threshold)
        counts = (found.true_negatives, found.false_positives, found.false_negatives, found.true_positives)
        assert counts == (tn, fp, fn, tp)

    def test_each_proportion_is_wilson_of_its_own_counts(self) -> None:
        found = statistics.rates(REFERENCE_LABELS, REFERENCE_SCORES, 0.4)
        assert found.sensitivity == statistics.wilson(2, 3)
        assert found.specificity == statistics.wilson(2, 4)
        assert found.ppv == statistics.wilson(2, 4)
        assert found.npv == statistics.wilson(2, 3)
        assert found.accuracy == statistics.wilson(4, 7)

    def test_score_on_the_threshold_alerts(self) -> None:
        assert statistics.rates([1], [0.5], 0.5).true_positives == 1

    def test_proportion_of_nothing_is_absent(self) -> None:
        found = statistics.rates([0, 0], [0.1, 0.2], 0.5)
        assert (found.sensitivity, found.ppv) == (None, None)


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


REFUSALS = {
    "wilson-zero": (
        lambda: statistics.wilson(0, 0),
        "expected 0 <= successes <= n and n >= 1, got successes 0, n 0",
    ),
    "mcnemar-negative": (
        lambda: statistics.mcnemar(-1, 2),
        "expected counts of at least 0, got b -1, c 2",
    ),
}


@pytest.mark.parametrize(("call", "message"), REFUSALS.values(), ids=REFUSALS)
def test_count_out_of_range_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message
