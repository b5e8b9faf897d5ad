"""What judges: the bundle that the command line names, or the active one of a store.

screener = opening.open_screener("chest-xray", [], None, store=None, target=None, backend=None, threads=None)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgemed.cli import output
from edgemed.errors import ConfigError

if TYPE_CHECKING:
    from edgemed.runtime.screener import Screener

__all__ = ["note_limits", "open_screener", "store_of"]


def open_screener(
    bundle: str | None,
    trusted: list[Path],
    overlay: Path | None,
    *,
    store: Path | None,
    target: str | None,
    backend: str | None,
    threads: int | None,
) -> Screener:
    """Return a screener for a bundle, or without one for the active bundle of a store.

    Args:
        bundle: a file, or the name of one that ships.
        trusted: files of public keys or of one trust root; none for the user's own keys.
        overlay: file of a decision overlay.
        store: a device store; None for this device's.
        target: id of what this machine is.
        backend: a name of `edgemed.runtime.backends.BACKENDS`.
        threads: for the inference; None for the target's.

    Raises:
        ConfigError: options that contradict each other, or neither a bundle nor a store.
        EdgemedError: as `edgemed.runtime.screener.Screener.open`, or `edgemed.device.screening.open_screener`.
    """
    if bundle is None:
        return _from_store(store, [trusted, overlay, target], backend=backend, threads=threads)
    if store is not None:
        raise ConfigError("--store: is of no use with --bundle; give one of the two")
    return _opened(bundle, trusted, overlay, target=target, backend=backend, threads=threads)


def store_of(bundle: str | None, store: Path | None) -> Path | None:
    """Return the store whose active bundle `open_screener` takes; None where the bundle itself is named."""
    if bundle is not None:
        return None
    from edgemed.device import places

    return store or places.found()


def note_limits(screener: Screener) -> None:
    """Write what the bundle cannot do, and what to know of the model that runs."""
    from edgemed.cli import screenings

    for sentence in screener.absent:
        output.note(f"{screener.bundle.manifest.name}: {sentence}")
    for sentence in screenings.about_selection(screener):
        output.note(sentence)


def _from_store(store: Path | None, others: list[object], *, backend: str | None, threads: int | None) -> Screener:
    """Return a screener for the active bundle of a store: that of the command line, or this device's."""
    from edgemed.cli import output
    from edgemed.device import places, screening

    path = store or places.found()
    if store is None and not places.has_store(path):
        from edgemed import shipped

        raise ConfigError(
            "--bundle: expected a bundle, got none, and this device has no store with an active one; give a bundle "
            f"file, or the name of one that ships with edgemed: {', '.join(shipped.names()) or 'none'}"
        )
    for name, given in zip(("--trust", "--overlay", "--target"), others, strict=True):
        if given:
            raise ConfigError(f"{name}: is of no use with a store, which has its own; leave it away, or give --bundle")
    opened = screening.open_screener(path, backend=backend, threads=threads)
    for sentence in opened.warnings:
        output.note(f"edgemed: {sentence}")
    return opened.screener


def _opened(
    bundle: str,
    named: list[Path],
    overlay: Path | None,
    *,
    target: str | None,
    backend: str | None,
    threads: int | None,
) -> Screener:
    """Return a screener for the bundle named on the command line."""
    from edgemed.runtime.screener import Screener

    root = None
    if named:
        from edgemed.bundle import trusted

        root = trusted.from_files(named)
    return Screener.open(bundle, trust=root, overlay=overlay, target=target, backend=backend, threads=threads)
