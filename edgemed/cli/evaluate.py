"""``edgemed evaluate``: accuracy of a signed bundle on labelled images, with intervals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from edgemed.training.evaluation import Evaluation

__all__ = ["evaluate"]


def evaluate(
    bundle: str = typer.Argument(..., metavar="BUNDLE", help="Bundle file, or the name of a shipped one."),
    *,
    data: Path = typer.Option(..., help="Folder of the data set."),
    split: str = typer.Option("test", help="train, validation or test."),
    recipe: str | None = typer.Option(None, help="Recipe that names the data's columns. Default: the bundle's name."),
    trusted: list[Path] = typer.Option([], "--trust", metavar="KEY", help="Public key to trust; may be repeated."),
    backend: str | None = typer.Option(None, help="litert or tflite-runtime. Default: the first that is installed."),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Evaluate a bundle's int8 model and decisions on one split; needs no TensorFlow.

    Test images should be looked at once, when everything else is decided.
    """
    from edgemed.bundle import keys
    from edgemed.cli import output, progress
    from edgemed.runtime.screener import Screener
    from edgemed.training import evaluate as evaluation
    from edgemed.training import recipe as recipes
    from edgemed.training import sources

    screener = Screener.open(bundle, keys=tuple(map(keys.read_public, trusted)) or None, backend=backend)
    # The recipe of a model from elsewhere may have no steps of its own; the bundle has those that count.
    chosen = recipes.load(recipe or screener.bundle.manifest.name, preprocessing=screener.preprocessing)
    dataset = sources.load(chosen.data.source, data)
    indices = evaluation.select(screener.bundle, dataset, chosen, split)
    with progress.bars() as bars:
        bars.start(f"evaluate {split}", len(indices))
        result = evaluation.evaluate(screener, dataset, indices, recipe=chosen, split=split, progress=bars.advance)
    if json:
        output.print_json(result)
    else:
        output.fields(_lines(result))


def _lines(result: Evaluation) -> list[tuple[str, str]]:
    patients = "" if result.resamples is None else f" of {result.n_groups} patients"
    lines = [
        ("bundle", f"{result.bundle['name']} {result.bundle['version']} on {result.backend}"),
        ("recipe", f"{result.recipe}, seed {result.seed}"),
        ("images", f"{result.n} {result.split}{patients}, {result.n_abnormal} abnormal; {result.unscored} not scored"),
        ("AUC", str(result.auc)),
        ("Brier, ECE", f"{result.brier:.4f}, {result.expected_calibration_error:.4f}"),
    ]
    for point in result.operating_points:
        lines.append((point.name, f"threshold {point.threshold:.4f}, {point.criterion}"))
        for name in ("sensitivity", "specificity", "ppv", "npv", "accuracy"):
            figure = getattr(point, name)
            lines.append((f"  {name}", "no such images" if figure is None else str(figure)))
    lines.append(("decisions", ", ".join(f"{count} {name}" for name, count in result.decisions.items())))
    lines.append(("intervals", result.interval))
    return lines
