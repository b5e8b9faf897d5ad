from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

from edgemed import statistics
from tests.statistics.drawn import noisy

FIGURES = {
    "auc": lambda drawn, scores: drawn.auc(scores),
    "average precision": lambda drawn, scores: drawn.average_precision(scores),
    "sensitivity": lambda drawn, scores: drawn.share(scores >= 0.5, drawn.labels),
}
SLOW = {
    "auc": statistics.auc,
    "average precision": lambda labels, scores: statistics.average_precision(labels, scores).value,
    "sensitivity": lambda labels, scores: float((scores[labels] >= 0.5).mean()),
}


@pytest.mark.parametrize("patients", [False, True], ids=["by image", "by patient"])
@pytest.mark.parametrize("name", FIGURES)
def test_shared_draws_give_the_interval_of_the_plain_bootstrap(name: str, patients: bool, rng) -> None:
    labels, scores = noisy(rng, 80, 1.0)
    scores = np.round(scores, 1)  # ties
    groups = rng.integers(0, 40, 80) if patients else None
    drawn = statistics.resampled(labels, rng=np.random.default_rng(5), resamples=150, groups=groups)
    plain = statistics.bootstrap(labels, scores, SLOW[name], rng=np.random.default_rng(5), resamples=150, groups=groups)
    values = FIGURES[name](drawn, scores)
    assert drawn.interval(values) == pytest.approx(plain.ci95, abs=1e-12)
    assert values.var(ddof=1) == pytest.approx(plain.variance, abs=1e-12)


def test_paired_difference_is_taken_within_each_resample(rng: np.random.Generator) -> None:
    labels, a = noisy(rng, 200, 1.5)
    b = a + 0.01 * rng.normal(size=200)
    drawn = statistics.resampled(labels, rng=rng, resamples=200)
    difference = drawn.auc(b) - drawn.auc(a)
    assert difference.std() < drawn.auc(a).std() / 5


def test_groups_enter_whole(rng: np.random.Generator) -> None:
    labels, groups = np.array([1, 0, 1, 0, 1]), np.array(["a", "a", "b", "b", "b"])
    drawn = statistics.resampled(labels, rng=rng, resamples=100, groups=groups)
    assert (drawn.weights[:, 0] == drawn.weights[:, 1]).all()
    assert (drawn.weights[:, 2] == drawn.weights[:, 4]).all()
    assert (drawn.weights[:, 0] + drawn.weights[:, 2] == 2).all()


def test_share_of_nothing_is_undefined_and_has_no_interval(rng: np.random.Generator) -> None:
    drawn = statistics.resampled([1, 0, 0], rng=rng, resamples=100)
    alerts = np.array([True, True, False])
    values = drawn.share(drawn.labels, alerts & ~drawn.labels)
    assert np.isnan(values).any()
    assert drawn.interval(values) is None
    assert drawn.interval(np.ones(100)) is None


def test_many_resamples_are_worked_off_in_blocks(rng: np.random.Generator) -> None:
    labels, scores = noisy(rng, 6000, 1.0)
    drawn = statistics.resampled(labels, rng=rng, resamples=500)
    values = drawn.auc(scores)
    assert values.shape == (500,)
    assert values.std() == pytest.approx(math.sqrt(statistics.delong(labels, scores).variance), rel=0.15)


def test_blocks_are_not_held_together(rng: np.random.Generator) -> None:
    labels, scores = noisy(rng, 20_000, 1.0)
    drawn = statistics.resampled(labels, rng=rng, resamples=1000)
    tracemalloc.start()
    try:
        drawn.auc(scores)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * drawn.weights.size  # bytes of all of them as float64


def test_too_few_resamples_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError) as caught:
        statistics.resampled([0, 1], rng=rng, resamples=10)
    assert str(caught.value) == "resamples: expected at least 100, got 10"


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


REFUSALS = {
    "resamples": (
        lambda: statistics.bootstrap([0, 1], [0, 1], statistics.auc, rng=np.random.default_rng(0), resamples=10),
        "resamples: expected at least 100, got 10",
    ),
    "groups": (
        lambda: statistics.bootstrap([0, 1], [0, 1], statistics.auc, rng=np.random.default_rng(0), groups=[1]),
        "groups: expected shape (2,) like the labels, got (1,)",
    ),
}


@pytest.mark.parametrize(("call", "message"), REFUSALS.values(), ids=REFUSALS)
def test_bootstrap_the_data_cannot_carry_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message
