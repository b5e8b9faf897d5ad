"""``edgemed devices``: the target devices that ship with edgemed, and what is known of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from edgemed.cli import output

if TYPE_CHECKING:
    from edgemed.targets import Target

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
    """Show one device: what it runs, memory, store, transport and the latency budget of each use."""
    from edgemed import schema, targets

    target = targets.load(device)
    tree, runs, absent = schema.to_builtins(target), _runs(target), _fallback(target)
    if json:
        output.print_json({"device": tree, "runs": runs, "fallback": absent})
        return
    shown = [("runs" if not place else "else", _described(entry)) for place, entry in enumerate(runs)]
    output.fields([*_lines(tree), *shown, *([("fallback", absent)] if absent else [])])


def _runs(target: Target) -> list[dict[str, Any]]:
    """Return the models of a bundle that the device runs, the preferred one first, with what each needs."""
    from edgemed.bundle import models

    return [
        {
            "member": name,
            "on": models.MODELS[name].accelerator.value.replace("none", "cpu"),
            "precision": models.MODELS[name].precision.value,
            "backends": models.MODELS[name].backends,
        }
        for name in models.admitted(target)
    ]


def _described(entry: dict[str, Any]) -> str:
    return f"{entry['member']}, {entry['precision']} on {entry['on']}, back end {' or '.join(entry['backends'])}"


def _fallback(target: Target) -> str | None:
    """Return what happens where the accelerator cannot be used; None for a device without one."""
    from edgemed.bundle import models
    from edgemed.targets import Fallback

    if models.for_accelerator(target) is None:
        return None
    where = f"where {target.accelerator.value} cannot be used"
    if target.fallback is Fallback.STOP:
        return f"{where}, nothing is judged"
    return f"{where}, the CPU computes, and every result says so with the reason"


def _lines(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted names and values, in the order of the file."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _lines(value, f"{prefix}{key}.")
        elif isinstance(value, (list, tuple)):
            yield prefix + key, ", ".join(map(str, value))
        else:
            yield prefix + key, "-" if value is None else str(value)
