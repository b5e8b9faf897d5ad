"""Float training of a recipe: a run folder that can be interrupted at any moment and resumed.

A run folder holds ``run.json`` (recipe, versions, data digests, history: enough to repeat the run), ``model.keras``
(the best epoch by validation AUC) and, until the end, ``checkpoint-NNNN.keras`` (a whole epoch with its optimizer).
Every file is written aside and renamed. An epoch counts once ``run.json`` names it; its checkpoint is there by then.

    run = fit.train(recipe, data_folder, Path("runs/cxr"))
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import msgspec
import numpy as np

from edgemed import files, schema, statistics
from edgemed.errors import ConfigError, GateError
from edgemed.training import checkpoint, models
from edgemed.training import recipe as recipes
from edgemed.training import run as runs
from edgemed.training.batches import Batches, predict
from edgemed.training.checkpoint import Checkpoint
from edgemed.training.prepare import TrainingData, prepare
from edgemed.training.progress import Progress, Silent
from edgemed.training.recipe import Recipe
from edgemed.training.run import Epoch, Run

__all__ = ["compile_for", "fine_tune", "load_best", "train", "train_epoch"]


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
        ConfigError: the folder holds a run already, the run to resume is absent or of another recipe, data or start,
            or the disk refuses; what was whole stays.
        GateError: training diverged.
    """
    report = progress or Silent()
    begun = runs.read(out) if resume else None
    # A run without a whole epoch has nothing to lose.
    if begun is None and (out / "run.json").exists() and runs.read(out).history:
        raise ConfigError(f"{out}: holds a run already; resume it with --resume or choose another --out")
    with _writing(out):
        out.mkdir(parents=True, exist_ok=True)
    split = prepare(recipe, folder, progress=report)
    run = runs.described(recipe, folder, split, pretrained)
    if begun is not None:
        run = runs.continued(begun, run, out)
    if len(run.history) < recipe.fit.epochs:
        run = _epochs(run, split, out, pretrained, report)
    _keep_checkpoint(out, None)
    return run


def _epochs(run: Run, split: TrainingData, out: Path, pretrained: Path | None, report: Progress) -> Run:
    recipe = run.recipe
    if run.history:
        model = _loaded(_checkpoint(out, len(run.history) - 1), compiled=True)
    else:
        keras.utils.set_random_seed(recipe.fit.seed)
        model = _compiled(recipe, steps=math.ceil(len(split.train.names) / recipe.fit.batch), pretrained=pretrained)
        # Not before: a recipe that makes no model leaves no run behind.
        _commit(run, out)
    for epoch in range(len(run.history), recipe.fit.epochs):
        loss = train_epoch(model, recipe, split, epoch=epoch, progress=report)
        logits = predict(model, split.validation.planes)["logit"][:, 0]
        if not np.isfinite(logits).all():
            raise GateError(f"epoch {epoch + 1}: training diverged, logits are no numbers; lower fit.learning_rate")
        auc = statistics.auc(split.validation.labels, logits)
        report.note(f"epoch {epoch + 1}/{recipe.fit.epochs}: loss {loss:.4f}, validation AUC {auc:.4f}")
        best = run.best_epoch is None or auc > run.history[run.best_epoch].validation_auc
        if best:
            _save(model, out / "model.keras")
        _save(model, _checkpoint(out, epoch))
        line = Epoch(epoch=epoch, loss=loss, validation_auc=auc)
        run = msgspec.structs.replace(run, history=(*run.history, line), best_epoch=epoch if best else run.best_epoch)
        _commit(run, out)
        _keep_checkpoint(out, epoch)
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


def fine_tune(
    twin: keras.Model, recipe: Recipe, split: TrainingData, *, progress: Progress, checkpoints: Path | None = None
) -> None:
    """Train a fake-quantized twin for the recipe's epochs, with the data, loss and augmentation of the float run.

    No epoch is picked: the last one stands, so that validation favours the float model, whose epoch it chose, if any.

    Args:
        twin: trained in place.
        recipe: how.
        split: on what.
        progress: told what goes on.
        checkpoints: folder that keeps whole epochs. A training that was interrupted goes on after the last of them,
            and ends with the weights of an uninterrupted one; the caller removes the folder when all is done.

    Raises:
        ConfigError: the disk refuses a checkpoint; what was whole stays.
    """
    epochs = recipe.quantization.epochs
    steps = math.ceil(len(split.train.names) / recipe.fit.batch)
    place = _place(checkpoints, twin, recipe, split)
    compile_for(twin, recipe, epochs=epochs, learning_rate=recipe.quantization.learning_rate, steps=steps)
    begun = 0 if place is None else checkpoint.restore(place, twin)
    if begun:
        progress.note(f"quantized epochs 1 to {begun} of {epochs}: kept from an interrupted conversion")
    for epoch in range(begun, epochs):
        # Epoch numbers go on after the float run's, so that the twin sees other pictures.
        loss = train_epoch(twin, recipe, split, epoch=recipe.fit.epochs + epoch, progress=progress)
        progress.note(f"quantized epoch {epoch + 1}/{epochs}: loss {loss:.4f}")
        if place is not None:
            checkpoint.save(place, twin, epochs=epoch + 1)


def _place(folder: Path | None, twin: keras.Model, recipe: Recipe, split: TrainingData) -> Checkpoint | None:
    if folder is None:
        return None
    return Checkpoint(folder=folder, bound_to=checkpoint.binding(twin, recipe, split.train))


def _compiled(recipe: Recipe, *, steps: int, pretrained: Path | None) -> keras.Model:
    network = recipes.network(recipe)
    model = models.mobilenet_v2(
        height=recipe.preprocessing.height,
        width=recipe.preprocessing.width,
        cut=network.cut,
        alpha=network.alpha,
        embedding=network.embedding,
        dropout=network.dropout,
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
        loss={name: loss if name == "logit" else None for name in model.output},
        # XLA compiles these depthwise convolutions to slow loops on a CPU: 9 times slower measured.
        jit_compile=False,
    )


def _commit(run: Run, out: Path) -> None:
    with _writing(out / "run.json"):
        files.write_atomic(out / "run.json", schema.encode_json(run))


def _checkpoint(out: Path, epoch: int) -> Path:
    return out / f"checkpoint-{epoch:04d}.keras"


def _keep_checkpoint(out: Path, epoch: int | None) -> None:
    """Remove every checkpoint but that of an epoch, or all."""
    for path in sorted(out.glob("checkpoint-*.keras")):
        if epoch is None or path != _checkpoint(out, epoch):
            path.unlink()


def _save(model: keras.Model, path: Path) -> None:
    """Save aside and rename, so that an interruption leaves the old file whole and no part of a new one."""
    temporary = path.with_name(f".writing-{path.name}")
    try:
        with _writing(path):
            model.save(temporary)
            files.sync(temporary)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Translate what a disk may refuse."""
    try:
        yield
    except OSError as err:
        raise ConfigError(
            f"{path}: cannot be written: {err.strerror or err}; free some space or choose another --out, then --resume"
        ) from err


def _loaded(path: Path, *, compiled: bool) -> keras.Model:
    """Return a saved model; a checkpoint comes back with its optimizer."""
    if not path.is_file():
        raise ConfigError(f"{path}: expected a saved model, found none; train again in another --out")
    try:
        return keras.models.load_model(path, compile=compiled)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as err:
        first = (str(err).strip().splitlines() or [type(err).__name__])[0]
        raise ConfigError(f"{path}: expected a saved Keras model, got a damaged one: {first}; train again") from err


def load_best(folder: Path) -> keras.Model:
    """Return the best epoch's model of a run folder, without its optimizer.

    Raises:
        ConfigError: the run has no finished epoch, or the file is damaged.
    """
    return _loaded(folder / "model.keras", compiled=False)
