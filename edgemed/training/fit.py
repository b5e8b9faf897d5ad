"""Float training of a recipe: a run folder that can be interrupted at any moment and resumed.

A run folder holds ``run.json`` (recipe, versions, data digests, history: enough to repeat the run), ``model.keras``
(the best epoch by the recipe's rule) and, until the end, ``checkpoint-NNNN.npz`` (everything the next epoch needs).
Every file is written aside and renamed. An epoch counts once ``run.json`` names it; its checkpoint is there by then.

    run = fit.train(recipe, data_folder, Path("runs/cxr"))
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import msgspec
import numpy as np

from edgemed.errors import ConfigError
from edgemed.training import checkpoint, distillation, learner, saving, tensorboard, validation
from edgemed.training import recipe as recipes
from edgemed.training import run as runs
from edgemed.training.batches import Batches, Teacher
from edgemed.training.checkpoint import Checkpoint
from edgemed.training.compilation import compile_for
from edgemed.training.learner import Learner
from edgemed.training.prepare import TrainingData, prepare
from edgemed.training.progress import Progress, Silent
from edgemed.training.recipe import Recipe
from edgemed.training.run import Epoch, Run

__all__ = ["begun", "compile_for", "fine_tune", "load_best", "train", "train_epoch", "train_on"]


def train(
    recipe: Recipe,
    folder: Path,
    out: Path,
    *,
    pretrained: Path | None = None,
    teachers: tuple[Path, ...] = (),
    resume: bool = False,
    curves: Path | None = None,
    progress: Progress | None = None,
) -> Run:
    """Train a recipe's float model into the run folder ``out``.

    Args:
        recipe: what to train.
        folder: of the data set.
        out: run folder; made when absent. With ``resume`` it continues after its last whole epoch, and the result
            equals that of an uninterrupted run.
        pretrained: weights to start from; None for the recipe's random start.
        teachers: run folders or ``.keras`` files, where the recipe distils.
        resume: continue; else a folder that already holds a run is refused.
        curves: folder for TensorBoard's files; None for none.
        progress: told what goes on.

    Raises:
        ConfigError: the folder holds a run already, the run to resume is absent or of another recipe, data or start,
            or the disk refuses; what was whole stays.
        GateError: training diverged.
    """
    report = progress or Silent()
    found = begun(out, resume=resume)
    with saving.writing(out):
        out.mkdir(parents=True, exist_ok=True)
    split = prepare(recipe, folder, progress=report)
    return train_on(
        split,
        recipe,
        out,
        folder=folder,
        pretrained=pretrained,
        teachers=teachers,
        begun=found,
        curves=curves,
        progress=report,
    )


def begun(out: Path, *, resume: bool) -> Run | None:
    """Return the run that a folder holds and that is to go on; None for a new one.

    Raises:
        ConfigError: there is none to resume, or one that a new run would overwrite.
    """
    if resume:
        return runs.read(out)
    # A run without a whole epoch has nothing to lose.
    if (out / "run.json").exists() and runs.read(out).history:
        raise ConfigError(f"{out}: holds a run already; resume it with --resume or choose another --out")
    return None


def train_on(
    split: TrainingData,
    recipe: Recipe,
    out: Path,
    *,
    folder: Path,
    pretrained: Path | None,
    teachers: tuple[Path, ...],
    begun: Run | None,
    curves: Path | None,
    progress: Progress,
    folds: int | None = None,
) -> Run:
    """Train on planes that are prepared; ``begun`` is the run that ``out`` holds, ``folds`` as in `Run`."""
    known = distillation.load(teachers, recipe, split) if teachers else None
    digests = () if known is None else known.digests
    run = runs.described(recipe, folder, split, pretrained=pretrained, teachers=digests, folds=folds)
    if begun is not None:
        run = runs.continued(begun, run, out)
    if len(run.history) < recipe.fit.epochs:
        teacher = None if known is None else known.logits
        run = _epochs(run, split, out, pretrained=pretrained, teacher=teacher, curves=curves, progress=progress)
    saving.keep_checkpoint(out, None)
    return run


def _epochs(
    run: Run,
    split: TrainingData,
    out: Path,
    *,
    pretrained: Path | None,
    teacher: Teacher | None,
    curves: Path | None,
    progress: Progress,
) -> Run:
    recipe, steps = run.recipe, Batches.count(run.recipe, split.train)
    done = len(run.history)
    learning = learner.new(recipe, steps=steps, pretrained=None if done else pretrained)
    if done:
        arrays = saving.load_checkpoint(saving.checkpoint(out, done - 1), expected=learning.shapes())
        learning.restore(arrays, steps=done * steps)
    else:
        # Not before: a recipe that makes no model leaves no run behind.
        saving.commit(run, out)
    for epoch in range(done, recipe.fit.epochs):
        line = _epoch(learning, recipe, split, epoch=epoch, teacher=teacher, progress=progress)
        best = None if run.best_epoch is None else run.history[run.best_epoch]
        takes_over = validation.better(line, best, select=recipe.fit.select)
        if takes_over:
            saving.save_model(learning.kept, out / saving.MODEL)
        saving.save_checkpoint(saving.checkpoint(out, epoch), learning.state())
        run = msgspec.structs.replace(
            run, history=(*run.history, line), best_epoch=epoch if takes_over else run.best_epoch
        )
        saving.commit(run, out)
        saving.keep_checkpoint(out, epoch)
        if curves is not None:
            tensorboard.write(curves, _curves(line), epoch=epoch)
    return run


def _curves(line: Epoch) -> dict[str, float]:
    values = msgspec.structs.asdict(line)
    return {name: value for name, value in values.items() if name != "epoch" and value is not None}


def _epoch(
    learning: Learner,
    recipe: Recipe,
    split: TrainingData,
    *,
    epoch: int,
    teacher: Teacher | None,
    progress: Progress,
) -> Epoch:
    """Train for one epoch and return what came of it."""
    loss = train_epoch(
        learning.model, recipe, split, epoch=epoch, progress=progress, teacher=teacher, callbacks=learning.callbacks()
    )
    learning.refresh()
    found = validation.measured(learning.kept, split.validation, labels=recipes.meaning(recipe), epoch=epoch)
    progress.note(
        f"epoch {epoch + 1}/{recipe.fit.epochs}: loss {loss:.4f}, validation AUC {found.auc:.4f}, "
        f"validation loss {found.loss:.4f}"
    )
    return Epoch(
        epoch=epoch,
        loss=loss,
        validation_auc=found.auc,
        validation_loss=found.loss,
        learning_rate=float(learning.model.optimizer.learning_rate),
    )


def train_epoch(
    model: keras.Model,
    recipe: Recipe,
    split: TrainingData,
    *,
    epoch: int,
    progress: Progress,
    teacher: Teacher | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> float:
    """Train a compiled model for one epoch over the train split and return its mean loss."""
    batches = Batches.of(recipe, split.train, epoch=epoch, teacher=teacher)
    _seed_dropout(model, seed=recipe.fit.seed, epoch=epoch)
    progress.start(f"epoch {epoch + 1}", len(batches))
    step = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs=None: progress.advance())
    history = model.fit(batches, epochs=1, shuffle=False, verbose=0, callbacks=[*callbacks, step])
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
    Labels are mixed as in the float run; averages, teachers and mixed precision stay behind.

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
    steps = Batches.count(recipe, split.train)
    place = _place(checkpoints, twin, recipe, split)
    compile_for(twin, recipe, epochs=epochs, learning_rate=recipe.quantization.learning_rate, steps=steps)
    done = 0 if place is None else checkpoint.restore(place, twin)
    if done:
        progress.note(f"quantized epochs 1 to {done} of {epochs}: kept from an interrupted conversion")
    for epoch in range(done, epochs):
        # Epoch numbers go on after the float run's, so that the twin sees other pictures.
        loss = train_epoch(twin, recipe, split, epoch=recipe.fit.epochs + epoch, progress=progress)
        progress.note(f"quantized epoch {epoch + 1}/{epochs}: loss {loss:.4f}")
        if place is not None:
            checkpoint.save(place, twin, epochs=epoch + 1)


def _place(folder: Path | None, twin: keras.Model, recipe: Recipe, split: TrainingData) -> Checkpoint | None:
    if folder is None:
        return None
    return Checkpoint(folder=folder, bound_to=checkpoint.binding(twin, recipe, split.train))


def load_best(folder: Path) -> keras.Model:
    """Return the kept epoch's model of a run folder, without an optimizer.

    Raises:
        ConfigError: the run has no finished epoch, or the file is damaged.
    """
    return saving.load_model(folder / saving.MODEL)
