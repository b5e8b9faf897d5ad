from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgemed import statistics
from tests.statistics.drawn import labelled_scores, noisy


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


@pytest.mark.parametrize(("call", "message"), REFUSALS.values(), ids=REFUSALS)
def test_fit_the_data_cannot_carry_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message
