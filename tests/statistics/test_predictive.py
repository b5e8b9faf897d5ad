from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgemed import statistics
from edgemed.statistics import Rates

# Mercaldo, Lau and Zhou 2007, table VIII: ApoE.e4 in late-onset Alzheimer's disease, 418 cases and 375 controls.
APOE = (240, 178, 288, 87)
# Scott, Greenberg and Poole 2008, table 1, as in the manual of R's epiR (epi.tests, example 1).
SCOTT = (670, 74, 640, 202)


def table(tp: int, fn: int, tn: int, fp: int) -> Rates:
    """Return the rates of a 2 x 2 table."""
    labels = np.repeat([1, 1, 0, 0], (tp, fn, tn, fp))
    return statistics.rates(labels, np.repeat([1.0, 0.0, 0.0, 1.0], (tp, fn, tn, fp)), 0.5)


def numeric_error(counts: tuple[int, int, int, int], figure) -> float:
    """Return the standard error of a figure of (se, sp) by numeric differentiation of the binomials' variances."""
    tp, fn, tn, fp = counts
    m, n = tp + fn, tn + fp
    se, sp, step = tp / m, tn / n, 1e-6
    by_se = (figure(se + step, sp) - figure(se - step, sp)) / (2 * step)
    by_sp = (figure(se, sp + step) - figure(se, sp - step)) / (2 * step)
    return math.sqrt(by_se**2 * se * (1 - se) / m + by_sp**2 * sp * (1 - sp) / n)


def logit(p: float) -> float:
    return math.log(p / (1 - p))


@pytest.mark.parametrize("prevalence", [0.03, 0.5])
@pytest.mark.parametrize("kind", ["ppv", "npv"])
def test_predictive_value_equals_bayes_with_the_delta_method_done_numerically(prevalence: float, kind: str) -> None:
    p = prevalence

    def figure(se: float, sp: float) -> float:
        return {
            "ppv": se * p / (se * p + (1 - sp) * (1 - p)),
            "npv": sp * (1 - p) / (sp * (1 - p) + (1 - se) * p),
        }[kind]

    value = figure(240 / 418, 288 / 375)
    error = numeric_error(APOE, lambda se, sp: logit(figure(se, sp)))
    ends = [1 / (1 + math.exp(-(logit(value) + sign * 1.959963984540054 * error))) for sign in (-1, 1)]
    found = getattr(statistics.predictive_values(table(*APOE), prevalence=prevalence), kind)
    assert found.value == pytest.approx(value, abs=1e-12)
    assert found.ci95 == pytest.approx(ends, abs=1e-6)


def test_at_the_prevalence_of_the_data_bayes_gives_the_observed_shares() -> None:
    rates = table(*SCOTT)
    found = statistics.predictive_values(rates, prevalence=744 / 1586)
    assert rates.ppv is not None
    assert rates.npv is not None
    assert found.ppv is not None
    assert found.npv is not None
    assert (found.ppv.value, found.npv.value) == pytest.approx((rates.ppv.value, rates.npv.value), abs=1e-12)


def test_rare_disease_makes_alerts_mostly_false() -> None:
    found = statistics.predictive_values(table(95, 5, 95, 5), prevalence=0.01)
    assert found.ppv is not None
    assert found.ppv.value == pytest.approx(0.95 * 0.01 / (0.95 * 0.01 + 0.05 * 0.99))


@given(st.tuples(*[st.integers(0, 30)] * 4), st.floats(0.001, 0.999))
def test_interval_of_a_predictive_value_holds_it_and_stays_in_range(counts, prevalence: float) -> None:
    assume(counts[0] + counts[1] and counts[2] + counts[3])
    found = statistics.predictive_values(table(*counts), prevalence=prevalence)
    for estimate in (found.ppv, found.npv):
        if estimate is not None:
            assert 0.0 <= estimate.ci95[0] <= estimate.value <= estimate.ci95[1] <= 1.0
            assert estimate.ci95[0] < estimate.ci95[1]
    assert (found.ppv is None) == (counts[0] + counts[3] == 0)
    assert (found.npv is None) == (counts[1] + counts[2] == 0)


def test_interval_covers_the_true_predictive_value(rng: np.random.Generator) -> None:
    truth, covered = 0.9 * 0.1 / (0.9 * 0.1 + 0.2 * 0.9), 0
    for _ in range(400):
        tp, tn = int(rng.binomial(80, 0.9)), int(rng.binomial(120, 0.8))
        found = statistics.predictive_values(table(tp, 80 - tp, tn, 120 - tn), prevalence=0.1).ppv
        assert found is not None
        covered += found.ci95[0] <= truth <= found.ci95[1]
    assert covered / 400 >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 400)


def test_published_likelihood_ratio() -> None:
    found = statistics.likelihood_ratios(table(*SCOTT)).positive
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((3.75, 3.32, 4.24), abs=0.005)


@pytest.mark.parametrize(("kind", "sign"), [("positive", 1), ("negative", -1)])
def test_likelihood_ratio_equals_the_delta_method_done_numerically(kind: str, sign: int) -> None:
    def figure(se: float, sp: float) -> float:
        return math.log(se / (1 - sp) if sign == 1 else (1 - se) / sp)

    centre, error = figure(670 / 744, 640 / 842), numeric_error(SCOTT, figure)
    found = getattr(statistics.likelihood_ratios(table(*SCOTT)), kind)
    assert found.value == pytest.approx(math.exp(centre))
    assert found.low == pytest.approx(math.exp(centre - 1.959963984540054 * error), rel=1e-6)
    assert found.high == pytest.approx(math.exp(centre + 1.959963984540054 * error), rel=1e-6)


def test_ratio_without_false_alerts_has_a_lower_end_only() -> None:
    found = statistics.likelihood_ratios(table(20, 5, 30, 0)).positive
    assert found is not None
    assert (found.value, found.high) == (None, None)
    # 0.5 more in every cell: (20.5 / 26) / (0.5 / 31).
    centre = (20.5 / 26) / (0.5 / 31)
    factor = math.exp(1.959963984540054 * math.sqrt(1 / 20.5 - 1 / 26 + 1 / 0.5 - 1 / 31))
    assert found.low == pytest.approx(centre / factor)


def test_ratio_without_a_missed_abnormal_is_zero_with_an_upper_end() -> None:
    found = statistics.likelihood_ratios(table(25, 0, 30, 4)).negative
    assert found is not None
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high is not None
    assert 0.0 < found.high < 1.0


def test_ratio_of_a_test_that_never_alerts_is_absent() -> None:
    found = statistics.likelihood_ratios(table(0, 5, 5, 0))
    assert found.positive is None
    assert found.negative is not None
    assert found.negative.value == 1.0


REFUSALS = {
    "prevalence of zero": (
        lambda: statistics.predictive_values(table(1, 1, 1, 1), prevalence=0.0),
        "prevalence: expected above 0 and below 1, got 0.0",
    ),
    "prevalence in percent": (
        lambda: statistics.predictive_values(table(1, 1, 1, 1), prevalence=5),
        "prevalence: expected above 0 and below 1, got 5",
    ),
    "no normal": (
        lambda: statistics.likelihood_ratios(table(3, 1, 0, 0)),
        "rates: expected both classes, got 4 abnormal and 0 normal",
    ),
}


@pytest.mark.parametrize(("call", "message"), REFUSALS.values(), ids=REFUSALS)
def test_figure_the_table_cannot_carry_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message
