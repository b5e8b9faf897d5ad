"""Teachers: larger models whose answers on the same pictures an edge model learns from.

teachers = distillation.load((Path("runs/teacher-a"), Path("runs/teacher-b")), recipe, split)
logits = teachers.logits(pictures)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from edgemed import files
from edgemed.errors import ConfigError
from edgemed.training import data, saving
from edgemed.training import recipe as recipes
from edgemed.training import run as runs
from edgemed.training.prepare import TrainingData
from edgemed.training.recipe import Recipe

__all__ = ["Teachers", "load", "locate"]

_TINY = 1e-7


@dataclass(frozen=True, kw_only=True, eq=False)
class Teachers:
    """Models that answer together.

    Attributes:
        models: of the student's plane and labels.
        digests: of their files.
    """

    models: tuple[keras.Model, ...]
    digests: tuple[str, ...]

    def logits(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, K) logits of the mean of their probabilities, for pictures (n, H, W, 1) of grey levels 0..255."""
        answers = [model.predict_on_batch(pictures)["logit"].astype(np.float64) for model in self.models]
        if len(answers) == 1:
            return np.asarray(answers[0], dtype=np.float32)
        if answers[0].shape[1] == 1:
            mean = np.mean([1 / (1 + np.exp(-answer)) for answer in answers], axis=0).clip(_TINY, 1 - _TINY)
            return np.asarray(np.log(mean / (1 - mean)), dtype=np.float32)
        shares = [np.exp(answer - answer.max(axis=1, keepdims=True)) for answer in answers]
        mean = np.mean([share / share.sum(axis=1, keepdims=True) for share in shares], axis=0)
        return np.asarray(np.log(mean.clip(_TINY)), dtype=np.float32)


def locate(recipe: Recipe, given: tuple[Path, ...] = ()) -> tuple[Path, ...]:
    """Return the teachers' run folders or ``.keras`` files: those given, else the recipe's.

    Raises:
        ConfigError: teachers were given to a recipe without distillation, or none are named, or one is not there.
    """
    if recipe.distillation is None:
        if given:
            raise ConfigError("--teacher: the recipe has no part distillation; add it, or leave the option out")
        return ()
    paths = given or tuple(Path(teacher) for teacher in recipe.distillation.teachers)
    if not paths:
        raise ConfigError("distillation.teachers: expected one run folder at least; name it there or with --teacher")
    for path in paths:
        if not path.exists():
            raise ConfigError(
                f"{path}: expected a teacher's run folder or .keras file, found none; train it first, or name another "
                "with --teacher"
            )
    return paths


def load(paths: tuple[Path, ...], recipe: Recipe, split: TrainingData) -> Teachers:
    """Return the teachers of a training.

    Args:
        paths: run folders or ``.keras`` files.
        recipe: of the student.
        split: that the student trains on and is validated by; a run folder must have kept the same images apart.

    Raises:
        ConfigError: a teacher sees planes of another size or preprocessing, has other labels, or has learned from
            images that validate the student.
    """
    loaded = []
    for path in paths:
        if path.is_dir():
            _require_same_question(path, recipe, split)
        file = path / saving.MODEL if path.is_dir() else path
        loaded.append((_loaded(file, recipe), files.sha256_file(file)))
    return Teachers(models=tuple(model for model, _ in loaded), digests=tuple(digest for _, digest in loaded))


def _require_same_question(folder: Path, recipe: Recipe, split: TrainingData) -> None:
    run = runs.read(folder)
    if run.recipe.labels != recipe.labels:
        raise ConfigError(
            f"{folder}: expected a teacher with the labels {list(recipe.labels)}, got {list(run.recipe.labels)}; train "
            "it with the student's labels"
        )
    if run.recipe.preprocessing != recipe.preprocessing:
        theirs, ours = run.recipe.preprocessing, recipe.preprocessing
        raise ConfigError(
            f"{folder}: expected a teacher of the student's preprocessing, planes of {ours.height} x {ours.width}, got "
            f"another, of {theirs.height} x {theirs.width}; train it with the student's preprocessing"
        )
    if run.validation_digest != data.digest(split.validation):
        raise ConfigError(
            f"{folder}: the teacher was validated on other images, so that it has learned from some that validate the "
            "student; train it on the same division (data.division_seed, folds)"
        )


def _loaded(path: Path, recipe: Recipe) -> keras.Model:
    model = saving.load_model(path)
    model.jit_compile = False
    plane, wanted = recipe.preprocessing, recipes.outputs(recipe)
    size = tuple(model.inputs[0].shape[1:3])
    if size != (plane.height, plane.width):
        raise ConfigError(
            f"{path}: expected a teacher of planes of {plane.height} x {plane.width}, got one of "
            f"{' x '.join(map(str, size))}; train it with the student's preprocessing"
        )
    if not isinstance(model.output, dict) or "logit" not in model.output:
        raise ConfigError(f"{path}: expected a teacher with an output 'logit'; give a model that edgemed has trained")
    if (found := int(model.output["logit"].shape[-1])) != wanted:
        raise ConfigError(
            f"{path}: expected a teacher with {wanted} logits, one a label, got {found}; train it with the student's "
            "labels"
        )
    return model
