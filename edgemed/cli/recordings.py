"""Records of a command: whether they are written, and what goes into them.

The rule, for ``screen`` and ``watch`` alike: with the active bundle of a device store, results are written into that
store, unless it has no records folder or ``--no-record`` is given. ``--record`` asks for it: then a run whose records
are incomplete ends with exit code 6 instead of 0. Nothing that goes wrong with records ends a run early.

    recording = recordings.opened(record, store=store, screener=screener, what="screen")
    for outcome in recordings.outcomes(worklist.screen(screener, paths), recording):
        ...
    code = recordings.closed(recording, code, asked=record)
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed.cli import output, screenings
from edgemed.errors import ConfigError, DeviceError

if TYPE_CHECKING:
    from edgemed.imaging.frame import Frame
    from edgemed.records.pseudonym import Subject
    from edgemed.records.recording import Recording
    from edgemed.records.results import Run
    from edgemed.runtime.screener import Screener
    from edgemed.runtime.screening import Screening
    from edgemed.runtime.track import Item
    from edgemed.runtime.worklist import Outcome

__all__ = ["closed", "items", "opened", "outcomes", "trial"]


def opened(asked: bool | None, *, store: Path | None, screener: Screener, what: str) -> Recording | None:
    """Return where a run writes its records; None where it writes none.

    Args:
        asked: ``--record``, ``--no-record``, or None for neither.
        store: whose active bundle judges; None where that was named itself.
        screener: that judges.
        what: the command.

    Raises:
        ConfigError: records are asked for where there is no store.
    """
    if asked and store is None:
        raise ConfigError("--record: records lie in a device store, got --bundle; give --store, or leave --record away")
    if store is None:
        return None
    from edgemed.records import recording

    if not (recording.is_wanted(store) if asked is None else asked):
        return None
    return recording.Recording(store, run=_run(screener, what), tell=lambda said: output.note(f"edgemed: {said}"))


def outcomes(found: Iterable[Outcome], recording: Recording | None) -> Iterator[Outcome]:
    """Yield outcomes, each handed over to be recorded, with the time that took."""
    for outcome in found:
        if recording is None:
            yield outcome
            continue
        screening = outcome.screening
        took_ms = recording.record(_document(screening), subject=_subject(screening, outcome.frame))
        yield replace(outcome, screening=_with_time(screening, took_ms))


def items(found: Iterable[Item], recording: Recording | None) -> Iterator[Item]:
    """Yield what a stream gives out, each handed over to be recorded, frames with the time that took."""
    from edgemed.cli import watching
    from edgemed.runtime.track import Decided

    for item in found:
        if recording is None:
            yield item
        elif isinstance(item, Decided):
            document = {**watching.document(item), "refusal": _refusal(item.screening)}
            took_ms = recording.record(document, subject=_subject(item.screening, item.frame))
            yield replace(item, screening=_with_time(item.screening, took_ms))
        else:
            recording.record(watching.document(item))
            yield item


def closed(recording: Recording | None, code: int, *, asked: bool | None) -> int:
    """Write what is waiting, and return the exit code: 6 in the place of 0 where records that were asked for lack."""
    if recording is None:
        return code
    recording.close()
    return code or (DeviceError.exit_code if asked and not recording.complete else 0)


@contextmanager
def trial(screener: Screener) -> Iterator[Callable[[Screening], None]]:
    """Give what records results as a run in a device store does, into a store that is gone afterwards."""
    from edgemed import shipped
    from edgemed.bundle import roles
    from edgemed.device import provision
    from edgemed.records.pseudonym import Subject
    from edgemed.records.recording import Recording

    with tempfile.TemporaryDirectory(prefix="edgemed-records-") as folder:
        store = Path(folder, "store")
        provision.init(store, trust=roles.of_keys([shipped.demo_key()]))
        with Recording(store, run=_run(screener, "benchmark"), tell=output.note) as recording:

            def record(found: Screening) -> None:
                recording.record(_document(found), subject=Subject(path=Path(found.source)))

            yield record


def _run(screener: Screener, what: str) -> Run:
    from edgemed import __version__
    from edgemed.records.results import Run

    manifest = screener.bundle.manifest
    return Run(
        what=what,
        edgemed=__version__,
        bundle=manifest.name,
        version=manifest.version,
        digest=screener.bundle.digest,
        decision_version=screener.rule.version,
        backend=screener.classifier.interpreter.backend,
        target=screener.selection.target,
        member=screener.selection.member,
    )


def _document(found: Screening) -> dict[str, object]:
    return {**screenings.result(found, None), "refusal": _refusal(found)}


def _refusal(found: Screening) -> str | None:
    return None if found.refusal is None else found.refusal.value


def _subject(found: Screening, frame: Frame | None) -> Subject:
    from edgemed.records.pseudonym import Subject

    return Subject(instance=None if frame is None else frame.instance, path=Path(found.source))


def _with_time(found: Screening, took_ms: float) -> Screening:
    return replace(found, latency=replace(found.latency, record_ms=took_ms))
