"""``edgemed convert``: a run folder or a saved Keras model becomes an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from converters.mode import Mode
from edgemed.cli import extras
from edgemed.errors import ConfigError, GateError

if TYPE_CHECKING:
    from converters.artifact import Artifact
    from converters.parity import Flip
    from edgemed.cli.conversions import Source
    from edgemed.targets import Target

__all__ = ["convert"]


def convert(
    model: Path = typer.Argument(
        ..., metavar="RUN|MODEL.keras", help="Run folder that 'edgemed train' made, or a model that Keras 3 saved."
    ),
    *,
    target: list[str] = typer.Option(
        ..., metavar="ID", help="Device to convert for, see 'edgemed devices list'; may be repeated."
    ),
    out: Path = typer.Option(..., help="Artifact folder to make; an older artifact there is replaced."),
    mode: Mode = typer.Option(
        Mode.QAT,
        help="qat: int8, trained on with quantization; ptq: int8 by calibration alone; float16, float32: to compare, "
        "no bundle is made of them.",
    ),
    data: Path | None = typer.Option(
        None, help="Folder of the data set. Default: where the run found it; MODEL.keras needs it."
    ),
    recipe: str | None = typer.Option(
        None,
        help="Recipe, by name or file, to take quantization, operating point, gate and quality limits from. Default: "
        "the run's own; MODEL.keras needs one, for labels and splits too.",
    ),
    preprocessing: Path | None = typer.Option(
        None,
        help="Steps from picture to input plane, as JSON or YAML in the form of preprocessing.json; only with "
        "MODEL.keras. Default: the recipe's.",
    ),
    input_range: tuple[float, float] | None = typer.Option(
        None,
        metavar="LOW HIGH",
        help="What grey levels 0 and 255 stood for when MODEL.keras was trained, e.g. 0 1, where its own layers do not "
        "rescale them.",
    ),
    out_of_fold: Path | None = typer.Option(
        None,
        metavar="FILE",
        help="Answers of the fold models of a cross-validation over train and validation: they choose the thresholds "
        "and steady the calibration. Default: RUN/out_of_fold.json, where there is one.",
    ),
    peer_python: list[Path] = typer.Option(
        [],
        metavar="PYTHON",
        help="Python of another environment with a back end, to measure its answers too; may be repeated.",
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Convert a float model and hold it against itself: outside the parity gate exit 3, and nothing is written.

    Ctrl-C loses at most the epoch at work: run the same command again. Four source pictures of validation become part
    of the artifact, with any text that is burned into them.
    """
    from converters import artifact, tolerance
    from edgemed import targets
    from edgemed.cli import conversions

    # In the order of their cost: what may fail comes before what takes long.
    devices = tuple(map(targets.load, dict.fromkeys(target)))
    artifact.require_writable(out)
    given = conversions.source(
        model,
        data=data,
        recipe=recipe,
        preprocessing=preprocessing,
        input_range=input_range,
        out_of_fold=out_of_fold,
    )
    _require_int8(mode, peer_python)
    tolerance.require_peers(peer_python)
    extras.load("train")
    made = _converted(given, devices, mode, tuple(peer_python), out)
    _show(made, devices, out, json=json)


def _require_int8(mode: Mode, peers: list[Path]) -> None:
    """Refuse peers that would not be asked."""
    if peers and not mode.is_int8:
        raise ConfigError(f"--peer-python: measures int8 models, not --mode {mode.value}; leave one of the two out")


def _converted(given: Source, devices: tuple[Target, ...], mode: Mode, peers: tuple[Path, ...], out: Path) -> Artifact:
    """Convert and write; the checkpoints of an interrupted training go once there is nothing left to resume."""
    import converters
    from edgemed.cli import conversions, output, progress
    from edgemed.training import checkpoint

    checkpoints = checkpoint.beside(out)
    try:
        with progress.bars() as bars:
            made = conversions.converted(
                given, devices=devices, mode=mode, peers=peers, checkpoints=checkpoints, bars=bars
            )
        converters.write(out, made)
    except KeyboardInterrupt:
        if checkpoints.is_dir():
            output.note(f"{checkpoints}: whole epochs are kept; run the same command again to go on after them")
        raise
    except GateError as refused:
        checkpoint.remove(checkpoints)
        _note_flips(refused)
        raise
    checkpoint.remove(checkpoints)
    return made


def _show(made: Artifact, devices: tuple[Target, ...], out: Path, *, json: bool) -> None:
    from edgemed.cli import output

    if json:
        output.print_json(
            {
                "artifact": out,
                "targets": [device.id for device in devices],
                "admits": made.description.targets,
                "mode": made.report.mode,
                "parity": made.report.parity,
                "tolerance": made.report.tolerance,
                "report": out / "conversion.json",
            }
        )
    else:
        from converters import report

        output.fields([*report.table_rows(made.report), ("written", str(out)), ("page", str(out / "conversion.html"))])
    for line in _notes(made):
        output.note(line)


def _notes(made: Artifact) -> list[str]:
    """Return what to say besides the result."""
    pictures = sum(name.startswith("golden/") and name.endswith(".plane.png") for name in made.members)
    carried = f"{pictures} source pictures of validation travel in golden/, with any text burned into their pixels"
    return [*([carried] if pictures else []), *map(_flip, made.flips), *made.notes]


def _note_flips(refused: GateError) -> None:
    from converters.parity import ParityError
    from edgemed.cli import output

    for flip in refused.flips if isinstance(refused, ParityError) else ():
        output.note(_flip(flip))


def _flip(flip: Flip) -> str:
    """Return a flipped decision in words; image names stay on this terminal, they may tell who was examined."""
    before, after = ("clear", "alert") if flip.alert else ("alert", "clear")
    kind = "abnormal" if flip.abnormal else "normal"
    return (
        f"flipped: {flip.name} ({kind}): {before} {flip.score_float:.4f} by float, {after} {flip.score_converted:.4f} "
        "converted"
    )
