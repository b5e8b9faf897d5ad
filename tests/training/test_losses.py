from __future__ import annotations

import msgspec
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

from edgemed.training import losses
from edgemed.training.recipe import Recipe
from edgemed.training.settings import Distillation

pytestmark = pytest.mark.tensorflow


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _softmax(x: np.ndarray) -> np.ndarray:
    shares = np.exp(x - x.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def _binary(truth: np.ndarray, logits: np.ndarray) -> np.ndarray:
    p = _sigmoid(logits)
    return -(truth * np.log(p) + (1 - truth) * np.log(1 - p))


def _with(recipe: Recipe, **fit: object) -> Recipe:
    return msgspec.structs.replace(recipe, fit=msgspec.structs.replace(recipe.fit, **fit))


@pytest.fixture
def logits(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(scale=2.0, size=(16, 1)).astype(np.float32)


@pytest.fixture
def truth(rng: np.random.Generator) -> np.ndarray:
    """Return labels as mixing makes them: between 0 and 1."""
    return rng.random((16, 1)).astype(np.float32)


def test_smoothed_cross_entropy(blob_recipe: Recipe, truth: np.ndarray, logits: np.ndarray) -> None:
    loss = losses.made(_with(blob_recipe, label_smoothing=0.2), distilled=False)
    expected = _binary(truth * 0.8 + 0.1, logits).mean()
    assert float(loss(truth, logits)) == pytest.approx(expected, rel=1e-5)


def test_focal_loss_weighs_by_what_is_still_wrong(blob_recipe: Recipe, logits: np.ndarray) -> None:
    """Lin et al. 2017, equation 4, for hard labels."""
    truth = (np.arange(16)[:, None] % 2).astype(np.float32)
    loss = losses.made(_with(blob_recipe, loss="focal", focal_gamma=2.0), distilled=False)
    right = np.where(truth == 1, _sigmoid(logits), 1 - _sigmoid(logits))
    assert float(loss(truth, logits)) == pytest.approx((-((1 - right) ** 2) * np.log(right)).mean(), rel=1e-4)


def test_focal_loss_of_gamma_0_is_cross_entropy(blob_recipe: Recipe, truth: np.ndarray, logits: np.ndarray) -> None:
    focal = losses.made(_with(blob_recipe, loss="focal", focal_gamma=0.0), distilled=False)
    assert float(focal(truth, logits)) == pytest.approx(_binary(truth, logits).mean(), rel=1e-5)


@pytest.mark.parametrize("kind", ["cross_entropy", "focal"])
def test_loss_of_several_labels(blob_recipe: Recipe, rng: np.random.Generator, kind: str) -> None:
    source = msgspec.structs.replace(
        blob_recipe.data.source, normal=(), abnormal=(), classes={"a": ("a",), "b": ("b",), "c": ("c",)}
    )
    several = msgspec.structs.replace(
        blob_recipe, labels=("a", "b", "c"), data=msgspec.structs.replace(blob_recipe.data, source=source)
    )
    logits = rng.normal(size=(12, 3)).astype(np.float32)
    truth = np.eye(3, dtype=np.float32)[np.arange(12) % 3]
    loss = losses.made(_with(several, loss=kind, focal_gamma=2.0), distilled=False)
    right = (_softmax(logits) * truth).sum(axis=1)
    focus = (1 - right) ** 2 if kind == "focal" else 1.0
    assert float(loss(truth, logits)) == pytest.approx((-focus * np.log(right)).mean(), rel=1e-4)


def test_distilled_loss_is_the_weighted_sum(blob_recipe: Recipe, truth: np.ndarray, logits: np.ndarray) -> None:
    teacher = np.linspace(-3, 3, 16, dtype=np.float32)[:, None]
    recipe = msgspec.structs.replace(blob_recipe, distillation=Distillation(temperature=2.0, weight=0.3))
    loss = losses.made(recipe, distilled=True)
    soft = _binary(_sigmoid(teacher / 2), logits / 2)
    expected = (0.7 * _binary(truth, logits) + 0.3 * 4 * soft).mean()
    assert float(loss(np.concatenate([truth, teacher], axis=1), logits)) == pytest.approx(expected, rel=1e-5)


def test_student_that_answers_as_its_teacher_has_the_least_loss(blob_recipe: Recipe) -> None:
    teacher = np.array([[1.5]], dtype=np.float32)
    recipe = msgspec.structs.replace(blob_recipe, distillation=Distillation(temperature=3.0, weight=1.0))
    loss = losses.made(recipe, distilled=True)
    targets = np.concatenate([np.zeros((1, 1), np.float32), teacher], axis=1)
    found = [float(loss(targets, teacher + shift)) for shift in (-0.5, 0.0, 0.5)]
    assert found[1] < min(found[0], found[2])
