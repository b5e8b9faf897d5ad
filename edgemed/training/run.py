"""What a run folder says of itself: ``run.json``, enough to repeat the run, and to refuse continuing another.

found = run.read(Path("runs/cxr"))
print(run.summary(found))
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Literal

import cv2
import msgspec
import numpy as np

import edgemed
from edgemed import files, schema
from edgemed.errors import ConfigError
from edgemed.training import data, sources
from edgemed.training import recipe as recipes
from edgemed.training.division import Prepared
from edgemed.training.prepare import TrainingData
from edgemed.training.recipe import Recipe

__all__ = [
    "Epoch",
    "Run",
    "continued",
    "described",
    "read",
    "reconsidered",
    "require_same_data",
    "separation",
    "summary",
]


class Epoch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the history.

    Attributes:
        loss: of training, mean over the epoch's batches.
        validation_loss: cross-entropy, without weights or smoothing; None in a run older than it.
        learning_rate: after the epoch; likewise.
    """

    epoch: int
    loss: float
    validation_auc: float
    validation_loss: float | None = None
    learning_rate: float | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document ``run.json``.

    Attributes:
        data_path: the data folder, absolute, on the machine that trained.
        train_digest, validation_digest: of names, labels and planes.
        prepared: what was moved between the splits and left out of them.
        pretrained_sha256: of the weights it started from; None for random ones.
        best_epoch: the epoch that ``model.keras`` holds, from 0; None before the first one.
        teachers: digests of the models it learned from beside the labels.
        versions: of Python and the libraries.
        environment: system, processor and devices that it was begun on; empty in a run older than it.
        command: of the process that began it; likewise.
        folds: of the cross-validation that it belongs to, one of which is its validation; None for a run of its own.
    """

    schema: Literal[1]
    recipe: Recipe
    data_path: str
    train_images: int
    train_digest: str
    validation_images: int
    validation_digest: str
    moved_to_validation: int
    pretrained_sha256: str | None
    teachers: tuple[str, ...] = ()
    versions: dict[str, str]
    environment: dict[str, str] = {}
    command: tuple[str, ...] = ()
    prepared: Prepared = Prepared()
    folds: int | None = None
    history: tuple[Epoch, ...] = ()
    best_epoch: int | None = None


def read(folder: Path) -> Run:
    """Return the run that a folder holds.

    Raises:
        ConfigError: the folder holds no run, or ``run.json`` is not one.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise ConfigError(f"{folder}: expected a run folder with run.json, found none; make one with edgemed train")
    raw = files.read_bounded(path, limit_bytes=1 << 24, error=ConfigError)
    return schema.decode_json(raw, Run, source="run.json")


def summary(run: Run) -> dict[str, object]:
    """Return what to show of a finished run."""
    best = None if run.best_epoch is None else run.history[run.best_epoch]
    return {
        "recipe": run.recipe.name,
        "train_images": run.train_images,
        "validation_images": run.validation_images,
        "moved_to_validation": run.moved_to_validation,
        "left_out": sum(msgspec.to_builtins(run.prepared).values()) - run.prepared.moved_to_validation,
        "epochs": len(run.history),
        "best_epoch": None if best is None else best.epoch + 1,
        "validation_auc": None if best is None else best.validation_auc,
    }


def reconsidered(run: Run, recipe: Recipe) -> Run:
    """Return a run with what another recipe says about conversion: quantization, operating point, quality, words.

    A float model can so be converted again without being trained again, when the gate has asked for it.

    Raises:
        ConfigError: the recipe differs in what the float model was trained by.
    """
    if run.recipe.data.division_seed is not None:
        recipe = recipes.with_seed(recipe, run.recipe.fit.seed)  # as `edgemed train --seed` did
    trained_by = ("name", "task", "labels", "normal_labels", "data", "preprocessing", "model", "augmentation", "fit")
    trained = _relicensed(run.recipe, recipe)
    for part in (*trained_by, "distillation"):
        if getattr(recipe, part) != getattr(trained, part):
            raise ConfigError(f"recipe: {part}: differs from what the run was trained by; train again with this recipe")
    return msgspec.structs.replace(run, recipe=recipe)


def _relicensed(trained: Recipe, recipe: Recipe) -> Recipe:
    """Return the recipe of a run with another's word on the licence of the weights, which their digest names."""
    if trained.model is None or recipe.model is None:
        return trained
    licence = recipe.model.pretrained_licence
    return msgspec.structs.replace(trained, model=msgspec.structs.replace(trained.model, pretrained_licence=licence))


def separation(recipe: Recipe) -> str:
    """Return in words what keeps train and validation apart, for the model card."""
    known = sources.patients_known(recipe.data.source)
    limit = recipe.data.splits.near_duplicate_correlation
    ways = ["patient"] if known else []
    if limit is not None:
        ways.append(f"near-duplicate (28 x 28 thumbnails that correlate above {limit:g})")
    apart = f"Validation shares no {' and no '.join(ways)} with train" + ("." if known else "; patients are not known.")
    if recipe.data.splits.like_test == "keep":
        return apart
    return f"{apart} Neither holds a picture that shows {'nearly ' * (limit is not None)}the same as a test picture."


def described(
    recipe: Recipe,
    folder: Path,
    split: TrainingData,
    *,
    pretrained: Path | None,
    teachers: tuple[str, ...] = (),
    folds: int | None = None,
) -> Run:
    """Return a run without an epoch: what is about to be trained, on what, from which weights and teachers."""
    return Run(
        schema=1,
        recipe=recipe,
        data_path=os.fspath(folder.resolve()),
        train_images=len(split.train.names),
        train_digest=data.digest(split.train),
        validation_images=len(split.validation.names),
        validation_digest=data.digest(split.validation),
        moved_to_validation=split.moved,
        prepared=split.prepared,
        folds=folds,
        pretrained_sha256=None if pretrained is None else files.sha256_file(pretrained),
        teachers=teachers,
        versions=_versions(),
        environment=_environment(),
        command=tuple(sys.orig_argv),
    )


def _environment() -> dict[str, str]:
    from edgemed.training import devices

    return {
        "system": platform.platform(),
        "machine": platform.machine(),
        "cpus": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "accelerators": ", ".join(devices.accelerators()),
    }


def _versions() -> dict[str, str]:
    import keras

    backend = keras.backend.backend()
    found = {
        "python": platform.python_version(),
        "edgemed": edgemed.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "backend": backend,
    }
    for name in (backend, f"{backend}-cpu"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def require_same_data(run: Run, split: TrainingData) -> None:
    """Return when a run was trained on exactly these planes and labels.

    Raises:
        ConfigError: images, labels, division or preprocessing differ.
    """
    now = {"train": data.digest(split.train), "validation": data.digest(split.validation)}
    for name, then in (("train", run.train_digest), ("validation", run.validation_digest)):
        if now[name] != then:
            raise ConfigError(
                f"data: the {name} images, labels or their preprocessing differ from those of the run ({then}, now "
                f"{now[name]}); give the run's own data with --data, or train again"
            )


def continued(begun: Run, now: Run, out: Path) -> Run:
    """Return the begun run once it is sure that it would go on with the same recipe, data and start.

    Raises:
        ConfigError: one of them differs.
    """
    same = ("recipe", "train_digest", "validation_digest", "pretrained_sha256", "teachers")
    for name in same:
        if getattr(begun, name) != getattr(now, name):
            raise ConfigError(f"{out}: the {name} differs from the run to resume; start a new run in another --out")
    return begun
