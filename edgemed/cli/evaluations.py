"""What ``edgemed evaluate`` is given, and how it comes to be evaluated: a run, a saved model or a bundle.

opened = evaluations.opened("runs/cxr", recipe=None, trusted=(), backend=None)
done = evaluations.evaluated(opened, request, bars=bars)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed.errors import ConfigError, ImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgemed.cli.progress import Bars
    from edgemed.runtime.decision import DecisionRule
    from edgemed.runtime.screener import Screener
    from edgemed.training.data import Dataset
    from edgemed.training.evaluate import Selected, Trained
    from edgemed.training.evaluation.answers import Answers
    from edgemed.training.evaluation.comparison import Side
    from edgemed.training.evaluation.subjects import Subject
    from edgemed.training.evaluation.whole import Evaluation
    from edgemed.training.recipe import Recipe

__all__ = ["Done", "Opened", "Request", "evaluated", "opened", "require_request"]

_MODEL_LIMIT_BYTES = 1 << 30


@dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """A subject that is ready to answer.

    Attributes:
        recipe: names the data's columns, labels and splits.
        data: folder of the data set that the subject itself names; None where it names none.
        rule: calibration and thresholds that it carries; None where they are fitted on validation.
        trained: the division it was trained on, as far as it tells.
        screener: of a bundle; None for a model without gates.
        card: of a bundle, markdown.
    """

    subject: Subject
    recipe: Recipe
    data: Path | None = None
    rule: DecisionRule | None = None
    trained: Trained | None = None
    screener: Screener | None = None
    card: str | None = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of a subject.

    Attributes:
        data: folder of the data set; None takes the subject's own.
        split: None takes validation, for a bundle test.
        prevalences: at which predictive values are wanted.
        subgroups: attributes of the data.
        ood: folders, pictures or zips of what the bundle is not meant for, by name.
    """

    data: Path | None
    split: str | None
    prevalences: tuple[float, ...] = ()
    subgroups: tuple[str, ...] = ()
    ood: dict[str, Path] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Done:
    """An evaluation with what a report draws."""

    evaluation: Evaluation
    opened: Opened
    side: Side
    dataset: Dataset


def require_request(request: Request) -> None:
    """Return when what is asked can be answered of any model.

    Raises:
        ConfigError: a prevalence is outside (0, 1).
    """
    for prevalence in request.prevalences:
        if not 0.0 < prevalence < 1.0:
            raise ConfigError(
                f"--prevalence: expected above 0 and below 1, got {prevalence:g}; give a share, such as 0.02 for 2 %"
            )


def opened(name: str, *, recipe: str | None, trusted: tuple[Path, ...], backend: str | None) -> Opened:
    """Return a run folder, a ``.keras`` or ``.tflite`` file, or a bundle, ready to answer.

    Args:
        name: path; or the name of a shipped bundle.
        recipe: by name or file; None takes that of the run, or of the bundle's name.
        trusted: public keys for a bundle.
        backend: for a bundle or a TFLite file.

    Raises:
        EdgemedError: it is none of these, an option is missing or has no place here, or it cannot be loaded.
    """
    path = Path(name)
    if path.suffix == ".keras":
        return _of_keras(path, recipe)
    if path.suffix == ".tflite":
        return _of_tflite(path, recipe, backend)
    if path.is_dir():
        return _of_run(path, recipe)
    return _of_bundle(name, recipe, trusted, backend)


def _of_bundle(name: str, recipe: str | None, trusted: tuple[Path, ...], backend: str | None) -> Opened:
    from edgemed.bundle import keys
    from edgemed.runtime.screener import Screener
    from edgemed.training import evaluate
    from edgemed.training import recipe as recipes
    from edgemed.training.evaluation import subjects

    screener = Screener.open(name, keys=tuple(map(keys.read_public, trusted)) or None, backend=backend)
    card = screener.bundle.members.get("card.md")
    return Opened(
        subject=subjects.of_bundle(screener),
        # The recipe of a model from elsewhere may have no steps of its own; the bundle has those that count.
        recipe=recipes.load(recipe or screener.bundle.manifest.name, preprocessing=screener.preprocessing),
        rule=screener.rule,
        trained=evaluate.division_of(screener.bundle),
        screener=screener,
        card=None if card is None else card.decode("utf-8"),
    )


def _of_run(folder: Path, recipe: str | None) -> Opened:
    from edgemed import files
    from edgemed.training import recipe as recipes
    from edgemed.training import run as runs
    from edgemed.training.evaluate import Trained

    run = runs.read(folder)
    if recipe is not None:
        run = runs.reconsidered(run, recipes.load(recipe))
    done, wanted = len(run.history), run.recipe.fit.epochs
    if done < wanted:
        raise ConfigError(f"{folder}: trained for {done} of {wanted} epochs; finish it with edgemed train --resume")
    from edgemed.cli import extras

    extras.load("train")
    from edgemed.training import fit

    model = fit.load_best(folder)
    return Opened(
        subject=_keras_subject(
            model, run.recipe, kind="run", digest=files.sha256_file(folder / "model.keras"), source=str(folder)
        ),
        recipe=run.recipe,
        data=Path(run.data_path),
        trained=Trained(
            seed=run.recipe.fit.seed, train_images=run.train_images, validation_images=run.validation_images
        ),
    )


def _of_keras(path: Path, recipe: str | None) -> Opened:
    from converters import keras_file
    from edgemed import files

    keras_file.require_plain(path)
    found = _required_recipe(path, recipe)
    from edgemed.cli import extras

    extras.load("train")
    from converters import contract

    adapted = contract.adapted(keras_file.load(path))
    digest = files.sha256_file(path)
    return Opened(
        subject=_keras_subject(adapted.model, found, kind="keras", digest=digest, source=str(path)), recipe=found
    )
