"""Float training of a recipe: a run folder that can be interrupted at any moment and resumed.

A run folder holds ``run.json`` (recipe, versions, data digests, history: enough to repeat the run), ``model.keras``
(the best epoch by validation AUC) and, until the end, ``checkpoint.keras`` (the last whole epoch with its optimizer).
Every file is written aside and renamed.

    run = fit.train(recipe, data_folder, Path("runs/cxr"))
"""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

import edgemed
from edgemed import files, schema, statistics
from edgemed.errors import ConfigError
from edgemed.training import data, models
from edgemed.training.batches import Batches, predict
from edgemed.training.recipe import Recipe

__all__ = ["Epoch", "Progress", "Run", "Silent", "TrainingData", "prepare", "read_run", "train", "train_epoch"]


class Epoch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the history."""

    epoch: int
    loss: float
    validation_auc: float


class Run(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document ``run.json``.

    Attributes:
        data_path: the data folder, absolute, on the machine that trained.
        train_digest, validation_digest: of names, labels and planes.
        best_epoch: the epoch that ``model.keras`` holds, from 0; None before the first one.
        versions: of Python and the libraries.
    """

    schema: Literal[1]
    recipe: Recipe
    data_path: str
    train_images: int
    train_digest: str
    validation_images: int
    validation_digest: str
    moved_to_validation: int
    versions: dict[str, str]
    history: tuple[Epoch, ...] = ()
    best_epoch: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingData:
    """Planes (n, H, W) uint8 and labels (n,) of the two splits that training may see."""

    dataset: data.Dataset
    division: data.Division
    train: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    validation: NDArray[np.uint8]
    validation_labels: NDArray[np.int64]


class Progress(Protocol):
    """Told what goes on; the command line draws bars from it."""

    def start(self, what: str, total: int) -> None:
        """Begin a stage of ``total`` steps."""
        ...

    def advance(self) -> None:
        """One step is done."""
        ...

    def note(self, text: str) -> None:
        """Something worth a line."""
        ...


class Silent:
    """A `Progress` that says nothing."""

    def start(self, what: str, total: int) -> None:
        """Ignore."""

    def advance(self) -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""


def prepare(recipe: Recipe, folder: Path, *, progress: Progress | None = None) -> TrainingData:
    """Return the planes and labels of train and validation; test images are not read.

    Raises:
        ConfigError: the data folder is not what the recipe names, or a split lacks a label.
        ImageError: an image cannot be read.
    """
    report = progress or Silent()
    dataset = data.load(recipe.data.source, folder)
    division = data.divide(dataset, recipe.data.splits, seed=recipe.fit.seed)
    stacks = []
    for name in ("train", "validation"):
        indices = division.named(name)
        report.start(f"preprocess {name}", len(indices))
        stacks.append(data.planes(dataset, indices, recipe.preprocessing, progress=lambda _: report.advance()))
    return TrainingData(
        dataset=dataset,
        division=division,
        train=stacks[0],
        train_labels=dataset.labels[division.train],
        validation=stacks[1],
        validation_labels=dataset.labels[division.validation],
    )


def train(
    recipe: Recipe,
    folder: Path,
    out: Path,
    *,
    pretrained: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Train a recipe's float model into the run folder ``out``.

    Args:
        recipe: what to train.
        folder: of the data set.
        out: run folder; made when absent. With ``resume`` it continues after its last whole epoch, and the result
            equals that of an uninterrupted run.
        pretrained: weights to start from; None for the recipe's random start.
        resume: continue; else a folder that already holds a run is refused.
        progress: told what goes on.

    Raises:
        ConfigError: the folder holds a run already, or the run to resume is absent or of another recipe or data.
    """
    report = progress or Silent()
    begun = read_run(out) if resume else None
    if begun is None and (out / "run.json").exists():
        raise ConfigError(f"{out}: holds a run already; resume it with --resume or choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    split = prepare(recipe, folder, progress=report)
    run = _described(recipe, folder, split)
    if begun is not None:
        run = _continued(begun, run, out)
    files.write_atomic(out / "run.json", schema.encode_json(run))
    if len(run.history) < recipe.fit.epochs:
        run = _epochs(run, split, out, pretrained, report)
    (out / "checkpoint.keras").unlink(missing_ok=True)
    return run


def _epochs(run: Run, split: TrainingData, out: Path, pretrained: Path | None, report: Progress) -> Run:
    recipe = run.recipe
    if run.history:
        model = keras.models.load_model(out / "checkpoint.keras")
    else:
        keras.utils.set_random_seed(recipe.fit.seed)
        model = _compiled(recipe, steps=math.ceil(len(split.train) / recipe.fit.batch), pretrained=pretrained)
    for epoch in range(len(run.history), recipe.fit.epochs):
        loss = train_epoch(model, recipe, split, epoch=epoch, of=recipe.fit.epochs, progress=report)
        logits = predict(model, split.validation)["logit"][:, 0]
        auc = statistics.auc(split.validation_labels, logits)
        report.note(f"epoch {epoch + 1}/{recipe.fit.epochs}: loss {loss:.4f}, validation AUC {auc:.4f}")
        best = run.best_epoch is None or auc > run.history[run.best_epoch].validation_auc
        if best:
            _save(model, out / "model.keras")
        _save(model, out / "checkpoint.keras")
        line = Epoch(epoch=epoch, loss=loss, validation_auc=auc)
        run = msgspec.structs.replace(
            run, history=(*run.history, line), best_epoch=epoch if best else run.best_epoch
        )
        files.write_atomic(out / "run.json", schema.encode_json(run))
    return run


def train_epoch(
    model: keras.Model, recipe: Recipe, split: TrainingData, *, epoch: int, of: int, progress: Progress
) -> float:
    """Train a compiled model for one epoch over the train split and return its mean loss."""
    batches = Batches(
        split.train,
        split.train_labels,
        recipe.augmentation,
        seed=recipe.fit.seed,
        epoch=epoch,
        size=recipe.fit.batch,
    )
    progress.start(f"epoch {epoch + 1}/{of}", len(batches))
    step = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs=None: progress.advance())
    history = model.fit(batches, epochs=1, shuffle=False, verbose=0, callbacks=[step])
    return float(history.history["loss"][-1])


def _compiled(recipe: Recipe, *, steps: int, pretrained: Path | None) -> keras.Model:
    model = models.mobilenet_v2(
        height=recipe.preprocessing.height,
        width=recipe.preprocessing.width,
        cut=recipe.model.cut,
        alpha=recipe.model.alpha,
        embedding=recipe.model.embedding,
        dropout=recipe.model.dropout,
        pretrained=pretrained,
    )
    compile_for(model, recipe, epochs=recipe.fit.epochs, learning_rate=recipe.fit.learning_rate, steps=steps)
    return model


def compile_for(model: keras.Model, recipe: Recipe, *, epochs: int, learning_rate: float, steps: int) -> None:
    """Compile with the recipe's loss on the logit and AdamW under a warm-up and a cosine to zero."""
    warmup = round(min(recipe.fit.warmup_epochs, epochs / 2) * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=learning_rate / 20 if warmup else learning_rate,
        decay_steps=epochs * steps - warmup,
        warmup_target=learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=recipe.fit.label_smoothing)
    model.compile(
        optimizer=keras.optimizers.AdamW(schedule, weight_decay=recipe.fit.weight_decay, clipnorm=1.0),
        loss={"logit": loss, "evidence": None, "embedding": None},
        # XLA compiles these depthwise convolutions to slow loops on a CPU: 9 times slower measured.
        jit_compile=False,
    )


def _save(model: keras.Model, path: Path) -> None:
    """Save aside and rename, so that an interruption leaves the old file whole."""
    temporary = path.with_name(f".writing-{path.name}")
    model.save(temporary)
    temporary.replace(path)


def read_run(folder: Path) -> Run:
    """Return the run that a folder holds.

    Raises:
        ConfigError: the folder holds no run, or ``run.json`` is not one.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise ConfigError(f"{folder}: expected a run folder with run.json, found none; make one with edgemed train")
    raw = files.read_bounded(path, limit_bytes=1 << 24, error=ConfigError)
    return schema.decode_json(raw, Run, source="run.json")


def _described(recipe: Recipe, folder: Path, split: TrainingData) -> Run:
    division = split.division
    return Run(
        schema=1,
        recipe=recipe,
        data_path=os.fspath(folder.resolve()),
        train_images=len(split.train),
        train_digest=data.digest(split.dataset, division.train, split.train),
        validation_images=len(split.validation),
        validation_digest=data.digest(split.dataset, division.validation, split.validation),
        moved_to_validation=division.moved,
        versions={
            "python": platform.python_version(),
            "edgemed": edgemed.__version__,
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
            "numpy": np.__version__,
        },
    )


def _continued(begun: Run, now: Run, out: Path) -> Run:
    """Return the begun run once it is sure that it would go on with the same recipe and data."""
    same = ("recipe", "train_digest", "validation_digest")
    for name in same:
        if getattr(begun, name) != getattr(now, name):
            raise ConfigError(f"{out}: the {name} differs from the run to resume; start a new run in another --out")
    if begun.history and not (out / "checkpoint.keras").is_file() and len(begun.history) < begun.recipe.fit.epochs:
        raise ConfigError(f"{out}: checkpoint.keras is missing, the run cannot be resumed; start again in another --out")
    return begun
