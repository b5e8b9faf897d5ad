"""A bundle onto one device: look at it here, look at the device, plan, send, have it installed.

Rules: nothing is written before `plan` has agreed; what the device installed is compared with what was meant.

    cargo = flash.cargo(Path("chest-xray-1.0.0.edgemed"))
    report = await flash.flash(cargo, session, device="jetson-orin-nano", how=Installing(), progress=progress)
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgemed import files
from edgemed.bundle import trust
from edgemed.bundle.archive import ARCHIVE_LIMIT_BYTES
from edgemed.device import plan as plans
from edgemed.device.plan import Action, Cargo, Plan
from edgemed.device.transports import Installed, Installing, Transport, UnansweredError, Upload
from edgemed.errors import BundleError

__all__ = ["FlashReport", "Progress", "cargo", "draw", "flash"]


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

    Raises:
        BundleError: the file is missing, too large, no bundle, or altered.
    """
    raw = files.read_bounded(path, limit_bytes=ARCHIVE_LIMIT_BYTES, error=BundleError)
    try:
        shown = trust.inspect(raw)
    except BundleError as err:
        raise type(err)(f"{path}: {err}") from err
    manifest = shown.manifest
    upload = Upload(
        raw=raw,
        name=f"{manifest.name}-{manifest.version}.edgemed",
        sha256=hashlib.sha256(raw).hexdigest(),
        digest=shown.digest,
    )
    return Cargo(manifest=manifest, upload=upload)


async def draw(cargo: Cargo, transport: Transport, *, device: str, how: Installing) -> Plan:
    """Return what `flash` would do; nothing is written.

    Raises:
        EdgemedError: a refusal of `edgemed.device.plan`, or of the device.
    """
    plans.require_admitted(cargo.manifest, device)
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
    if installed.digest != upload.digest:
        raise UnansweredError(
            f"{transport.place}: reports {installed.digest} as installed, expected {upload.digest}; "
            "look at the device: 'edgemed device status'"
        )
    return FlashReport(plan=drawn, installed=installed)
