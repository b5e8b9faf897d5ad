"""A bundle onto one device: look at it here, look at the device, plan, send, have it installed.

Rules: nothing is written before `plan` has agreed; what the device installed is compared with what was meant.

    cargo = flash.cargo(Path("chest-xray-1.0.0.edgemed"))
    report = await flash.flash(cargo, session, device="jetson-orin-nano", how=Installing(), progress=progress)
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgemed import files
from edgemed.bundle import encryption, trust
from edgemed.device import plan as plans
from edgemed.device.plan import Action, Cargo, Plan
from edgemed.device.transports import Installed, Installing, Transport, UnansweredError, Upload
from edgemed.errors import BundleError

__all__ = ["FlashReport", "Progress", "cargo", "draw", "flash"]

_STICK_NAME = re.compile(r"[a-z0-9][A-Za-z0-9._-]{0,110}\.edgemed\.age")  # what an install folder takes


class Progress(Protocol):
    """Where flashing says how far it is."""

    def start(self, what: str, total: int) -> None:
        """Begin a stage of ``total`` bytes."""

    def advance(self, count: int = 1) -> None:
        """Some more are done."""

    def note(self, text: str) -> None:
        """Say one thing."""


@dataclass(frozen=True, kw_only=True)
class FlashReport:
    """What came of flashing one device; ``installed`` is None when there was nothing to do."""

    plan: Plan
    installed: Installed | None

    @property
    def result(self) -> str:
        """One word: ``installed``, ``tentative``, ``unchanged`` or ``prepared``."""
        return "unchanged" if self.installed is None else self.installed.result


def cargo(path: Path) -> Cargo:
    """Return a bundle file, looked at as closely as can be without knowing whom the device trusts.

    Of an encrypted one nothing can be said but its size and how many keys open it.

    Raises:
        BundleError: the file is missing, too large, no bundle, or altered.
    """
    raw = files.read_bounded(path, limit_bytes=encryption.ENCRYPTED_LIMIT_BYTES, error=BundleError)
    try:
        return _encrypted(raw, path) if encryption.is_encrypted(raw) else _plain(raw)
    except BundleError as err:
        raise type(err)(f"{path}: {err}") from err


def _plain(raw: bytes) -> Cargo:
    shown = trust.inspect(raw)
    manifest = shown.manifest
    upload = Upload(
        raw=raw,
        name=f"{manifest.name}-{manifest.version}.edgemed",
        sha256=hashlib.sha256(raw).hexdigest(),
        digest=shown.digest,
    )
    return Cargo(manifest=manifest, upload=upload)


def _encrypted(raw: bytes, path: Path) -> Cargo:
    sha256 = hashlib.sha256(raw).hexdigest()
    name = path.name if _STICK_NAME.fullmatch(path.name) else f"{sha256[:16]}.edgemed.age"
    upload = Upload(raw=raw, name=name, sha256=sha256, digest=None)
    return Cargo(manifest=None, upload=upload, recipients=encryption.recipients(raw))


async def draw(cargo: Cargo, transport: Transport, *, device: str, how: Installing) -> Plan:
    """Return what `flash` would do; nothing is written.

    Raises:
        EdgemedError: a refusal of `edgemed.device.plan`, or of the device.
    """
    plans.require_admitted(cargo, device)
    return plans.plan(cargo, await transport.probe(cargo.upload), device=device, how=how)


async def flash(cargo: Cargo, transport: Transport, *, device: str, how: Installing, progress: Progress) -> FlashReport:
    """Bring a bundle onto a device and return what the device made of it.

    Raises:
        UnansweredError: once the device has begun to install: a lost connection, a crash, or another bundle.
        EdgemedError: a refusal of `edgemed.device.plan` before the first byte, a lost connection, or the device's own
            error, of its class; the device then runs what it ran before.
    """
    drawn = await draw(cargo, transport, device=device, how=how)
    if drawn.action is Action.NOTHING:
        return FlashReport(plan=drawn, installed=None)
    upload = cargo.upload
    progress.start("sending", upload.size_bytes)
    progress.advance(drawn.offset)
    await transport.put(upload, offset=drawn.offset, advance=progress.advance)
    progress.note(f"{transport.place}: sent, now installing")
    installed = await transport.install(upload, how)
    if upload.digest is not None and installed.digest != upload.digest:
        raise UnansweredError(
            f"{transport.place}: reports {installed.digest} as installed, expected {upload.digest}; "
            "look at the device: 'edgemed device status'"
        )
    return FlashReport(plan=drawn, installed=installed)
