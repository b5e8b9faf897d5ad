"""``edgemed demo``: the whole device side in one command, with the bundles and the sample images of the package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edgemed.cli import arguments

if TYPE_CHECKING:
    from edgemed.benchmark.document import Result
    from edgemed.cli.demonstration import Turn
    from edgemed.device.health import Health
    from edgemed.device.store import Store
    from edgemed.measure import Distribution

__all__ = ["demo"]

_COLUMNS = ("input", "modality", "true label", "score", "decision")
_STAGES = ("decode ms", "preprocess ms", "infer ms", "decide ms", "total ms")
_NARROW = ("input", "score", "decision", "total ms")
_FOLDER = "edgemed-demo"
_SAID = (
    "Research software: a score of abnormality, never a diagnosis.",
    "The demo bundles are signed with the package's own demo key; trust it for nothing else.",
)
NEXT = (
    "edgemed screen FOLDER --bundle chest-xray --heatmaps heatmaps --json",
    "edgemed bundle info chest-xray --card",
    "edgemed benchmark chest-xray",
    "edgemed benchmark chest-xray --predict coral-usb",
    "edgemed device init --store STORE",
    "edgemed devices list",
    "edgemed doctor",
)
"""What to try next, a command each."""


def demo(
    out: Path | None = typer.Option(
        None,
        parser=arguments.path,
        metavar="DIR",
        help=f"Folder for the overlays. Default: a new one, {_FOLDER}, in the current folder.",
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Install both shipped bundles into a temporary store, screen the samples, draw the evidence, take the time.

    Nothing stays but the overlays.
    """
    from edgemed.cli import demonstration, output, progress

    bundles = demonstration.by_bundle()
    with (
        demonstration.kept_when_done(_new_folder() if out is None else out) as folder,
        demonstration.store() as store,
        progress.bars() as bars,
    ):
        bars.start("installing, checking, screening, measuring", len(bundles))
        turns = []
        for name, samples in bundles:
            turns.append(demonstration.turn(store, name, samples, folder))
            bars.advance()
        document = _document(store, turns, folder) if json else None  # while there still is a store to ask
    if document is not None:
        output.print_json(document)
    else:
        _render(store, turns, folder)


def _document(store: Store, turns: Sequence[Turn], folder: Path) -> dict[str, Any]:
    from edgemed.cli import screenings
    from edgemed.device import answers

    judged = [screenings.about(turn.screener) for turn in turns]
    results = [entry for turn in turns for entry in turn.results]
    return {
        "bundles": [entry["bundle"] for entry in judged],
        "runtime": judged[0]["runtime"] if judged else None,
        "store": {"target": store.target, "installs": [answers.installed(store, turn.installed) for turn in turns]},
        "folder": folder,
        "results": results,
        "benchmark": [_measurement(turn.measured) for turn in turns],
        "summary": screenings.summary(results),
        "next": NEXT,
    }


def _render(store: Store, turns: Sequence[Turn], folder: Path) -> None:
    from edgemed.cli import output

    output.fields([("store", f"a temporary one, for {store.target}; it is gone again"), *_installs(turns)])
    rows = [_row(entry) for turn in turns for entry in turn.results]
    narrow = [(name, score, decision, stages[-1]) for name, _, _, score, decision, *stages in rows]
    output.table((*_COLUMNS, *_STAGES), rows, narrow=(_NARROW, narrow))
    if turns:
        _render_times(turns)
    typer.echo("\n".join((f"Overlays: {folder}", *_SAID, "", "Try next:", *(f"  {command}" for command in NEXT))))


def _measurement(found: Result) -> dict[str, Any]:
    """Return what a measurement says, without its samples."""
    import msgspec

    wanted = ("bundle", "scenario", "stages", "noise", "use", "budget")
    tree = msgspec.to_builtins(found)
    return {key: tree[key] for key in wanted}


def _render_times(turns: Sequence[Turn]) -> None:
    """Draw the median and the worst of each stage of each bundle beside what the budget allows."""
    from edgemed.cli import output

    measured = [turn.measured for turn in turns]
    limits = {row.stage: row.limit for row in measured[0].budget}
    rows = [
        (stage, *(_times(one.stages[stage]) for one in measured), f"{limits[stage]:g}" if stage in limits else "-")
        for stage in measured[0].stages
    ]
    names = [one.bundle.name for one in measured]
    count, target, use = measured[0].stages["total"].n, measured[0].runtime.target, measured[0].use
    output.table(("stage", *names, "budget, p99"), rows, title=f"{count} frames each: median and worst, in ms")
    over = sorted({row.stage for one in measured for row in one.budget if row.over})
    said = f"above it in places: {', '.join(over)}" if over else "no frame above it"
    typer.echo(f"Budget {use} of {target}: {said}")


def _times(found: Distribution) -> str:
    return "-" if found.p50 is None or found.max is None else f"{found.p50:.2f}, {found.max:.2f}"


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    from edgemed.cli import screenings

    score = "-" if entry["score"] is None else f"{entry['score']:.3f}"
    known = (entry["input"], entry["modality"], entry["label"], score, entry["decision"])
    return (*known, *screenings.latency_cells(entry))


def _installs(turns: Sequence[Turn]) -> list[tuple[str, str]]:
    lines = []
    for turn in turns:
        done = turn.installed
        lines.append((done.result.value, f"{done.active} in slot {done.active.slot}"))
        if done.previous is not None:
            lines.append(("", f"{done.previous} stays in slot {done.previous.slot}, to go back to"))
        if done.health is not None:
            lines += [("", line) for line in _health(done.health)]
    return lines


def _health(health: Health) -> list[str]:
    """Return what the health check found, in lines."""
    golden = f"{health.vectors} golden vectors answered, at most {health.logit_lsb} LSB away"
    allowed = "no tolerance stated" if health.allowed_logit_lsb is None else f"{health.allowed_logit_lsb} allowed"
    slow = ", ".join(one.stage for one in health.stages if any(said.startswith(one.stage) for said in health.slow))
    over = [f"over the budget of {health.budget} on this machine: {slow}"] if slow else []
    return [f"{golden} ({allowed})", *over]


def _new_folder() -> Path:
    """Return a folder that is not there yet, in the current folder or, where that is closed, a temporary one."""
    import os
    import secrets
    import tempfile

    if not os.access(Path.cwd(), os.W_OK):
        # Not made yet: whoever makes it removes it when the demo is interrupted.
        return Path(tempfile.gettempdir()) / f"{_FOLDER}-{secrets.token_hex(4)}"
    folder, number = Path(_FOLDER), 1
    while folder.exists():
        number += 1
        folder = Path(f"{_FOLDER}-{number}")
    return folder
