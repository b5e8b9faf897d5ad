"""``edgemed convert``: a run folder becomes an int8 artifact."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgemed.cli import extras

if TYPE_CHECKING:
    from converters.convert import Conversion
    from edgemed.cli.progress import Bars
    from edgemed.targets import Target
    from edgemed.training.run import Run

__all__ = ["convert"]

NAMES_SHOWN = 20


def convert(
    run: Path = typer.Argument(..., metavar="RUN", help="Run folder that 'edgemed train' made."),
    *,
    target: str = typer.Option(..., help="Device to convert for; see 'edgemed devices list'."),
    out: Path = typer.Option(..., help="Artifact folder to make."),
    data: Path | None = typer.Option(None, help="Folder of the data set. Default: where the run found it."),
    recipe: str | None = typer.Option(
        None, help="Recipe to take quantization, operating point and quality limits from. Default: the run's own."
    ),
    peer_python: list[Path] = typer.Option(
        [], metavar="PYTHON", help="Python of another environment with a back end, to measure its answers too."
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Quantize by training, export full int8, and hold it against the float model: exit 3 outside the gate.

    Four source pictures of validation become part of the artifact, with any text that is burned into them.
    """
    from converters import artifact, tolerance
    from edgemed import targets
    from edgemed.cli import output, progress

    # In the order of their cost: what may fail comes before what takes long.
    device = targets.load(target)
    artifact.require_writable(out)
    finished = _finished(run, recipe)
    tolerance.require_peers(peer_python)
    extras.load("train")
    with progress.bars() as bars:
        result = _converted(run, finished, data or Path(finished.data_path), tuple(peer_python), bars)
    artifact.write(out, result.description, result.members)
    if json:
        output.print_json(
            {
                "artifact": out,
                "target": device.id,
                "admits": result.description.targets,
                "parity": result.parity,
                "tolerance": result.tolerance,
            }
        )
    else:
        output.fields(_lines(result, out))
    for line in _notes(result, device):
        output.note(line)


def _finished(folder: Path, recipe: str | None) -> Run:
    """Return the run of a folder once all its epochs are there; its best epoch may be yet to come otherwise."""
    from edgemed.errors import ConfigError
    from edgemed.training import recipe as recipes
    from edgemed.training import run as runs

    run = runs.read(folder)
    if recipe is not None:
        run = runs.reconsidered(run, recipes.load(recipe))
    done, wanted = len(run.history), run.recipe.fit.epochs
    if done < wanted:
        raise ConfigError(f"{folder}: trained for {done} of {wanted} epochs; finish it with edgemed train --resume")
    return run


def _converted(folder: Path, run: Run, data: Path, peers: tuple[Path, ...], bars: Bars) -> Conversion:
    """Bring a run and the converter together; neither knows the other."""
    from converters.card import Facts
    from converters.convert import Options, convert
    from edgemed.bundle.manifest import Description
    from edgemed.training import fit, prepare
    from edgemed.training import run as runs

    recipe = run.recipe
    model = fit.load_best(folder)
    split = prepare.prepare(recipe, data, progress=bars)
    runs.require_same_data(run, split)
    return convert(
        model,
        description=Description(
            name=recipe.name,
            task=recipe.task,
            intended_use=recipe.intended_use,
            modalities=recipe.modalities,
            body_part=recipe.body_part,
            labels=recipe.labels,
        ),
        preprocessing=recipe.preprocessing,
        quality=recipe.quality,
        train=split.train,
        validation=split.validation,
        fit=lambda twin: fit.fine_tune(twin, recipe, split, progress=bars),
        options=Options(
            calibration=recipe.quantization.calibration,
            operating_point=recipe.operating_point.name,
            sensitivity=recipe.operating_point.sensitivity,
            peers=peers,
        ),
        facts=Facts(
            schema=1,
            recipe=recipe.name,
            seed=recipe.fit.seed,
            licence=recipe.data.licence,
            citation=recipe.data.citation,
            limits=recipe.data.limits,
            separation=runs.separation(recipe),
            pretrained_sha256=run.pretrained_sha256,
            train_images=run.train_images,
            train_digest=run.train_digest,
            validation_images=run.validation_images,
            validation_digest=run.validation_digest,
            history=tuple((epoch.loss, epoch.validation_auc) for epoch in run.history),
            best_epoch=run.best_epoch,
            quantization_epochs=recipe.quantization.epochs,
            versions=run.versions,
            converter_versions=_versions(),
        ),
        note=bars.note,
    )


def _versions() -> dict[str, str]:
    """Return the versions of the libraries that convert, as they are installed."""
    from importlib import metadata

    found = {}
    for name in ("ai-edge-litert", "keras", "tensorflow", "tensorflow-cpu"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _notes(result: Conversion, device: Target) -> list[str]:
    """Return what to say besides the result; image names stay on this terminal, they may tell who was examined."""
    from converters.convert import lacking

    pictures = sum(name.startswith("golden/") and name.endswith(".plane.png") for name in result.members)
    lines = [f"{pictures} source pictures of validation travel in golden/, with any text burned into their pixels"]
    if result.flipped:
        more = len(result.flipped) - NAMES_SHOWN
        shown = ", ".join(result.flipped[:NAMES_SHOWN])
        lines.append(f"flipped: {shown}{f' and {more} more' if more > 0 else ''}")
    return [*lines, *lacking(result, device)]


def _lines(result: Conversion, out: Path) -> list[tuple[str, str]]:
    from edgemed.bundle.manifest import MODEL

    parity = result.parity
    point = result.rule.operating_point
    return [
        ("int8 model", f"{len(result.members[MODEL])} bytes, no float tensor"),
        ("validation", f"{parity.n} images, {parity.n_abnormal} abnormal"),
        ("AUC float", format(parity.auc_float)),
        ("AUC int8", format(parity.auc_int8)),
        ("difference", f"{parity.difference:+}, non-inferior at {parity.margin}"),
        ("flipped", f"{parity.flipped} decisions, each model at its own threshold"),
        (point.name, f"sensitivity {point.sensitivity:.3f}, specificity {point.specificity:.3f} on validation"),
        *(
            (
                f"{entry.backend}, {entry.kernels.value}, {entry.architecture}",
                f"logit within {entry.logit_lsb} LSB, score within {entry.score:.4f}",
            )
            for entry in result.tolerance.entries
        ),
        ("written", str(out)),
    ]
