from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from converters import scaling
from edgemed import statistics
from edgemed.errors import GateError
from edgemed.imaging.out_of_fold import Answer, OutOfFold


def answers(
    rng: np.random.Generator, count: int, *, slope: float, shift: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return logits whose true log-odds are slope * logit + shift, and labels drawn from them."""
    odds = rng.normal(scale=3.0, size=count)
    labels = (rng.random(count) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    labels[:2] = (0, 1)
    return (odds - shift) / slope, labels


def document(rng: np.random.Generator, *, slopes: tuple[float, ...], count: int = 200) -> OutOfFold:
    rows = []
    for fold, slope in enumerate(slopes):
        for index, (logit, label) in enumerate(zip(*answers(rng, count, slope=slope), strict=True)):
            label_name = "abnormal" if label else "normal"
            group = f"{fold:04x}{index:04x}"
            rows.append(Answer(group=group, label=label_name, abnormal=bool(label), fold=fold, logit=float(logit)))
    return OutOfFold(
        schema=1, recipe="x", labels=("normal", "abnormal"), images="x", folds=len(slopes), answers=tuple(rows)
    )


def test_without_folds_it_is_platts(rng: np.random.Generator) -> None:
    logits, labels = answers(rng, 200, slope=0.7)
    found, expected = scaling.fitted(logits, labels), statistics.platt(logits, labels)
    assert (found.slope, found.intercept) == (expected.slope, expected.intercept)


def test_folds_bring_their_logits_to_one_scale(rng: np.random.Generator) -> None:
    found = scaling.of_folds(document(rng, slopes=(0.5, 1.0, 2.0)))
    assert found.count == 3
    assert found.slope == pytest.approx(3.5 / 3, rel=0.25)
    assert statistics.expected_calibration_error(found.labels, found.scores) < 0.05
    assert statistics.auc(found.labels, found.scores) > 0.85


def test_many_images_outvote_the_folds(rng: np.random.Generator) -> None:
    folds = scaling.of_folds(document(rng, slopes=(1.0, 1.1, 0.9)))
    logits, labels = answers(rng, 20000, slope=2.0)
    found = scaling.fitted(logits, labels, folds=folds)
    assert found.slope == pytest.approx(2.0, rel=0.1)


def test_folds_speak_where_a_handful_of_images_says_little(rng: np.random.Generator) -> None:
    folds = scaling.of_folds(document(rng, slopes=(1.0, 1.1, 0.9)))
    logits, labels = np.array([-3.0, -2.0, 2.0, 3.0]), np.array([0, 0, 1, 1])
    found = scaling.fitted(logits, labels, folds=folds)
    assert found.slope == pytest.approx(folds.slope, abs=2 * folds.slope_sd)
    assert found.intercept == pytest.approx(folds.intercept, abs=2 * folds.intercept_sd)


def test_most_probable_scaling_has_no_gradient(rng: np.random.Generator) -> None:
    folds = scaling.of_folds(document(rng, slopes=(1.0, 1.4, 0.9)))
    logits, labels = answers(rng, 60, slope=1.2, shift=0.5)
    found = scaling.fitted(logits, labels, folds=folds)

    def loss(slope: float, intercept: float) -> float:
        z = slope * logits + intercept
        prior = ((slope - folds.slope) / folds.slope_sd) ** 2 + (
            (intercept - folds.intercept) / folds.intercept_sd
        ) ** 2
        return float(np.sum(np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0) - labels * z)) + prior / 2

    best = loss(found.slope, found.intercept)
    for step in (1e-3, -1e-3):
        assert loss(found.slope + step, found.intercept) >= best
        assert loss(found.slope, found.intercept + step) >= best


def test_folds_calibrate_better_than_few_images_alone(rng: np.random.Generator) -> None:
    alone, with_folds = [], []
    for _ in range(12):
        slopes = tuple(np.exp(rng.normal(scale=0.15, size=5)))
        folds = scaling.of_folds(document(rng, slopes=slopes, count=100))
        slope = float(np.exp(rng.normal(scale=0.15)))
        logits, labels = answers(rng, 30, slope=slope)
        fresh, truth = answers(rng, 2000, slope=slope)
        for errors, prior in ((alone, None), (with_folds, folds)):
            scores = scaling.scores(fresh, scaling.fitted(logits, labels, folds=prior))
            errors.append(statistics.expected_calibration_error(truth, scores))
    assert np.mean(with_folds) < 0.7 * np.mean(alone)


def test_logits_that_fall_with_abnormality_end_at_the_gate(rng: np.random.Generator) -> None:
    logits, labels = answers(rng, 300, slope=1.0)
    with pytest.raises(GateError) as caught:
        scaling.fitted(-logits, labels)
    assert str(caught.value) == (
        "calibration: the int8 model's logits cannot be calibrated on validation: logits: expected to rise with "
        "abnormality, got a falling or flat fit; check labels and model; train the model further"
    )


def test_fold_that_learned_nothing_is_named(rng: np.random.Generator) -> None:
    made = document(rng, slopes=(1.0, -1.0))
    with pytest.raises(
        GateError, match=r"^calibration: the fold 1 model's logits cannot be calibrated on its own images"
    ):
        scaling.of_folds(made)


def test_logit_and_score_undo_each_other() -> None:
    calibration = scaling.fitted(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0, 1, 0, 1]))
    score = float(scaling.scores(np.array([0.7]), calibration)[0])
    assert scaling.logit(score, calibration) == pytest.approx(0.7)
    assert np.isfinite([scaling.logit(end, calibration) for end in (0.0, 1.0)]).all()
