"""``edgemed watch``: judge a stream while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgemed.cli import arguments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgemed.cli.watching import Observer
    from edgemed.records.recording import Recording
    from edgemed.runtime.screener import Screener
    from edgemed.runtime.sources.arrival import Source
    from edgemed.runtime.stream import Gate, Policy

__all__ = ["watch"]

_DAMAGED = 8


def watch(
    source: str = typer.Argument(
        ...,
        metavar="SOURCE",
        help="Clip, multi-frame DICOM, folder, /dev/videoN, address, or - for raw frames on stdin.",
    ),
    *,
    bundle: str | None = arguments.BUNDLE,
    trusted: list[Path] = arguments.TRUSTED,
    store: Path | None = arguments.STORE,
    overlay: Path | None = arguments.OVERLAY,
    target: str | None = arguments.TARGET,
    backend: str | None = arguments.BACKEND,
    threads: int | None = arguments.THREADS,
    raw: str | None = typer.Option(
        None, metavar="WIDTHxHEIGHT[:DEPTH]", help="Raw frames on stdin; DEPTH is gray8 (default) or gray16."
    ),
    fps: float | None = typer.Option(
        None, min=0.001, max=1000.0, help="Frames a second, where the recording says another rate or none."
    ),
    paced: bool = typer.Option(False, "--paced", help="Play a recording in its own time, as if it were live."),
    stall_ms: float = typer.Option(1000.0, min=1.0, help="An inference that takes longer is told as 'stalled'."),
    stop_on_stall: bool = typer.Option(False, "--stop-on-stall", help="End then, with exit code 8."),
    give_up: float | None = typer.Option(
        None, min=0.0, metavar="SECONDS", help="End when the source stays away so long. Default: try for ever."
    ),
    video: Path | None = typer.Option(
        None,
        parser=arguments.path,
        metavar="FILE",
        help="Write an annotated recording: .mp4, or .avi if power may fail.",
    ),
    sink: list[str] = typer.Option(
        [],
        "--sink",
        metavar="SINK",
        help="Tell changes, alerts first, to stdout, file:PATH, command:PROGRAM, https://HOST/PATH or gpio:CHIP:LINE; "
        "may be repeated. With frames, as in file,frames:PATH, every frame too.",
    ),
    record: bool | None = arguments.RECORD,
    json: bool = typer.Option(False, "--json", help="Print JSON Lines: one a frame, one a change of state."),
) -> None:
    """Judge a stream frame by frame and over time. Research use only, not a diagnosis.

    Ends with the recording, at Ctrl-C or at SIGTERM, with exit code 0 and a summary; 8 where the recording is damaged.
    SIGUSR1 acknowledges the alert that stands. A live source that vanishes is opened again. Sinks and records never
    delay a frame, and never end the stream: what goes wrong with them is told on stderr, once.
    """
    from contextlib import nullcontext

    from edgemed.cli import alerts, filming, opening, recordings
    from edgemed.runtime import sources
    from edgemed.runtime.stream import Backoff, OnStall, Policy

    found = sources.parse(source, raw=raw, fps=fps, paced=paced)
    specs = alerts.parsed(sink)
    policy = Policy(
        stall_ms=stall_ms,
        on_stall=OnStall.STOP if stop_on_stall else OnStall.GO_ON,
        backoff=Backoff(give_up_s=give_up),
    )
    screener = opening.open_screener(
        bundle, trusted, overlay, store=store, target=target, backend=backend, threads=threads
    )
    opening.note_limits(screener)
    home = opening.store_of(bundle, store)
    with filming.opened(video, found, screener, fps=fps) as filmed:
        recording = recordings.opened(record, store=home, screener=screener, what="watch")
        with alerts.opened(specs, store=home) as sent, recording or nullcontext():
            code = _watched(found, screener, policy, [sent, *filmed], as_json=json, recording=recording)
        code = recordings.closed(recording, code, asked=record)
    raise typer.Exit(code)


def _watched(
    source: Source,
    screener: Screener,
    policy: Policy,
    others: Sequence[Observer],
    *,
    as_json: bool,
    recording: Recording | None,
) -> int:
    """Show a stream until it ends, and return the exit code."""
    from edgemed.cli import recordings, watching
    from edgemed.runtime.stream import Stream

    with Stream(source, screener, policy=policy, gate=_gate(screener)) as stream, watching.signals(stream):
        observers = [watching.shown(stream, as_json=as_json), *others]
        for item in recordings.items(stream, recording):
            for observer in observers:
                observer.see(item)
    damaged = stream.statistics.unreadable and not (source.live or source.returns)
    return _DAMAGED if damaged else 0


def _gate(screener: Screener) -> Gate | None:
    """Return what refuses frames for those before them, where the bundle says so."""
    from edgemed.imaging.frozen import Frozen

    allowed = screener.rule.quality.max_frozen_frames
    return None if allowed is None else Frozen(max_frames=allowed).reasons
