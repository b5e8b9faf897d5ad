"""``edgemed screen``: judge images with one bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edgemed.cli import arguments
from edgemed.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from edgemed.runtime.screener import Screener
    from edgemed.runtime.worklist import Outcome

__all__ = ["screen"]

_MANY = 32
_MOST_WORKERS = 4


def screen(
    inputs: list[Path] = typer.Argument(
        ..., parser=arguments.path, metavar="INPUT...", help="Images, DICOM files, clips, or folders."
    ),
    *,
    bundle: str | None = arguments.BUNDLE,
    trusted: list[Path] = arguments.TRUSTED,
    store: Path | None = arguments.STORE,
    overlay: Path | None = arguments.OVERLAY,
    heatmaps: Path | None = typer.Option(
        None, parser=arguments.path, metavar="DIR", help="Write the evidence of each frame here, as PNG."
    ),
    target: str | None = arguments.TARGET,
    backend: str | None = arguments.BACKEND,
    threads: int | None = arguments.THREADS,
    record: bool | None = arguments.RECORD,
    workers: int | None = typer.Option(
        None,
        min=1,
        max=arguments.MOST_THREADS,
        help="Inputs that are read and screened side by side. Default: one for each core where there are many inputs.",
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
    fail_on_alert: bool = typer.Option(False, "--fail-on-alert", help="Exit 10 when any frame is an alert."),
) -> None:
    """Give each frame an abnormality score and a decision. Research use only, not a diagnosis.

    One unreadable input stops nothing: it is refused, and the exit code is 8 at the end. What was found is shown even
    where a picture cannot be written (2) or the work is interrupted (130). Records never stop anything either.
    """
    from contextlib import closing

    from edgemed.cli import opening, output, recordings, screenings
    from edgemed.runtime import worklist

    screener = opening.open_screener(
        bundle, trusted, overlay, store=store, target=target, backend=backend, threads=threads
    )
    recording = recordings.opened(record, store=opening.store_of(bundle, store), screener=screener, what="screen")
    if heatmaps is not None:
        screenings.require_folder(heatmaps, option="--heatmaps")
    opening.note_limits(screener)
    known = screenings.about_selection(screener)
    results: list[dict[str, Any]] = []
    try:
        expanded = worklist.expand(inputs)
        with (
            closing(_shown(expanded)) as paths,
            closing(_outcomes(screener, paths, workers or _workers(screener, len(expanded)))) as outcomes,
        ):
            _judge(screener, recordings.outcomes(outcomes, recording), heatmaps, results)
    except ConfigError as error:
        # A picture that could not be written must not hide an alert.
        if screenings.exit_code(results, fail_on_alert=fail_on_alert) != screenings.ALERT:
            raise
        output.note(f"edgemed: {error}")
    finally:
        for sentence in screenings.about_selection(screener):
            if sentence not in known:  # an accelerator was lost meanwhile
                output.note(sentence)
        _render(screener, results, json=json)
        code = recordings.closed(recording, screenings.exit_code(results, fail_on_alert=fail_on_alert), asked=record)
    raise typer.Exit(code)


def _workers(screener: Screener, inputs: int) -> int:
    """Return how many inputs are worked on at once: threads cost more than they save where there are few."""
    import os

    if inputs < _MANY:
        return 1
    return max(1, min(_MOST_WORKERS, len(os.sched_getaffinity(0)) // screener.classifier.interpreter.threads))


def _outcomes(screener: Screener, paths: Iterable[Path], workers: int) -> Generator[Outcome]:
    from edgemed.runtime import worklist

    if workers == 1:
        yield from worklist.screen(screener, paths)
        return
    import cv2

    cv2.setNumThreads(1)  # the workers have the cores
    yield from screener.screen_many(paths, workers=workers)


def _judge(screener: Screener, outcomes: Iterable[Outcome], folder: Path | None, results: list[dict[str, Any]]) -> None:
    """Add the entry of each frame to ``results``, as soon as it is decided.

    Raises:
        ConfigError: a picture could not be written; it is raised at the end, and no picture follows it.
    """
    from edgemed.cli import screenings

    failure: ConfigError | None = None
    for outcome in outcomes:
        entry = screenings.result(outcome.screening, None)
        results.append(entry)
        if failure is None:
            try:
                entry["heatmap"] = screenings.write_heatmap(folder, outcome, screener, option="--heatmaps")
            except ConfigError as error:
                failure = error
    if failure is not None:
        raise failure


def _shown(paths: list[Path]) -> Generator[Path]:
    """Yield the paths, with a progress bar on a terminal when there is more than one."""
    import sys

    if len(paths) < 2 or not sys.stderr.isatty():
        yield from paths
        return
    from edgemed.cli import progress

    with progress.bars() as bars:
        bars.start("screen", len(paths))
        for path in paths:
            yield path
            bars.advance()


def _render(screener: Screener, results: list[dict[str, Any]], *, json: bool) -> None:
    from edgemed.cli import output, screenings

    if json:
        output.print_json(screenings.document(screener, results))
        return
    manifest = screener.bundle.manifest
    title = f"{manifest.name} {manifest.version}"
    if screener.bundle.overlay is not None:
        title += f", decision version {screener.rule.version} by overlay"
    if len(results) == 1:
        output.fields([("bundle", title), *screenings.lines(results[0])])
    elif results:
        rows = [screenings.row(entry) for entry in results]
        output.table(screenings.COLUMNS, rows, title=title, narrow=screenings.narrow(rows))
    counts = ", ".join(f"{count} {name}" for name, count in screenings.summary(results).items() if count)
    output.note(f"{counts or 'nothing screened'}. Research use only, not a diagnosis.")
