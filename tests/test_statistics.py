"""Accuracy figures against scikit-learn, scipy, statsmodels, slow plain Python, and published worked examples."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgemed import statistics

REFERENCE_LABELS = [1, 1, 1, 0, 0, 0, 0]
REFERENCE_SCORES = [0.9, 0.8, 0.3, 0.8, 0.2, 0.1, 0.4]


@st.composite
def labelled_scores(draw: st.DrawFn, *, least: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Labels with at least ``least`` of each class, and scores on a coarse grid so that ties are common."""
    abnormal, normal = draw(st.integers(least, 12)), draw(st.integers(least, 12))
    labels = np.array(draw(st.permutations([1] * abnormal + [0] * normal)))
    scores = draw(hnp.arrays(np.float64, labels.size, elements=st.integers(0, 12).map(lambda k: k / 12)))
    return labels, scores


def slow_kernel(abnormal: float, normal: float) -> float:
    return 1.0 if abnormal > normal else 0.5 if abnormal == normal else 0.0


def slow_components(labels: np.ndarray, scores: np.ndarray) -> tuple[list[float], list[float]]:
    """The structural components by DeLong's definition, pair by pair."""
    abnormal, normal = scores[labels == 1], scores[labels == 0]
    v10 = [sum(slow_kernel(x, y) for y in normal) / len(normal) for x in abnormal]
    v01 = [sum(slow_kernel(x, y) for x in abnormal) / len(abnormal) for y in normal]
    return v10, v01


def noisy(rng: np.random.Generator, n: int, gap: float) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.integers(0, 2, n)
    return labels, rng.normal(size=n) + gap * labels


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


class TestBootstrap:
    def test_interval_of_the_area_agrees_with_delong(self, rng: np.random.Generator) -> None:
        labels, scores = noisy(rng, 300, 1.0)
        drawn = statistics.bootstrap(labels, scores, statistics.auc, rng=rng, resamples=600)
        assert drawn.value == statistics.auc(labels, scores)
        assert drawn.ci95 == pytest.approx(statistics.delong(labels, scores).ci95, abs=0.02)

    def test_same_seed_gives_the_same_interval(self, rng: np.random.Generator) -> None:
        labels, scores = noisy(rng, 50, 1.0)
        runs = [
            statistics.bootstrap(labels, scores, statistics.auc, rng=np.random.default_rng(7), resamples=100)
            for _ in range(2)
        ]
        assert runs[0] == runs[1]

    def test_every_resample_keeps_the_class_counts(self, rng: np.random.Generator) -> None:
        estimate = statistics.bootstrap(
            [1, 0, 0, 0], [0.1, 0.2, 0.3, 0.4], lambda labels, _: float(labels.mean()), rng=rng, resamples=100
        )
        assert (estimate.ci95, estimate.variance) == ((0.25, 0.25), 0.0)

    def test_images_of_one_patient_are_drawn_together(self, rng: np.random.Generator) -> None:
        labels, scores = noisy(rng, 60, 1.0)
        repeated = np.repeat(np.arange(60), 5)
        by_patient = statistics.bootstrap(
            labels[repeated], scores[repeated], statistics.auc, rng=rng, resamples=400, groups=repeated
        )
        once = statistics.bootstrap(labels, scores, statistics.auc, rng=rng, resamples=400)
        # Five copies of an image carry no more than the image.
        assert by_patient.variance == pytest.approx(once.variance, rel=0.3)

    def test_patient_with_both_labels_is_drawn_whole(self, rng: np.random.Generator) -> None:
        def same_count(labels: np.ndarray, _: np.ndarray) -> float:
            return float(labels.sum() == (~labels).sum())

        estimate = statistics.bootstrap(
            [1, 0, 1, 0], [0.1, 0.2, 0.3, 0.4], same_count, rng=rng, resamples=100, groups=["a", "a", "b", "b"]
        )
        assert estimate.ci95 == (1.0, 1.0)


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


class TestPlatt:
    def test_fit_equals_a_general_optimiser(self, rng: np.random.Generator) -> None:
        optimize = pytest.importorskip("scipy.optimize")
        labels, logits = noisy(rng, 300, 1.2)
        n1, n0 = labels.sum(), (1 - labels).sum()
        targets = np.where(labels == 1, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))

        def loss(point: np.ndarray) -> float:
            z = point[0] * logits + point[1]
            return float(np.sum(np.logaddexp(0, z) - targets * z))

        expected = optimize.minimize(loss, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
        assert statistics.platt(logits, labels) == pytest.approx(tuple(expected.x), abs=1e-5)

    def test_true_slope_and_intercept_are_recovered(self, rng: np.random.Generator) -> None:
        logits = rng.normal(size=20_000) * 3
        labels = rng.random(20_000) < 1 / (1 + np.exp(-(0.7 * logits - 0.4)))
        slope, intercept = statistics.platt(logits, labels)
        assert (slope, intercept) == pytest.approx((0.7, -0.4), abs=0.06)

    @given(labelled_scores(least=3), st.floats(0.1, 10), st.floats(-10, 10))
    def test_fit_follows_a_change_of_logit_scale(self, data, scale: float, shift: float) -> None:
        labels, logits = data
        # The slope has the sign of this difference: the loss is convex, and this is its fall at slope 0.
        assume(logits[labels == 1].mean() - logits[labels == 0].mean() > 1e-3)
        slope, intercept = statistics.platt(logits, labels)
        other = statistics.platt(scale * logits + shift, labels)
        scores = slope * logits + intercept
        assert other.slope * (scale * logits + shift) + other.intercept == pytest.approx(scores, abs=1e-3)

    def test_separated_classes_keep_a_finite_slope(self) -> None:
        slope, _ = statistics.platt([-100.0] * 50 + [100.0] * 50, [0] * 50 + [1] * 50)
        # Targets 51/52 and 1/52: logit +-log(51) at +-100.
        assert slope == pytest.approx(math.log(51) / 100)


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
    "wilson-zero": (
        lambda: statistics.wilson(0, 0),
        "expected 0 <= successes <= n and n >= 1, got successes 0, n 0",
    ),
    "mcnemar-negative": (
        lambda: statistics.mcnemar(-1, 2),
        "expected counts of at least 0, got b -1, c 2",
    ),
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
    "resamples": (
        lambda: statistics.bootstrap([0, 1], [0, 1], statistics.auc, rng=np.random.default_rng(0), resamples=10),
        "resamples: expected at least 100, got 10",
    ),
    "groups": (
        lambda: statistics.bootstrap([0, 1], [0, 1], statistics.auc, rng=np.random.default_rng(0), groups=[1]),
        "groups: expected shape (2,) like the labels, got (1,)",
    ),
    "bins": (
        lambda: statistics.expected_calibration_error([0], [0.5], 0),
        "bins: expected at least 1, got 0",
    ),
    "brier-of-logits": (
        lambda: statistics.brier([1], [2.5]),
        "scores: expected values in [0, 1], got a value outside",
    ),
    "platt-one-class": (
        lambda: statistics.platt([0.0, 1.0], [1, 1]),
        "labels: expected both classes, got 2 abnormal and 0 normal",
    ),
    "platt-constant": (
        lambda: statistics.platt([1.0, 1.0], [0, 1]),
        "logits: expected different values, got one value for every image",
    ),
    "platt-falling": (
        lambda: statistics.platt([1.0, 2.0, 3.0, 4.0], [1, 1, 0, 0]),
        "logits: expected to rise with abnormality, got a falling or flat fit; check labels and model",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_figure_the_data_cannot_carry_is_refused(name: str) -> None:
    call, message = REFUSALS[name]
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


SHOWN = {
    "plain": ({}, "0.9829 [0.9707, 0.9901]"),
    "by patient": ({"by_patient": (0.96, 0.995)}, "0.9829 [0.9707, 0.9901], by patient [0.9600, 0.9950]"),
    "another form": ({"form": "+.2f"}, "+0.98 [+0.97, +0.99]"),
}


@pytest.mark.parametrize(("options", "text"), SHOWN.values(), ids=SHOWN)
def test_figure_is_shown_with_its_interval(options: dict[str, Any], text: str) -> None:
    assert statistics.shown(0.98291, (0.97069, 0.99009), **options) == text


@given(
    patients=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 1)), min_size=8, max_size=40),
    share=st.floats(0.1, 0.9),
    seed=st.integers(0, 99),
)
def test_groups_are_taken_until_the_share_of_each_label_is_reached(
    patients: list[tuple[int, int]], share: float, seed: int
) -> None:
    labels = np.array([label for count, label in patients for _ in range(count)], dtype=np.int64)
    groups = np.array([f"p{number:02d}" for number, (count, _) in enumerate(patients) for _ in range(count)])
    chosen = statistics.groups_holding(labels, groups, share, rng=np.random.default_rng(seed))
    assert chosen <= set(groups)
    taken = np.isin(groups, sorted(chosen))
    for label in (0, 1):
        wanted = share * np.count_nonzero(labels == label)
        assert wanted <= np.count_nonzero(taken & (labels == label)) < wanted + 4  # the largest group has 4 images


def test_group_of_both_labels_counts_for_both() -> None:
    labels = np.array([0, 1, 0, 1])
    groups = np.array(["both", "both", "rest", "rest"])
    chosen = statistics.groups_holding(labels, groups, 0.5, rng=np.random.default_rng(0))
    assert len(chosen) == 1
