"""A bundle from a stick or card: which of its install folders this device takes, and what it leaves there as an answer.

Rules: the folder, or one directly inside it, holds what `edgemed flash --to DIR` wrote. Taken is what is made for this
target, whole, signed as the store asks and not below its floor; of several the newest release, of the bundle that is
active if there is one. What failed, was rolled back or was cut `TRIES` times on this device is left alone, so that a
stick that stays in its port brings nothing back; by hand it can still be installed. The answer is
``edgemed-result-DEVICE.json`` in the folder that was taken, where that can be written.

    report = importing.bring(store, Path("/media/stick"))
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from edgemed import files, schema
from edgemed.bundle import trust
from edgemed.bundle.archive import Bundle
from edgemed.bundle.encryption import ENCRYPTED_LIMIT_BYTES
from edgemed.bundle.manifest import Digest
from edgemed.device import contents, identity, install
from edgemed.device.contents import Contents
from edgemed.device.health import Check
from edgemed.device.install import Installed
from edgemed.device.store import Store
from edgemed.device.transports import directory
from edgemed.device.transports.directory import InstallDocument
from edgemed.errors import BundleError, ConfigError, DeviceError, EdgemedError, TargetMismatchError

__all__ = ["TRIES", "Answer", "Choice", "Imported", "bring", "choose"]

TRIES = 3
_ID_DIGITS = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """The install folder that a device takes; ``passed_over`` says why not the others, a sentence each."""

    folder: Path
    document: InstallDocument
    path: Path
    bundle: Bundle
    passed_over: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Imported:
    """What came of it; ``answer`` is the file left on the stick, None where it cannot be written."""

    choice: Choice
    installed: Installed
    answer: Path | None


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``edgemed-result-DEVICE.json``: what a device made of an install folder.

    Attributes:
        device: the device's id; None where its key cannot be read.
        error: why it was not installed, in words.
    """

    schema: Literal[1] = 1
    device: str | None
    target: str
    bundle: Digest
    result: Literal["installed", "tentative", "unchanged", "refused"]
    error: str | None = None


def bring(store: Store, folder: Path, *, check: Check | None = None) -> Imported:
    """Install the newest admissible bundle of a stick, and leave an answer there.

    Raises:
        ConfigError: no install folder, a wrong document, or bundles of several names and none of them active.
        EdgemedError: none is admissible, or as `install.install`; the answer on the stick says so too.
    """
    choice = choose(store, folder)
    document = choice.document
    try:
        done = install.install(
            store, choice.path, tentative=document.tentative, strict_latency=document.strict_latency, check=check
        )
    except EdgemedError as err:
        _answered(store, choice, result="refused", error=str(err))
        raise
    answer = _answered(store, choice, result=done.result.value)
    return Imported(choice=choice, installed=done, answer=answer)


def choose(store: Store, folder: Path) -> Choice:
    """Return the install folder that a store takes; nothing is changed.

    Raises:
        ConfigError: as `bring`.
        EdgemedError: none is admissible: the reason of the only one, or all of them.
    """
    found = contents.read(store)
    fit: list[Choice] = []
    faults: list[EdgemedError] = []
    for place in _folders(folder):
        try:
            fit.append(_admissible(store, found, place))
        except EdgemedError as err:
            faults.append(err)
    said = tuple(str(fault) for fault in faults)
    if not fit:
        raise type(faults[0])("; ".join(said)) from faults[0]
    newest = max(_of_one_name(found, fit, folder), key=lambda one: one.bundle.manifest.release)
    return Choice(
        folder=newest.folder, document=newest.document, path=newest.path, bundle=newest.bundle, passed_over=said
    )


def _folders(folder: Path) -> list[Path]:
    """Return the folder if it is an install folder, else those directly inside it."""
    try:
        if not folder.is_dir():
            raise ConfigError(f"{folder}: is no folder, expected a mounted stick or an install folder; is it mounted?")
        inside = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError as err:
        raise DeviceError(f"{folder}: cannot be read: {err.strerror or err}; is it mounted?") from err
    found = [path for path in (folder, *inside) if _is_prepared(path)]
    if not found:
        raise ConfigError(
            f"{folder}: has no {directory.DOCUMENT}; make it with 'edgemed flash BUNDLE --device ID --to {folder}'"
        )
    return found


def _is_prepared(folder: Path) -> bool:
    """Return whether a folder is an install folder; what this user may not look into, as lost+found, is none."""
    try:
        return (folder / directory.DOCUMENT).is_file()
    except OSError:
        return False


def _admissible(store: Store, found: Contents, place: Path) -> Choice:
    """Return what lies in an install folder, if this device takes it."""
    document, path = directory.read(place)
    if document.device != store.target:
        raise TargetMismatchError(f"{place}: was prepared for {document.device}, this device is {store.target}")
    raw = files.read_bounded(path, limit_bytes=ENCRYPTED_LIMIT_BYTES, error=BundleError)
    bundle = store.verified(raw, source=path)
    trust.require_release(bundle, found.floor(bundle.manifest.name))
    _require_fresh(found, bundle, path)
    return Choice(folder=place, document=document, path=path, bundle=bundle, passed_over=())


def _require_fresh(found: Contents, bundle: Bundle, path: Path) -> None:
    """Refuse what this device has had enough of; the active bundle itself is no news and no harm."""
    attempt = found.state.attempt
    by_hand = f"try once more with 'edgemed device install {path}'"
    if found.active is not None and found.active.bundle.digest == bundle.digest:
        return
    if bundle.digest in found.state.rejected:
        raise DeviceError(f"{path}: failed, was cut or was rolled back on this device before; {by_hand}")
    if attempt is not None and attempt.digest == bundle.digest and attempt.count >= TRIES:
        raise DeviceError(f"{path}: its install was cut {attempt.count} times on this device; {by_hand}")


def _of_one_name(found: Contents, fit: list[Choice], folder: Path) -> list[Choice]:
    """Return those of one bundle name: releases of different names cannot be compared."""
    active = None if found.active is None else found.active.bundle.manifest.name
    names = sorted({one.bundle.manifest.name for one in fit})
    wanted = active if active in names else names[0]
    if len(names) > 1 and wanted != active:
        raise ConfigError(
            f"{folder}: holds bundles of several names, {', '.join(names)}, and none of them is active here; "
            "name the folder of the one to import"
        )
    return [one for one in fit if one.bundle.manifest.name == wanted]


def _answered(
    store: Store,
    choice: Choice,
    *,
    result: Literal["installed", "tentative", "unchanged", "refused"],
    error: str | None = None,
) -> Path | None:
    """Write the answer onto the stick; a stick that cannot be written changes nothing of the result."""
    who = identity.known(store.fs, store.path / "identity")
    device = None if who is None else who.device_id
    answer = Answer(device=device, target=store.target, bundle=choice.bundle.digest, result=result, error=error)
    path = choice.folder / f"edgemed-result-{(device or 'unknown')[:_ID_DIGITS]}.json"
    try:
        # No mode and no rename over an older one: the FAT of a stick has neither.
        path.write_bytes(msgspec.json.format(schema.encode_json(answer)) + b"\n")
        files.sync(path)
    except OSError:
        return None
    return path
