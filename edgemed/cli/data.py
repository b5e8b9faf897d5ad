"""``edgemed data``: look at a data set before a model learns it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgemed.cli import output
from edgemed.cli.arguments import Once
from edgemed.errors import ConfigError, GateError

if TYPE_CHECKING:
    from edgemed.training.inspection import Checked, Described, Finding, Given, Inspection

__all__ = ["app"]

app = typer.Typer(help="Check labelled images before training.", no_args_is_help=True)

_NAMED = 3  # files that a row of the table names
_FAULTS = 10  # unreadable files that are named with the reason


@app.callback()
def _group() -> None:
    """Keep ``check`` a word of the command line while it is the only one."""


@app.command(cls=Once)
def check(
    path: Path = typer.Argument(..., metavar="PATH", help="Data folder, or the CSV or npz in it."),
    *,
    recipe: str | None = typer.Option(None, help="Recipe that says where labels, splits and patients stand."),
    source: str | None = typer.Option(None, help="manifest, npz, folders or dicom, where several could be meant."),
    label: str | None = typer.Option(None, metavar="COLUMN", help="Column of the label, where several could be meant."),
    split: str | None = typer.Option(None, metavar="COLUMN", help="Column of the split."),
    patient: str | None = typer.Option(None, metavar="COLUMN", help="Column of the patient."),
    near: float = typer.Option(0.98, min=0.5, max=0.9999, help="Thumbnail correlation that counts as nearly the same."),
    sheet: Path | None = typer.Option(None, metavar="PNG", help="Write a contact sheet of what was found."),
    out: Path | None = typer.Option(None, metavar="FOLDER", help="Write check.json and sheet.png into a new folder."),
    strict: bool = typer.Option(False, "--strict", help="End with exit code 3 when an error was found."),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Count, compare and look at every image: duplicates, patients across splits, shifts, text, unreadable files.

    Test images are read too: nothing here chooses a model. Findings alone do not make the command fail: see --strict.
    JSON and sheet name images by number; the sheet shows pixels, and belongs where the images belong.
    """
    from edgemed.cli import progress
    from edgemed.training import inspection

    given = inspection.Given(kind=source, label=label, split=split, patient=patient)
    described = _described(path, recipe, given)
    with progress.bars() as bars:
        bars.start("look at images", len(described.listing.names))
        checked = inspection.inspect(described, near=near, progress=bars.advance)
    _write(checked, sheet, out)
    if json:
        output.print_json(checked.document)
    else:
        _show(path, checked)
    if strict and checked.document.summary["error"]:
        kinds = sorted({one.kind for one in checked.document.findings if one.severity.value == "error"})
        raise GateError(f"{path}: expected no finding of severity error, got {', '.join(kinds)}; see the findings")


def _described(path: Path, recipe: str | None, given: Given) -> Described:
    from edgemed.training import inspection
    from edgemed.training import recipe as recipes

    if recipe is None:
        return inspection.guess(path, given)
    if given != inspection.Given():
        raise ConfigError("--recipe: says where labels, splits and patients stand; drop --source and the columns")
    return inspection.by_recipe(recipes.load(recipe), path)


def _write(checked: Checked, sheet: Path | None, out: Path | None) -> None:
    import msgspec

    if sheet is None and out is None:
        return
    from edgemed.training.inspection import sheet as sheets

    picture = sheets.png(checked)
    if sheet is not None:
        output.write_file(sheet, picture, option="--sheet")
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise ConfigError(f"--out: {out}: cannot be made: {err.strerror or err}; choose another folder") from err
        output.write_file(out / "sheet.png", picture)
        document = msgspec.json.format(msgspec.json.encode(checked.document), indent=2)
        output.write_file(out / "check.json", document + b"\n")


def _show(path: Path, checked: Checked) -> None:
    document = checked.document
    output.fields(_lines(path, document))
    faults = list(checked.subject.traits.faults.values())
    for fault in faults[:_FAULTS]:
        output.note(f"unreadable: {fault}")
    if len(faults) > _FAULTS:
        output.note(f"and {len(faults) - _FAULTS} more that cannot be read")
    rows = ((one.split, one.label, str(one.images), _or_dash(one.patients)) for one in document.counts)
    output.table(("split", "label", "images", "patients"), rows)
    if document.differences:
        output.table(
            ("grey levels", "of", "from", "distance", "by chance below", "sharper"),
            (
                (one.label, one.second, one.first, f"{one.distance:.1f}", f"{one.by_chance:.1f}", f"{one.sharper:.2f}")
                for one in document.differences
            ),
        )
    output.table(
        ("severity", "finding", "what to do"),
        ((one.severity.value, one.message + _named(one, checked), one.advice) for one in document.findings),
    )
    if not document.findings:
        output.note("nothing found")
        return
    found = ", ".join(f"{count} {severity}{'s' * (count != 1)}" for severity, count in document.summary.items())
    output.note(f"{found}; look at them with --sheet check.png")


def _lines(path: Path, document: Inspection) -> Iterator[tuple[str, str]]:
    yield "data", str(path)
    yield "form", document.form
    for words in document.assumed:
        yield "taken for", words
    yield "images", f"{document.images}, {document.readable} readable"
    sizes = [f"{size} ({count})" for size, count in document.sizes.items()]
    yield "sizes", ", ".join(sizes[:4]) + (f" and {len(sizes) - 4} more" if len(sizes) > 4 else "")
    yield "bits", ", ".join(f"{depth} ({count})" for depth, count in document.bits.items())


def _named(finding: Finding, checked: Checked) -> str:
    """Return the names of the first images concerned, for the terminal alone: a document has numbers."""
    listing = checked.subject.listing
    numbers = finding.images or tuple(number for group in finding.groups for number in group)
    names = [listing.names[number - listing.first_number] for number in numbers[:_NAMED]]
    return f": {', '.join(names)}{', ...' if len(numbers) > _NAMED else ''}" if names else ""


def _or_dash(count: int | None) -> str:
    return "-" if count is None else str(count)
