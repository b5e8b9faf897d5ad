"""``edgemed compat``: which operators of a model a device will run, and where, before anything is flashed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgemed.cli.arguments import path

if TYPE_CHECKING:
    from converters.compat import Report

__all__ = ["compat"]

# Flatbuffer offsets reach 2 GiB; no device of ours runs a model of a quarter of it.
LIMIT_BYTES = 512 << 20


def compat(
    model: Path = typer.Argument(..., metavar="MODEL", parser=path, help="TFLite file; for TensorRT an ONNX file."),
    *,
    target: str = typer.Option(..., help="Device to check for; see 'edgemed devices list'."),
    require_full: bool = typer.Option(
        False, "--require-full", help="Exit 4 unless every operator is mapped for certain."
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON document, a verdict per operator."),
) -> None:
    """Say for each operator of a model whether the device's accelerator runs it, why not, and what to use instead.

    It reads the file only: no compiler of the vendor's, no TensorFlow and no device is needed.
    """
    from converters import compat as checks
    from edgemed import files, targets
    from edgemed.cli import output
    from edgemed.errors import ConfigError, TargetMismatchError

    device = targets.load(target)
    raw = files.read_bounded(model, limit_bytes=LIMIT_BYTES, error=ConfigError)
    report = checks.check(raw, source=model.name, target=device)
    if json:
        output.print_json(checks.document(report))
    else:
        output.table(("operators", "name", "verdict", "reason", "use instead"), _rows(report))
        output.fields(_lines(report))
    for note in report.notes:
        output.note(note)
    if require_full and not report.fully_mapped:
        raise TargetMismatchError(
            f"{model.name}: not every operator is mapped on {device.id}; --require-full asks for it"
        )


def _rows(report: Report) -> Iterator[tuple[str, str, str, str, str]]:
    from converters import compat as checks

    for group in checks.grouped(report):
        indices = checks.ranges(group.indices)
        yield indices, group.op, group.verdict.value, group.reason, group.remedy or "-"


def _lines(report: Report) -> list[tuple[str, str]]:
    counts = {name: sum(one.verdict.value == name for one in report.operators) for name in ("mapped", "cpu", "maybe")}
    on_chip, off_chip = report.parameters.on_chip_bytes, report.parameters.off_chip_bytes
    return [
        ("model", report.model),
        ("target", report.target),
        ("quantized", "yes" if report.quantized else "no"),
        ("operators", ", ".join(f"{count} {name}" for name, count in counts.items())),
        ("segments", str(report.segments)),
        ("parameters", f"{_bytes(on_chip)} on chip, {_bytes(off_chip)} off chip"),
        ("fully mapped", "yes" if report.fully_mapped else "no"),
    ]


def _bytes(count: int | None) -> str:
    return "unknown" if count is None else f"{count} bytes"
