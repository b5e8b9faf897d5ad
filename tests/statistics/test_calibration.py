from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgemed import statistics
from tests.statistics.drawn import labelled_scores, noisy


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


@given(labelled_scores(least=1))
def test_isotonic_regression_equals_scikit_learn(data: tuple[np.ndarray, np.ndarray]) -> None:
    isotonic = pytest.importorskip("sklearn.isotonic")
    labels, logits = data
    expected = isotonic.IsotonicRegression(out_of_bounds="clip", y_min=0, y_max=1).fit(logits, labels)
    asked = np.linspace(-0.5, 1.5, 41)
    assert statistics.isotonic(logits, labels).scores(asked) == pytest.approx(expected.predict(asked), abs=1e-9)


@given(labelled_scores(least=1))
def test_isotonic_scores_never_fall_and_keep_the_mean(data: tuple[np.ndarray, np.ndarray]) -> None:
    labels, logits = data
    fitted = statistics.isotonic(logits, labels)
    assert (np.diff(fitted.values) >= 0).all()
    assert fitted.scores(logits).mean() == pytest.approx(labels.mean(), abs=1e-12)


def test_isotonic_pools_a_worked_example() -> None:
    # Labels 0 1 0 1 1 at logits 1..5: the second and third pool to 1/2.
    fitted = statistics.isotonic([1.0, 2.0, 3.0, 4.0, 5.0], [0, 1, 0, 1, 1])
    assert fitted.logits.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert fitted.values.tolist() == [0.0, 0.5, 0.5, 1.0, 1.0]
    assert fitted.scores(1.5) == pytest.approx(0.25)


def test_temperature_equals_a_general_optimiser(rng: np.random.Generator) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    labels, logits = noisy(rng, 300, 2.5)
    logits = 3 * (logits - 1.2)
    n1, n0 = labels.sum(), (1 - labels).sum()
    targets = np.where(labels == 1, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))

    def loss(inverse: float) -> float:
        return float(np.sum(np.logaddexp(0, inverse * logits) - targets * inverse * logits))

    expected = 1 / optimize.minimize_scalar(loss, bounds=(1e-6, 50), method="bounded", options={"xatol": 1e-12}).x
    assert statistics.temperature(logits, labels).temperature == pytest.approx(expected, rel=1e-5)


def test_true_temperature_is_recovered(rng: np.random.Generator) -> None:
    logits = rng.normal(size=20_000) * 4
    labels = rng.random(20_000) < 1 / (1 + np.exp(-logits / 2.5))
    assert statistics.temperature(logits, labels).temperature == pytest.approx(2.5, rel=0.05)


@given(labelled_scores(least=2), st.floats(0.1, 10))
def test_temperature_follows_the_scale_of_the_logits(data, scale: float) -> None:
    labels, scores = data
    logits = scores - 0.5
    # The slope has the sign of this sum: the loss is convex, and this is its fall at slope 0.
    m, n = labels.sum(), (1 - labels).sum()
    assume(np.sum(np.where(labels == 1, m / (m + 2), -n / (n + 2)) * logits) > 1e-3)
    fitted = statistics.temperature(logits, labels)
    other = statistics.temperature(scale * logits, labels)
    assert other.scores(scale * logits) == pytest.approx(fitted.scores(logits), abs=1e-5)


def test_platt_scores_are_its_sigmoid() -> None:
    fitted = statistics.PlattScaling(2.0, -1.0)
    assert fitted.scores([0.5, 800.0, -800.0]) == pytest.approx([0.5, 1.0, 0.0])


REFUSALS = {
    "temperature of zeros": (
        lambda: statistics.temperature([0.0, 0.0], [0, 1]),
        "logits: expected values other than zero, got zero for every image",
    ),
    "temperature of falling logits": (
        lambda: statistics.temperature([-1.0, 1.0], [1, 0]),
        "logits: expected to rise with abnormality, got a falling or flat fit; check labels and model",
    ),
    "isotonic of one class": (
        lambda: statistics.isotonic([0.0, 1.0], [0, 0]),
        "labels: expected both classes, got 0 abnormal and 2 normal",
    ),
    "no bins": (lambda: statistics.reliability([0], [0.5], 0), "bins: expected at least 1, got 0"),
    "parts of logits": (
        lambda: statistics.brier_parts([1], [2.5]),
        "scores: expected values in [0, 1], got a value outside",
    ),
}


@pytest.mark.parametrize(("call", "message"), REFUSALS.values(), ids=REFUSALS)
def test_fit_the_data_cannot_carry_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message
