"""The whole device side once, in a store that is gone afterwards: install, health check, start, screening, times.

For each bundle that ships: it is installed into a fresh store, beside the one before, with the health check that any
unit would run; then the active bundle is started from the store, verified again, and screens the samples it is for;
last it is measured on them, as `edgemed benchmark` does, only not as long.

    with demonstration.store() as fresh:
        turns = [demonstration.turn(fresh, name, samples, folder) for name, samples in demonstration.by_bundle()]
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgemed.benchmark.document import Result
    from edgemed.device.install import Installed
    from edgemed.device.store import Store
    from edgemed.runtime.screener import Screener
    from edgemed.shipped import Sample

__all__ = ["Turn", "by_bundle", "kept_when_done", "store", "turn"]


_FRAMES, _WARM_UP = 60, 5  # a second or two; what a p99 asks for takes a benchmark of its own


@dataclass(frozen=True, kw_only=True, eq=False)
class Turn:
    """One bundle's turn: how it was installed, who screened, the entry of each frame, and how long frames take."""

    installed: Installed
    screener: Screener
    results: list[dict[str, Any]]
    measured: Result


@contextmanager
def store() -> Iterator[Store]:
    """Give a fresh store of this machine in a temporary folder, trusting the demo key; it is removed at the end.

    Raises:
        DeviceError: there is no room for it, or no place to write.
    """
    import tempfile

    from edgemed.device import provision
    from edgemed.errors import DeviceError

    try:
        # Whatever the umask: the store holds keys of its own.
        made = tempfile.TemporaryDirectory(prefix="edgemed-demo-")
    except OSError as err:
        raise DeviceError(
            f"no temporary folder can be made: {err.strerror or err}; set TMPDIR to one that can be written"
        ) from err
    with made as folder:
        yield provision.init(Path(folder) / "store").store


def by_bundle() -> list[tuple[str, list[tuple[int, Sample]]]]:
    """Return the shipped bundles that have samples, each with its samples and their numbers from 1, in their order."""
    from edgemed import shipped

    found: dict[str, list[tuple[int, Sample]]] = {}
    for number, sample in enumerate(shipped.samples(), start=1):
        found.setdefault(sample.bundle, []).append((number, sample))
    return list(found.items())


def turn(fresh: Store, name: str, samples: Sequence[tuple[int, Sample]], folder: Path) -> Turn:
    """Install a shipped bundle, start it and screen its samples, with an overlay of each in ``folder``.

    Raises:
        InstallError: the bundle answers wrong on this machine.
        EdgemedError: whatever else an install or a start may end with.
        ConfigError: an overlay cannot be written.
        KeyboardInterrupt: somebody ended it.
    """
    from edgemed import shipped
    from edgemed.device import install, screening

    installed = install.install(fresh, shipped.bundle_path(name))
    start = time.perf_counter()
    screener = screening.open_screener(fresh.path).screener
    open_ms = 1e3 * (time.perf_counter() - start)
    results = list(_results(screener, samples, folder))
    return Turn(installed=installed, screener=screener, results=results, measured=_measured(screener, open_ms))


def _measured(screener: Screener, open_ms: float) -> Result:
    """Return how long frames take, one after the other.

    Raises:
        KeyboardInterrupt: somebody ended it; half a demo is none.
    """
    from edgemed.benchmark.measurement import Work, measure
    from edgemed.benchmark.scenario import Plan, Scenario
    from edgemed.benchmark.subject import Opening, Subject, images

    found = measure(
        Work(
            subject=Subject(screener=screener, open_ms=open_ms),
            images=images(screener, None),
            plan=Plan(scenario=Scenario.SINGLE, samples=_FRAMES, warm_up=_WARM_UP),
            opening=Opening(bundle=screener.bundle.manifest.name),
        )
    )
    if found.interrupted:
        raise KeyboardInterrupt
    return found


def _results(screener: Screener, samples: Sequence[tuple[int, Sample]], folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the entry of each sample, with what the data set says about it."""
    from edgemed.cli import screenings
    from edgemed.runtime import worklist

    for number, sample in samples:
        for outcome in worklist.screen(screener, [sample.path]):
            numbered = replace(outcome, number=number)
            heatmap = screenings.write_heatmap(folder, numbered, screener, option="--out")
            entry = screenings.result(replace(outcome.screening, source=sample.file), heatmap)
            described = {"bundle": sample.bundle, "modality": sample.modality, "label": sample.label}
            yield {**entry, **described, "attribution": sample.attribution}


@contextmanager
def kept_when_done(folder: Path) -> Iterator[Path]:
    """Make a folder for overlays that stays when the work ends well; else what was not there before is removed.

    Raises:
        ConfigError: it cannot be made or written.
    """
    import shutil

    from edgemed.cli import screenings

    first = _first_missing(folder)
    before = None if first is not None else set(folder.iterdir() if folder.is_dir() else ())
    try:
        screenings.require_folder(folder, option="--out")
        yield folder
    except BaseException:  # Ctrl-C too
        if first is not None:
            shutil.rmtree(first, ignore_errors=True)
        elif before is not None and folder.is_dir():
            for path in set(folder.iterdir()) - before:
                path.unlink(missing_ok=True)
        raise


def _first_missing(folder: Path) -> Path | None:
    """Return the topmost folder on the way that is not there yet; None where the folder is."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    return missing[-1] if missing else None
