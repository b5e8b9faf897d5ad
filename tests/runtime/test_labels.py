from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.bundle.manifest import Description
from edgemed.runtime.labels import ONE_LOGIT, Labels

BREAST = Labels(names=("normal", "benign", "malignant"), normal=("normal", "benign"))
CHEST = Labels(names=("bacteria", "normal", "virus"), normal=("normal",))
LOGITS = st.lists(st.floats(-60, 60), min_size=3, max_size=3).map(np.array)


def softmax(logits: np.ndarray) -> list[float]:
    """Return the probabilities in plain Python, without the shift that keeps them from overflowing."""
    powers = [math.exp(value) for value in logits]
    return [power / sum(powers) for power in powers]


@given(LOGITS)
def test_abnormality_is_the_log_odds_of_not_being_normal(logits: np.ndarray) -> None:
    chances = softmax(logits)
    expected = math.log(chances[2]) - math.log(chances[0] + chances[1])
    assert float(BREAST.abnormality(logits)) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_abnormality_of_many_images_is_that_of_each(rng: np.random.Generator) -> None:
    logits = rng.normal(scale=4, size=(20, 3))
    assert CHEST.abnormality(logits).tolist() == [float(CHEST.abnormality(one)) for one in logits]


def test_one_logit_is_its_own_abnormality() -> None:
    assert ONE_LOGIT.abnormality(np.array([[2.5], [-1.0]])).tolist() == [2.5, -1.0]


def test_huge_logits_overflow_nothing() -> None:
    assert float(CHEST.abnormality(np.array([1e4, -1e4, 0.0]))) == 2e4


@given(LOGITS)
def test_uncalibrated_scores_are_the_softmax(logits: np.ndarray) -> None:
    plain = 1 / (1 + math.exp(-float(CHEST.abnormality(logits))))
    found = CHEST.scores(logits, plain)
    assert list(found) == ["bacteria", "normal", "virus"]
    assert list(found.values()) == pytest.approx(softmax(logits), rel=1e-6, abs=1e-12)


@given(LOGITS, st.floats(0, 1))
def test_abnormal_labels_make_up_the_calibrated_score(logits: np.ndarray, score: float) -> None:
    found = CHEST.scores(logits, score)
    assert found["bacteria"] + found["virus"] == pytest.approx(score)
    assert sum(found.values()) == pytest.approx(1.0)
    assert (found["bacteria"] > found["virus"]) <= (logits[0] > logits[2])


def test_evidence_is_the_map_of_the_abnormality(rng: np.random.Generator) -> None:
    maps = rng.normal(size=(5, 4, 3))
    logits = maps.mean(axis=(0, 1))
    found = BREAST.evidence(maps, logits)
    assert found.shape == (5, 4)
    assert found.mean() == pytest.approx(float(BREAST.abnormality(logits)), abs=1e-12)
    assert not found.flags.writeable


def test_evidence_moves_as_the_abnormality_does(rng: np.random.Generator) -> None:
    maps = rng.normal(size=(2, 2, 3))
    logits = maps.mean(axis=(0, 1))
    found = CHEST.evidence(maps, logits)
    step = 1e-6
    slopes = [float(CHEST.abnormality(logits + step * axis) - CHEST.abnormality(logits)) / step for axis in np.eye(3)]
    differences = (maps - maps[0, 0]) @ np.array(slopes)
    np.testing.assert_allclose(found - found[0, 0], differences, atol=1e-4)


CONTRADICTIONS = {
    "label twice": (("a", "b", "a"), ("b",), "labels: expected each once, got 'a' several times"),
    "normal label that is none": (("a", "b"), ("c",), "normal_labels: expected some of 'a', 'b', got 'c'"),
    "all normal": (
        ("a", "b"),
        ("b", "a"),
        "normal_labels: expected at least one label to be abnormal, got all of 'a', 'b'",
    ),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_contradictions_are_refused(name: str) -> None:
    names, normal, expected = CONTRADICTIONS[name]
    with pytest.raises(ValueError) as caught:
        Labels(names=names, normal=normal)
    assert str(caught.value) == expected


def described(normal: tuple[str, ...] | msgspec.UnsetType) -> Description:
    return Description(
        name="x",
        task="classify",
        intended_use="tests",
        modalities=("US",),
        body_part="BREAST",
        labels=("normal", "benign", "malignant"),
        normal_labels=normal,
    )


def test_labels_of_a_manifest() -> None:
    assert Labels.of(described(("normal", "benign")), logits=3) == BREAST
    assert Labels.of(described(msgspec.UNSET), logits=1).count == 1


MISFITS = {
    "several logits without normal labels": (
        msgspec.UNSET,
        3,
        "normal_labels: required with a model of 3 logits, one for each label; convert again with a recipe that has "
        "them",
    ),
    "fewer logits than labels": (
        ("normal",),
        2,
        "labels: expected one for each logit of the model, got 3 for 2; convert again with the labels that it was "
        "trained on",
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_labels_that_do_not_fit_the_model_are_refused(name: str) -> None:
    normal, logits, expected = MISFITS[name]
    with pytest.raises(ValueError) as caught:
        Labels.of(described(normal), logits=logits)
    assert str(caught.value) == expected
