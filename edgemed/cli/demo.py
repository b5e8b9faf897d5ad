"""``edgemed demo``: screen the sample images inside the package with the bundles inside the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edgemed.cli import arguments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgemed.runtime.screener import Screener
    from edgemed.shipped import Sample

__all__ = ["demo"]

_COLUMNS = ("input", "modality", "true label", "score", "decision")
_NARROW = ("input", "modality", "score", "decision", "decode + preprocess + infer + decide = total ms")
_STAGES = ("decode ms", "preprocess ms", "infer ms", "decide ms", "total ms")
_FOLDER = "edgemed-demo"
_SAID = (
    "Research software: a score of abnormality, never a diagnosis.",
    "The demo bundles are signed with the package's own demo key; trust it for nothing else.",
)
_NEXT = (
    "edgemed screen FOLDER --bundle chest-xray --heatmaps heatmaps --json",
    "edgemed bundle info chest-xray --card",
    "edgemed devices list",
    "edgemed doctor",
)


def demo(
    out: Path | None = typer.Option(
        None,
        parser=arguments.path,
        metavar="DIR",
        help=f"Folder for the overlays. Default: a new one, {_FOLDER}, in the current folder.",
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Screen the sample images inside the package with both shipped bundles, and draw the evidence."""
    from edgemed import shipped
    from edgemed.cli import output, screenings
    from edgemed.runtime.screener import Screener

    samples = shipped.samples()
    screeners = {name: Screener.open(name) for name in sorted({sample.bundle for sample in samples})}
    folder = _new_folder() if out is None else out
    screenings.require_folder(folder, option="--out")
    results = list(_results(screeners, samples, folder))
    if json:
        judged = [screenings.about(screener) for screener in screeners.values()]
        output.print_json(
            {
                "bundles": [entry["bundle"] for entry in judged],
                "runtime": judged[0]["runtime"] if judged else None,
                "folder": folder,
                "results": results,
                "summary": screenings.summary(results),
            }
        )
        return
    _render(results, folder)


def _results(screeners: dict[str, Screener], samples: tuple[Sample, ...], folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the entry of each sample, with what the data set says about it."""
    from dataclasses import replace

    from edgemed.cli import screenings
    from edgemed.runtime import worklist

    for number, sample in enumerate(samples, start=1):
        screener = screeners[sample.bundle]
        for outcome in worklist.screen(screener, [sample.path]):
            numbered = replace(outcome, number=number)
            heatmap = screenings.write_heatmap(folder, numbered, screener, option="--out")
            entry = screenings.result(replace(outcome.screening, source=sample.file), heatmap)
            described = {"bundle": sample.bundle, "modality": sample.modality, "label": sample.label}
            yield {**entry, **described, "attribution": sample.attribution}


def _render(results: list[dict[str, Any]], folder: Path) -> None:
    from edgemed.cli import output, screenings

    rows = [
        (
            entry["input"],
            entry["modality"],
            entry["label"],
            "-" if entry["score"] is None else f"{entry['score']:.3f}",
            entry["decision"],
            *screenings.latency_cells(entry),
        )
        for entry in results
    ]
    output.table((*_COLUMNS, *_STAGES), rows, narrow=(_NARROW, [_narrow(*row) for row in rows]))
    lines = [f"Overlays: {folder}", *_SAID, "", "Try next:", *(f"  {command}" for command in _NEXT)]
    typer.echo("\n".join(lines))


def _narrow(name: str, modality: str, _label: str, score: str, decision: str, *stages: str) -> tuple[str, ...]:
    """Return the cells of `_NARROW`: one column of times, and no true label, for the file's name holds it."""
    return name, modality, score, decision, f"{' + '.join(stages[:-1])} = {stages[-1]}"


def _new_folder() -> Path:
    """Return a folder that is not there yet, in the current folder or, where that is closed, a temporary one."""
    import os
    import tempfile

    if not os.access(Path.cwd(), os.W_OK):
        return Path(tempfile.mkdtemp(prefix=f"{_FOLDER}-"))
    folder, number = Path(_FOLDER), 1
    while folder.exists():
        number += 1
        folder = Path(f"{_FOLDER}-{number}")
    return folder
