"""``edgemed evaluate``: accuracy of a run, a saved model or a bundle on labelled images, with intervals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgemed.errors import ConfigError

if TYPE_CHECKING:
    from edgemed.cli.progress import Bars
    from edgemed.training.evaluation.procedure import Candidate, Done

__all__ = ["evaluate"]


def evaluate(
    subject: str = typer.Argument(
        ...,
        metavar="SUBJECT",
        help="Run folder, .keras or .tflite file, bundle file, or the name of a shipped bundle.",
    ),
    *,
    data: Path | None = typer.Option(None, help="Folder of the data set. Default: where the run found it."),
    split: str | None = typer.Option(None, help="train, validation or test. Default: validation; for a bundle test."),
    recipe: str | None = typer.Option(
        None, help="Recipe that names the data's columns. Default: the run's own, or the bundle's name."
    ),
    prevalence: list[float] = typer.Option(
        [], metavar="SHARE", help="Share of abnormals to state predictive values for, e.g. 0.02; may be repeated."
    ),
    subgroup: list[str] = typer.Option(
        [], metavar="ATTRIBUTE", help="Attribute of the data to split the figures by, e.g. site; may be repeated."
    ),
    compare: str | None = typer.Option(
        None, metavar="OTHER", help="Another run, model or bundle, to compare on the same images."
    ),
    ood: list[str] = typer.Option(
        [], metavar="NAME=PATH", help="Folder, picture or zip of what the bundle should refuse; may be repeated."
    ),
    report: Path | None = typer.Option(None, metavar="HTML", help="Write a page with tables, plots and worst errors."),
    input_range: tuple[float, float] | None = typer.Option(
        None, metavar="LOW HIGH", help="What grey levels 0 and 255 stood for when a .keras file was trained."
    ),
    trusted: list[Path] = typer.Option([], "--trust", metavar="KEY", help="Public key to trust; may be repeated."),
    backend: str | None = typer.Option(None, help="litert or tflite-runtime. Default: the first that is installed."),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Evaluate a model's answers and decisions on one split; a bundle or a .tflite needs no TensorFlow.

    A model without thresholds of its own takes them from validation. Test images should be looked at once, when
    everything else is decided.
    """
    from edgemed.cli import evaluations, extras, output, progress
    from edgemed.training.evaluation import procedure

    # In the order of their cost: what may fail comes before what takes long.
    request = procedure.Request(
        data=data,
        split=split,
        prevalences=tuple(dict.fromkeys(prevalence)),
        attributes=tuple(dict.fromkeys(subgroup)),
        elsewhere=_elsewhere(ood),
    )
    if report is not None:
        extras.require("train", modules=("matplotlib", "jinja2"))
        output.require_writable(report, option="--report")

    keys = tuple(trusted)
    candidate = evaluations.opened(subject, recipe=recipe, trusted=keys, backend=backend, input_range=input_range)
    other = None
    if compare is not None:
        other = evaluations.opened(compare, recipe=candidate.recipe, trusted=keys, backend=backend)
    with progress.bars() as bars:
        done = procedure.carried_out(candidate, request, other=other, progress=bars)
        if report is not None:
            output.write_file(report, _page(candidate, done, bars), option="--report")
    if json:
        output.print_json(done.evaluation)
    else:
        from edgemed.cli import figures

        output.fields(figures.lines(done.evaluation))
    if report is not None:
        output.note(f"{report}: written; source pictures of the worst errors are in it, with any text burned into them")


def _elsewhere(given: list[str]) -> dict[str, Path]:
    """Return the sets of ``--ood`` by name.

    Raises:
        ConfigError: one is not NAME=PATH, or a name is given twice.
    """
    found: dict[str, Path] = {}
    for text in given:
        name, mark, path = text.partition("=")
        if not (name and mark and path):
            raise ConfigError(f"--ood: expected NAME=PATH, got {text!r}; e.g. photos=folder/")
        if name in found:
            raise ConfigError(f"--ood: {name}: given more than once; give each set a name of its own")
        found[name] = Path(path)
    return found


def _page(candidate: Candidate, done: Done, bars: Bars) -> bytes:
    from edgemed.training.report import render_html

    return render_html(candidate, done, progress=bars).encode("utf-8")
