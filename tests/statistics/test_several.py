from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgemed import statistics


@st.composite
def classified(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Labels 0..K-1, at least two of each, and probabilities (n, K) on a coarse grid."""
    count = draw(st.integers(3, 4))
    numbers = [draw(st.integers(2, 6)) for _ in range(count)]
    labels = np.array(draw(st.permutations([k for k, times in enumerate(numbers) for _ in range(times)])))
    grid = draw(hnp.arrays(np.float64, (len(labels), count), elements=st.integers(1, 6).map(float)))
    return labels, grid / grid.sum(axis=1, keepdims=True)


@given(classified())
def test_macro_auc_equals_scikit_learn(data: tuple[np.ndarray, np.ndarray]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    found = statistics.macro_auc(*data)
    assert found.value == pytest.approx(metrics.roc_auc_score(*data, multi_class="ovr", average="macro"), abs=1e-12)
    assert 0.0 <= found.ci95[0] <= found.value <= found.ci95[1] <= 1.0


@given(classified())
def test_each_label_has_its_auc_against_the_rest(data: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = data
    for k, found in enumerate(statistics.one_vs_rest_auc(labels, scores)):
        assert found == statistics.delong(labels == k, scores[:, k])


def test_macro_auc_of_two_labels_is_delongs(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 2, 200)
    score = 1 / (1 + np.exp(-(rng.normal(size=200) + labels)))
    found, expected = (
        statistics.macro_auc(labels, np.stack([1 - score, score], axis=1)),
        statistics.delong(labels, score),
    )
    assert (found.value, found.variance) == pytest.approx((expected.value, expected.variance), rel=1e-9)
    assert found.ci95 == pytest.approx(expected.ci95, rel=1e-9)


def test_variance_of_the_macro_auc_agrees_with_the_bootstrap(rng: np.random.Generator) -> None:
    labels = np.repeat([0, 1, 2], (80, 60, 40))
    scores = rng.normal(size=(180, 3)) + 1.2 * np.eye(3)[labels]
    drawn = []
    for _ in range(300):
        picked = np.concatenate([rng.choice(np.flatnonzero(labels == k), (labels == k).sum()) for k in range(3)])
        drawn.append(statistics.macro_auc(labels[picked], scores[picked]).value)
    assert np.var(drawn, ddof=1) == pytest.approx(statistics.macro_auc(labels, scores).variance, rel=0.3)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_confusion_matrix_and_accuracy_equal_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    truth, given_ = np.array(pairs).T
    expected = metrics.confusion_matrix(truth, given_, labels=range(4))
    assert statistics.confusion_matrix(truth, given_, count=4).tolist() == expected.tolist()
    assert statistics.accuracy(truth, given_) == statistics.wilson(int(np.trace(expected)), len(pairs))


REFUSALS = {
    "one column": (
        lambda: statistics.macro_auc([0, 1], [[0.1], [0.2]]),
        "scores: expected shape (n, K) with K at least 2, got (2, 1)",
    ),
    "a label once": (
        lambda: statistics.macro_auc([0, 0, 1, 1, 2], np.eye(3)[[0, 0, 1, 1, 2]]),
        "labels: expected at least 2 images of each label, got [2, 2, 1]",
    ),
    "a label beyond": (
        lambda: statistics.confusion_matrix([0, 3], [0, 1], count=3),
        "labels: expected 0..2, got 0..3",
    ),
    "another length": (
        lambda: statistics.accuracy([0, 1], [0]),
        "predicted: expected shape (2,) like the labels, got (1,)",
    ),
    "probabilities for labels": (
        lambda: statistics.accuracy([0, 1], [0.2, 0.8]),
        "predicted: expected a non-empty array (n,) of integers, got float64 (2,)",
    ),
    "NaN": (
        lambda: statistics.macro_auc([0, 1], [[0.1, np.nan], [0.2, 0.1]]),
        "scores: expected finite numbers, got NaN or infinity",
    ),
    "one label": (
        lambda: statistics.confusion_matrix([0], [0], count=1),
        "count: expected at least 2 labels, got 1",
    ),
}


@pytest.mark.parametrize(("call", "message"), REFUSALS.values(), ids=REFUSALS)
def test_figure_the_data_cannot_carry_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message
