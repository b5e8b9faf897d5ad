from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras

from edgemed.errors import ConfigError
from edgemed.training import distillation, models, prepare, saving
from edgemed.training import run as runs
from edgemed.training.distillation import Teachers
from edgemed.training.prepare import TrainingData
from edgemed.training.recipe import Recipe
from edgemed.training.settings import Distillation

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def student(blob_recipe: Recipe) -> Recipe:
    return msgspec.structs.replace(blob_recipe, distillation=Distillation())


@pytest.fixture(scope="module")
def split(blobs: Path, blob_recipe: Recipe) -> TrainingData:
    return prepare.prepare(blob_recipe, blobs)


def _teacher(
    folder: Path, recipe: Recipe, split: TrainingData, *, outputs: int = 1, height: int = 32, data: Path = Path()
) -> Path:
    """Leave what a finished training leaves of a network with random weights."""
    folder.mkdir()
    model = models.ds_cnn(height=height, width=32, depth=1, embedding=8, outputs=outputs)
    saving.save_model(model, folder / saving.MODEL)
    saving.commit(runs.described(recipe, data, split, pretrained=None), folder)
    return folder


def test_several_teachers_answer_with_the_mean_of_their_probabilities(rng: np.random.Generator) -> None:
    nets = tuple(models.ds_cnn(height=32, width=32, depth=1, embedding=8) for _ in range(2))
    pictures = rng.integers(0, 256, (3, 32, 32, 1)).astype(np.float32)
    found = Teachers(models=nets, digests=("", "")).logits(pictures)
    each = [1 / (1 + np.exp(-net.predict_on_batch(pictures)["logit"].astype(np.float64))) for net in nets]
    np.testing.assert_allclose(1 / (1 + np.exp(-found)), (each[0] + each[1]) / 2, rtol=1e-5)


def test_several_teachers_of_several_labels(rng: np.random.Generator) -> None:
    nets = tuple(models.ds_cnn(height=32, width=32, depth=1, embedding=8, outputs=3) for _ in range(2))
    pictures = rng.integers(0, 256, (3, 32, 32, 1)).astype(np.float32)
    found = np.exp(Teachers(models=nets, digests=("", "")).logits(pictures).astype(np.float64))
    each = [keras.ops.convert_to_numpy(keras.ops.softmax(net(pictures)["logit"])) for net in nets]
    np.testing.assert_allclose(found / found.sum(axis=1, keepdims=True), (each[0] + each[1]) / 2, rtol=1e-4)


def test_teacher_of_the_same_division_is_taken(student: Recipe, split: TrainingData, tmp_path: Path) -> None:
    folder = _teacher(tmp_path / "t", student, split)
    found = distillation.load((folder, folder / saving.MODEL), student, split)
    assert len(set(found.digests)) == 1 and found.digests[0].startswith("sha256:")


def test_teacher_of_other_labels_is_refused(student: Recipe, split: TrainingData, tmp_path: Path) -> None:
    other = msgspec.structs.replace(student, labels=("clear", "spot"))
    folder = _teacher(tmp_path / "t", other, split)
    with pytest.raises(ConfigError) as caught:
        distillation.load((folder,), student, split)
    assert str(caught.value) == (
        f"{folder}: expected a teacher with the labels ['plain', 'blob'], got ['clear', 'spot']; train it with the "
        "student's labels"
    )


def test_teacher_of_another_plane_is_refused(student: Recipe, split: TrainingData, tmp_path: Path) -> None:
    larger = msgspec.structs.replace(student.preprocessing, height=48)
    folder = _teacher(tmp_path / "t", msgspec.structs.replace(student, preprocessing=larger), split, height=48)
    with pytest.raises(ConfigError) as caught:
        distillation.load((folder,), student, split)
    assert str(caught.value) == (
        f"{folder}: expected a teacher of the student's preprocessing, planes of 32 x 32, got another, of 48 x 32; "
        "train it with the student's preprocessing"
    )
    with pytest.raises(ConfigError) as caught:
        distillation.load((folder / saving.MODEL,), student, split)
    assert str(caught.value) == (
        f"{folder / saving.MODEL}: expected a teacher of planes of 32 x 32, got one of 48 x 32; train it with the "
        "student's preprocessing"
    )


def test_teacher_of_another_number_of_labels_is_refused(student: Recipe, split: TrainingData, tmp_path: Path) -> None:
    folder = _teacher(tmp_path / "t", student, split, outputs=3)
    with pytest.raises(ConfigError) as caught:
        distillation.load((folder / saving.MODEL,), student, split)
    assert str(caught.value) == (
        f"{folder / saving.MODEL}: expected a teacher with 1 logits, one a label, got 3; train it with the student's "
        "labels"
    )


def test_teacher_that_learned_from_validation_images_is_refused(
    student: Recipe, split: TrainingData, tmp_path: Path
) -> None:
    folder = _teacher(tmp_path / "t", student, dataclasses.replace(split, validation=split.train))
    with pytest.raises(ConfigError) as caught:
        distillation.load((folder,), student, split)
    assert str(caught.value) == (
        f"{folder}: the teacher was validated on other images, so that it has learned from some that validate the "
        "student; train it on the same division (data.division_seed, folds)"
    )


def test_teachers_are_looked_for_before_training(student: Recipe, blob_recipe: Recipe, tmp_path: Path) -> None:
    cases = {
        "none named": (
            student,
            (),
            "distillation.teachers: expected one run folder at least; name it there or with --teacher",
        ),
        "absent": (
            student,
            (tmp_path / "x",),
            f"{tmp_path / 'x'}: expected a teacher's run folder or .keras file, found "
            "none; train it first, or name another with --teacher",
        ),
        "no use": (
            blob_recipe,
            (tmp_path,),
            "--teacher: the recipe has no part distillation; add it, or leave the option out",
        ),
    }
    for recipe, given, message in cases.values():
        with pytest.raises(ConfigError) as caught:
            distillation.locate(recipe, given)
        assert str(caught.value) == message
    assert distillation.locate(blob_recipe) == ()
