"""``edgemed train``: a recipe and a data folder become a run folder."""

from __future__ import annotations

from pathlib import Path

import typer

from edgemed.cli import extras

__all__ = ["train"]


def train(
    *,
    recipe: str = typer.Option(..., help="Shipped recipe (chest-xray, breast-ultrasound) or a YAML file."),
    data: Path = typer.Option(..., help="Folder of the data set."),
    out: Path = typer.Option(..., help="Run folder to make, or with --resume to continue."),
    resume: bool = typer.Option(False, "--resume", help="Continue an interrupted run after its last whole epoch."),
    seed: int | None = typer.Option(None, min=0, help="Train from another seed; the division of the data stays."),
    pretrained: Path | None = typer.Option(
        None, help="Weights to start from, instead of the recipe's: a file, or the run folder of the same network."
    ),
    from_scratch: bool = typer.Option(False, "--from-scratch", help="Start from random weights."),
    teacher: list[Path] = typer.Option(
        [], help="Run folder or .keras file to learn from, instead of the recipe's; several answer together."
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Train a recipe's float model; train and validation images only, best epoch by validation AUC.

    Ctrl-C loses at most the epoch at work: run the same command with --resume.
    """
    extras.require("train")
    from edgemed.cli import output, progress
    from edgemed.training import recipe as recipes
    from edgemed.training import run as runs
    from edgemed.training import weights

    chosen = recipes.load(recipe)
    if seed is not None:
        chosen = recipes.with_seed(chosen, seed)
    start = weights.locate(recipes.network(chosen), data, given=pretrained, from_scratch=from_scratch)
    extras.load("train")
    from edgemed.training import distillation, fit

    teachers = distillation.locate(chosen, tuple(teacher))
    try:
        with progress.bars() as bars:
            run = fit.train(chosen, data, out, pretrained=start, teachers=teachers, resume=resume, progress=bars)
    except KeyboardInterrupt:
        output.note(f"{out}: the last whole epoch is kept; continue with the same command and --resume")
        raise
    if json:
        output.print_json({"run": out, **runs.summary(run)})
    else:
        output.fields([("run", str(out)), *((name, str(value)) for name, value in runs.summary(run).items())])
        output.note(f"next: edgemed convert {out} --target coral-usb --out {out / 'coral-usb'}")
