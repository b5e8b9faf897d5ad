"""``edgemed train``: a recipe and a data folder become a run folder."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgemed.cli import extras

if TYPE_CHECKING:
    from edgemed.training.recipe import Recipe

__all__ = ["train"]


@dataclass(frozen=True, kw_only=True)
class _Given:
    """What the options of one call come to."""

    recipe: Recipe
    data: Path
    out: Path
    pretrained: Path | None
    teachers: tuple[Path, ...]
    resume: bool
    folds: int | None
    curves: Path | None


def train(
    *,
    recipe: str = typer.Option(..., help="Shipped recipe, such as chest-xray, or a YAML file."),
    data: Path = typer.Option(..., help="Folder of the data set."),
    out: Path = typer.Option(..., help="Run folder to make, or with --resume to continue."),
    folds: int | None = typer.Option(
        None, min=2, help="Cross-validate: train once for each of so many folds; OUT/out_of_fold.json has the answers."
    ),
    resume: bool = typer.Option(False, "--resume", help="Continue an interrupted run after its last whole epoch."),
    seed: int | None = typer.Option(
        None, min=0, max=(1 << 31) - 1, help="Train from another seed; the division of the data stays."
    ),
    pretrained: Path | None = typer.Option(
        None, help="Weights to start from, instead of the recipe's: a file, or the run folder of the same network."
    ),
    from_scratch: bool = typer.Option(False, "--from-scratch", help="Start from random weights."),
    teacher: list[Path] = typer.Option(
        [], help="Run folder or .keras file to learn from, instead of the recipe's; several answer together."
    ),
    tensorboard: Path | None = typer.Option(None, help="Folder for TensorBoard's curves of loss, validation and rate."),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Train a recipe's float model on train and validation images only; the recipe says which epoch is kept.

    Ctrl-C loses at most the epoch at work: run the same command with --resume.
    """
    extras.require("train")
    from edgemed.cli import output
    from edgemed.training import recipe as recipes
    from edgemed.training import weights

    chosen = recipes.load(recipe)
    if seed is not None:
        chosen = recipes.with_seed(chosen, seed)
    start = weights.locate(recipes.network(chosen), data, given=pretrained, from_scratch=from_scratch)
    extras.load("train")
    from edgemed.training import distillation

    teachers = distillation.locate(chosen, tuple(teacher))
    given = _Given(
        recipe=chosen,
        data=data,
        out=out,
        pretrained=start,
        teachers=teachers,
        resume=resume,
        folds=folds,
        curves=tensorboard,
    )
    try:
        found = _trained(given)
    except KeyboardInterrupt:
        output.note(f"{out}: the last whole epoch is kept; continue with the same command and --resume")
        raise
    if json:
        output.print_json({"run": out, **found})
        return
    output.fields([("run", str(out)), *((name, str(value)) for name, value in found.items())])
    if folds is None:
        output.note(f"next: edgemed convert {out} --target coral-usb --out {out / 'coral-usb'}")


def _trained(given: _Given) -> dict[str, object]:
    """Train one model, or one a fold, and return what to show of it."""
    from edgemed.cli import progress
    from edgemed.training import fit, folds
    from edgemed.training import run as runs

    train: Callable[..., runs.Run | folds.Folds] = fit.train
    if given.folds is not None:
        train = functools.partial(folds.train, count=given.folds)
    with progress.bars() as bars:
        found = train(
            given.recipe,
            given.data,
            given.out,
            pretrained=given.pretrained,
            teachers=given.teachers,
            resume=given.resume,
            curves=given.curves,
            progress=bars,
        )
    return runs.summary(found) if isinstance(found, runs.Run) else folds.summary(found)
