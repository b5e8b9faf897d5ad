"""``edgemed benchmark``: how long a bundle takes, here or on a device, and whether its budget allows that."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgemed.cli import arguments

if TYPE_CHECKING:
    from edgemed.benchmark.document import Result
    from edgemed.benchmark.scenario import Plan
    from edgemed.benchmark.subject import Opening

__all__ = ["benchmark"]


def benchmark(
    bundle: str | None = typer.Argument(
        None, metavar="[FILE|NAME]", help="Bundle, or the name of a shipped one. Default: the store's active bundle."
    ),
    *,
    device: str | None = arguments.TARGET,
    scenario: str = typer.Option("single", help="single, stream, cold, sustained or throughput."),
    images: Path | None = typer.Option(
        None,
        "--input",
        parser=arguments.path,
        metavar="PATH",
        help="File or folder to screen. Default: the samples of the package.",
    ),
    samples: int | None = typer.Option(
        None, min=1, help="Frames that count. Default: 1000; 20 for cold. A p99 needs 1000."
    ),
    minutes: float = typer.Option(3.0, min=0.02, max=1440.0, help="With sustained: how long."),
    rate: float = typer.Option(30.0, min=0.1, max=10000.0, metavar="HZ", help="With stream: frames a second."),
    store: Path | None = typer.Option(
        None, parser=arguments.path, metavar="DIR", help="Device store whose active bundle is measured."
    ),
    trusted: list[Path] = typer.Option(
        [], "--trust", metavar="KEY|ROOT", help="Public key that must have signed, may be repeated; or one trust root."
    ),
    backend: str | None = typer.Option(None, help="litert, tflite-runtime or onnxruntime."),
    threads: int | None = typer.Option(
        None, min=1, max=arguments.MOST_THREADS, help="Threads for the inference. Default: those of the device."
    ),
    fallback: bool = typer.Option(
        False, "--fallback", help="Measure the CPU where the device's accelerator does not compute here."
    ),
    save: Path | None = typer.Option(None, parser=arguments.path, metavar="FILE", help="Write the document here too."),
    compare: Path | None = typer.Option(
        None, parser=arguments.path, metavar="FILE", help="Saved measurement to hold this one against."
    ),
    force: bool = typer.Option(False, "--force", help="With --compare: also where the machines differ."),
    plot: Path | None = typer.Option(
        None, parser=arguments.path, metavar="FILE", help="Draw histogram and time series: .png or .svg."
    ),
    report: Path | None = typer.Option(
        None, parser=arguments.path, metavar="FILE", help="Write a page for a reader without tools, .html."
    ),
    predict: str | None = typer.Option(
        None, metavar="ID", help="Predict a device that is not at hand, from published figures; takes a .tflite too."
    ),
    to: str | None = typer.Option(
        None, metavar="ADDRESS", help="Run on a device: ssh://[USER@]HOST[:PORT][/STORE]; needs --device."
    ),
    inventory: Path | None = typer.Option(
        None, parser=arguments.path, metavar="FILE", help="Run on every device of a YAML list, one table at the end."
    ),
    known_hosts: Path | None = typer.Option(
        None, help="With --to: file of host keys; default: yours and the system's."
    ),
    identity: Path | None = typer.Option(None, help="With --to: private SSH key; default: agent and ~/.ssh."),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Measure the path from file to decision, stage by stage, and hold it against the device's budget.

    Exit 3: a budget was broken, or --compare found a regression. Exit 9: that could not be judged, because the machine
    was too noisy or there were too few samples. Ctrl-C keeps what was measured, marked as interrupted (130).
    """
    from edgemed.benchmark import scenario as scenarios
    from edgemed.benchmark.subject import Opening
    from edgemed.cli import timings

    if predict is not None:
        from edgemed.cli import prediction

        useless = {"--device": device, "--compare": compare, "--plot": plot, "--report": report, "--to": to}
        prediction.require_alone({**useless, "--inventory": inventory, "--input": images})
        prediction.show(bundle, predict, trusted=trusted, json=json, save=save)
        return
    plan = scenarios.Plan.of(scenarios.parse(scenario), samples=samples, minutes=minutes, rate_hz=rate)
    outputs = timings.Outputs(save=save, compare=compare, force=force, plot=plot, report=report, json=json)
    outputs.require_possible()
    opening = Opening(
        bundle=bundle,
        store=None if store is None else str(store),
        trust=tuple(map(str, trusted)),
        target=device,
        backend=backend,
        threads=threads,
        fallback=fallback,
    )
    if to is not None or inventory is not None:
        from edgemed.cli import distant

        ssh = distant.Ssh(known_hosts=known_hosts, identity=identity)
        code = distant.run(opening, plan, images, to=to, inventory=inventory, ssh=ssh, outputs=outputs)
        raise typer.Exit(code)
    raise typer.Exit(outputs.deliver(_measured(opening, plan, images)))


def _measured(opening: Opening, plan: Plan, images: Path | None) -> Result:
    """Measure on this machine, with a progress bar."""
    from edgemed.benchmark import measurement, subject
    from edgemed.benchmark.measurement import Work
    from edgemed.cli import progress, recordings

    opened = subject.open_subject(opening)
    chosen = subject.images(opened.screener, images)
    with progress.bars() as bars, recordings.trial(opened.screener) as record:
        work = Work(subject=opened, images=chosen, plan=plan, opening=opening, record=record, progress=bars)
        result = measurement.measure(work)
    if opening.bundle is None:
        _keep(result, opening)
    return result


def _keep(result: Result, opening: Opening) -> None:
    """Write the measurement of a store's bundle into its records, the last of each scenario; told where it cannot."""
    from edgemed import files
    from edgemed.benchmark import document
    from edgemed.cli import output
    from edgemed.device import places
    from edgemed.records.places import RECORDS

    folder = (places.found() if opening.store is None else Path(opening.store)) / RECORDS
    path = folder / f"benchmark-{result.scenario.name}.json"
    try:
        files.write_atomic(path, document.encode(result) + b"\n")
    except OSError as err:
        output.note(f"{path}: cannot be written: {err.strerror or err}; the measurement is not among the records")
