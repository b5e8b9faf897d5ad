"""What is measured: a bundle, opened as ``edgemed screen`` opens it, and the images it is asked about.

A store's active bundle is read without counting a start: measuring uses up no trial of a tentative one.

    subject = open_subject(Opening(bundle="chest-xray"))
    images = inputs(subject.screener, None)
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgemed import files, shipped, targets
from edgemed.bundle import trusted
from edgemed.device import contents, places, switch
from edgemed.device import store as stores
from edgemed.errors import ConfigError, TargetMismatchError
from edgemed.runtime import worklist
from edgemed.runtime.screener import Screener

__all__ = ["Images", "Opening", "Subject", "images", "open_subject"]


class Opening(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the bundle is opened; a process of its own is told the same.

    Attributes:
        bundle: file, or name of one that ships; None for the active one of a store.
        store: folder of a device store; None for this device's.
        trust: files of public keys, or of one trust root; none for the user's own keys.
        target: id of what this machine is; None for a store's, or else for the generic one.
        backend: a name of `edgemed.runtime.backends.BACKENDS`; None for the first that reads the model.
        threads: for the inference, at least 1; None for those of the target.
        fallback: whether the CPU may compute where the target's accelerator does not.
    """

    bundle: str | None = None
    store: str | None = None
    trust: tuple[str, ...] = ()
    target: str | None = None
    backend: str | None = None
    threads: int | None = None
    fallback: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A bundle ready to screen, and how long opening it took, verification and loading together, in ms."""

    screener: Screener
    open_ms: float


@dataclass(frozen=True, kw_only=True)
class Images:
    """The files that are screened in turn.

    Attributes:
        own: they are the samples of the package.
        digest: of their bytes, in order: two measurements compare where it is the same.
    """

    paths: tuple[Path, ...]
    own: bool
    digest: str


def open_subject(opening: Opening, *, clock: Callable[[], float] = time.perf_counter) -> Subject:
    """Return the bundle, verified at this very moment and loaded.

    Raises:
        ConfigError: neither a bundle nor a store, options that contradict each other, or an unknown target.
        TargetMismatchError: the accelerator of the target does not compute here, and the CPU may not in its place.
        EdgemedError: as `Screener.open`.
    """
    start = clock()
    screener = _from_store(opening) if opening.bundle is None else _named(opening, opening.bundle)
    if screener.selection.fallback and not opening.fallback:
        raise TargetMismatchError(
            f"{screener.selection.target}: its accelerator does not compute here: "
            f"{'; '.join(screener.selection.reasons)}; a time of the CPU would not be the device's: measure on the "
            "device, or give --fallback to measure the CPU in its place"
        )
    return Subject(screener=screener, open_ms=1e3 * (clock() - start))


def images(screener: Screener, path: Path | None) -> Images:
    """Return the images to screen: a file, those of a folder, or the package's samples for this bundle.

    Raises:
        ConfigError: no sample of the package is meant for the bundle.
        ImageError: a folder holds no image, or a file cannot be read.
    """
    if path is not None:
        paths = tuple(worklist.expand([path]))
        return Images(paths=paths, own=False, digest=_digest(paths))
    manifest = screener.bundle.manifest
    named = [one for one in shipped.samples() if one.bundle == manifest.name]
    paths = tuple(one.path for one in named or shipped.samples() if one.modality in manifest.modalities)
    if not paths:
        raise ConfigError(
            f"--input: expected images, got none, and no sample of the package has a modality of {manifest.name}, "
            f"{', '.join(manifest.modalities)}; give a file or a folder"
        )
    return Images(paths=paths, own=True, digest=_digest(paths))


def _digest(paths: tuple[Path, ...]) -> str:
    """Return a digest of the files' bytes; one that cannot be read counts as what it is."""
    whole = hashlib.sha256()
    for path in paths:
        try:
            whole.update(files.sha256_file(path).encode())
        except OSError:
            whole.update(b"unreadable")
    return f"sha256:{whole.hexdigest()}"


def _named(opening: Opening, bundle: str) -> Screener:
    if opening.store is not None:
        raise ConfigError("--store: is of no use with a bundle; give one of the two")
    root = trusted.from_files([Path(name) for name in opening.trust]) if opening.trust else None
    threads = _threads(opening, opening.target)
    return Screener.open(bundle, trust=root, target=opening.target, backend=opening.backend, threads=threads)


def _from_store(opening: Opening) -> Screener:
    path = places.found() if opening.store is None else Path(opening.store)
    if opening.store is None and not places.has_store(path):
        raise ConfigError(
            "BUNDLE: expected a bundle, got none, and this device has no store with an active one; give a bundle "
            f"file, or the name of one that ships with edgemed: {', '.join(shipped.names())}"
        )
    if opening.trust:
        raise ConfigError("--trust: is of no use with a store, which has its own; leave it away, or give a bundle")
    store = stores.open_store(path)
    if opening.target not in (None, store.target):
        raise ConfigError(
            f"--device: expected {store.target}, which the store {path} was made for, got {opening.target!r}; leave "
            "it away, or give a bundle"
        )
    found = contents.read_active(store)
    target = None if store.target == targets.generic_id() else store.target
    decided = switch.decided(store, found)
    return Screener.open(decided, target=target, backend=opening.backend, threads=_threads(opening, store.target))


def _threads(opening: Opening, target: str | None) -> int:
    """Return the threads that were asked for, or else the target's own, which its budget supposes."""
    if opening.threads is not None:
        return opening.threads
    return targets.load(target or targets.generic_id()).threads
