"""``edgemed convert``: a run folder becomes an int8 artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgemed.cli import extras

if TYPE_CHECKING:
    from converters.convert import Conversion
    from edgemed.cli.progress import Bars

__all__ = ["convert"]


def convert(
    run: Path = typer.Argument(..., metavar="RUN", help="Run folder that 'edgemed train' made."),
    *,
    target: str = typer.Option(..., help="Device to convert for; see 'edgemed devices list'."),
    out: Path = typer.Option(..., help="Artifact folder to make."),
    data: Path | None = typer.Option(None, help="Folder of the data set. Default: where the run found it."),
    peer_python: list[Path] = typer.Option(
        [], metavar="PYTHON", help="Python of an environment with tflite-runtime, to measure its answers too."
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Quantize by training, export full int8, and hold it against the float model: exit 3 outside the gate."""
    extras.require("train")
    from converters import artifact, tolerance
    from converters.convert import lacking
    from edgemed import targets
    from edgemed.cli import output, progress

    device = targets.load(target)
    artifact.require_writable(out)
    tolerance.require_peers(peer_python)
    with progress.bars() as bars:
        result = _converted(run, data, tuple(peer_python), bars)
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
    for lack in lacking(result, device):
        output.note(lack)


def _converted(folder: Path, data: Path | None, peers: tuple[Path, ...], bars: Bars) -> Conversion:
    """Bring a run and the converter together; neither knows the other."""
    from converters.card import Facts
    from converters.convert import Options, convert
    from edgemed.bundle.manifest import Description
    from edgemed.training import fit

    run = fit.read_run(folder)
    recipe = run.recipe
    model = fit.load_best(folder)
    split = fit.prepare(recipe, data or Path(run.data_path), progress=bars)
    fit.require_same_data(run, split)
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
            train_images=run.train_images,
            train_digest=run.train_digest,
            validation_images=run.validation_images,
            validation_digest=run.validation_digest,
            history=tuple((epoch.loss, epoch.validation_auc) for epoch in run.history),
            best_epoch=run.best_epoch,
            quantization_epochs=recipe.quantization.epochs,
            versions=run.versions,
        ),
        note=bars.note,
    )


def _lines(result: Conversion, out: Path) -> list[tuple[str, str]]:
    parity = result.parity
    low, high = parity.difference.ci95
    point = result.rule.operating_point
    return [
        ("int8 model", f"{len(result.members['model/int8.tflite'])} bytes, no float tensor"),
        ("validation", f"{parity.n} images, {parity.n_abnormal} abnormal"),
        ("AUC float", f"{parity.auc_float.value:.4f} [{parity.auc_float.ci95[0]:.4f}, {parity.auc_float.ci95[1]:.4f}]"),
        ("AUC int8", f"{parity.auc_int8.value:.4f} [{parity.auc_int8.ci95[0]:.4f}, {parity.auc_int8.ci95[1]:.4f}]"),
        ("difference", f"{parity.difference.value:+.4f} [{low:+.4f}, {high:+.4f}], non-inferior at {parity.margin}"),
        ("flipped", f"{len(parity.flipped)} decisions, each model at its own threshold"),
        (point.name, f"sensitivity {point.sensitivity:.3f}, specificity {point.specificity:.3f} on validation"),
        *(
            (
                f"{entry.backend}, {entry.kernels.value}",
                f"logit within {entry.logit_lsb} LSB, score within {entry.score:.4f}",
            )
            for entry in result.tolerance.entries
        ),
        ("written", str(out)),
    ]
