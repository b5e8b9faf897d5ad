"""``edgemed devices``: the target devices that ship with edgemed, and what is known of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from edgemed.cli import output

__all__ = ["app"]

app = typer.Typer(help="List the target devices and show one.", no_args_is_help=True)


@app.command("list")
def list_devices(json: bool = typer.Option(False, "--json", help="Print one JSON document.")) -> None:
    """List every device, with its architectures and accelerator."""
    from edgemed import schema, targets

    found = [targets.load(target_id) for target_id in targets.available()]
    if json:
        output.print_json({"devices": [schema.to_builtins(target) for target in found]})
        return
    rows = ((one.id, ", ".join(one.arch), one.accelerator.value, one.summary) for one in found)
    output.table(("device", "architecture", "accelerator", "summary"), rows)


@app.command()
def show(
    device: str = typer.Argument(..., metavar="ID", help="Device id, as `devices list` shows it."),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Show one device: memory, store, transport and the latency budget of each use."""
    from edgemed import schema, targets

    tree = schema.to_builtins(targets.load(device))
    if json:
        output.print_json({"device": tree})
    else:
        output.fields(_lines(tree))


def _lines(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted names and values, in the order of the file."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _lines(value, f"{prefix}{key}.")
        elif isinstance(value, (list, tuple)):
            yield prefix + key, ", ".join(map(str, value))
        else:
            yield prefix + key, "-" if value is None else str(value)
