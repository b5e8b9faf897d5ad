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
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import keras
import msgspec
import numpy as np

import edgemed
from edgemed import files, schema, statistics
from edgemed.errors import ConfigError
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.training import data, models
from edgemed.training.batches import Batches, predict
from edgemed.training.recipe import Recipe

__all__ = [
    "Epoch",
    "Progress",
    "Run",
    "Silent",
    "TrainingData",
    "compile_for",
    "fine_tune",
    "load_best",
    "prepare",
    "read_run",
    "require_same_data",
    "summary",
    "train",
    "train_epoch",
]


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


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The two splits that training may see.

    Attributes:
        moved: images of train that went to validation with their group.
    """

    train: LabelledPlanes
    validation: LabelledPlanes
    moved: int


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
    parts = []
    for name in ("train", "validation"):
        indices = division.named(name)
        report.start(f"preprocess {name}", len(indices))
        parts.append(data.labelled_planes(dataset, indices, recipe.preprocessing, progress=report.advance))
    return TrainingData(train=parts[0], validation=parts[1], moved=division.moved)


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
        model = _compiled(recipe, steps=math.ceil(len(split.train.names) / recipe.fit.batch), pretrained=pretrained)
    for epoch in range(len(run.history), recipe.fit.epochs):
        loss = train_epoch(model, recipe, split, epoch=epoch, progress=report)
        logits = predict(model, split.validation.planes)["logit"][:, 0]
        auc = statistics.auc(split.validation.labels, logits)
        report.note(f"epoch {epoch + 1}/{recipe.fit.epochs}: loss {loss:.4f}, validation AUC {auc:.4f}")
        best = run.best_epoch is None or auc > run.history[run.best_epoch].validation_auc
        if best:
            _save(model, out / "model.keras")
        _save(model, out / "checkpoint.keras")
        line = Epoch(epoch=epoch, loss=loss, validation_auc=auc)
        run = msgspec.structs.replace(run, history=(*run.history, line), best_epoch=epoch if best else run.best_epoch)
        files.write_atomic(out / "run.json", schema.encode_json(run))
    return run


def train_epoch(model: keras.Model, recipe: Recipe, split: TrainingData, *, epoch: int, progress: Progress) -> float:
    """Train a compiled model for one epoch over the train split and return its mean loss."""
    batches = Batches(
        split.train.planes,
        split.train.labels,
        recipe.augmentation,
        seed=recipe.fit.seed,
        epoch=epoch,
        size=recipe.fit.batch,
    )
    _seed_dropout(model, seed=recipe.fit.seed, epoch=epoch)
    progress.start(f"epoch {epoch + 1}", len(batches))
    step = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs=None: progress.advance())
    history = model.fit(batches, epochs=1, shuffle=False, verbose=0, callbacks=[step])
    return float(history.history["loss"][-1])


def _seed_dropout(model: keras.Model, *, seed: int, epoch: int) -> None:
    """Start every random layer from (seed, epoch), so that a resumed run draws what an uninterrupted one would."""
    for place, layer in enumerate(model.layers):
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            generator.state.assign(np.array([seed + 1000 * place, epoch], dtype=generator.state.dtype))


def fine_tune(twin: keras.Model, recipe: Recipe, split: TrainingData, *, progress: Progress) -> None:
    """Train a fake-quantized twin for the recipe's epochs, with the data, loss and augmentation of the float run.

    No epoch is picked: the last one stands, so that validation stays a fair judge of float against int8.
    """
    epochs = recipe.quantization.epochs
    steps = math.ceil(len(split.train.names) / recipe.fit.batch)
    compile_for(twin, recipe, epochs=epochs, learning_rate=recipe.quantization.learning_rate, steps=steps)
    for epoch in range(epochs):
        # Epoch numbers go on after the float run's, so that the twin sees other pictures.
        loss = train_epoch(twin, recipe, split, epoch=recipe.fit.epochs + epoch, progress=progress)
        progress.note(f"quantized epoch {epoch + 1}/{epochs}: loss {loss:.4f}")


def summary(run: Run) -> dict[str, object]:
    """Return what to show of a finished run."""
    best = None if run.best_epoch is None else run.history[run.best_epoch]
    return {
        "recipe": run.recipe.name,
        "train_images": run.train_images,
        "validation_images": run.validation_images,
        "moved_to_validation": run.moved_to_validation,
        "epochs": len(run.history),
        "best_epoch": None if best is None else best.epoch + 1,
        "validation_auc": None if best is None else best.validation_auc,
    }


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
    return Run(
        schema=1,
        recipe=recipe,
        data_path=os.fspath(folder.resolve()),
        train_images=len(split.train.names),
        train_digest=data.digest(split.train),
        validation_images=len(split.validation.names),
        validation_digest=data.digest(split.validation),
        moved_to_validation=split.moved,
        versions={
            "python": platform.python_version(),
            "edgemed": edgemed.__version__,
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
            "numpy": np.__version__,
        },
    )


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


def load_best(folder: Path) -> keras.Model:
    """Return the best epoch's model of a run folder, without its optimizer.

    Raises:
        ConfigError: the run has no finished epoch.
    """
    path = folder / "model.keras"
    if not path.is_file():
        raise ConfigError(f"{path}: expected the run's best model, found none; finish a first epoch with edgemed train")
    return keras.models.load_model(path, compile=False)


def _continued(begun: Run, now: Run, out: Path) -> Run:
    """Return the begun run once it is sure that it would go on with the same recipe and data."""
    same = ("recipe", "train_digest", "validation_digest")
    for name in same:
        if getattr(begun, name) != getattr(now, name):
            raise ConfigError(f"{out}: the {name} differs from the run to resume; start a new run in another --out")
    if begun.history and not (out / "checkpoint.keras").is_file() and len(begun.history) < begun.recipe.fit.epochs:
        raise ConfigError(
            f"{out}: checkpoint.keras is missing, the run cannot be resumed; start again in another --out"
        )
    return begun
