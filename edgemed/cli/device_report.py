"""What the commands of ``edgemed device`` show: documents for programs, lines for people, warnings for both.

device_report.show_active(store, switch.commit(store), json=True)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgemed.cli import output

if TYPE_CHECKING:
    from edgemed.device.contents import Contents
    from edgemed.device.health import Health
    from edgemed.device.install import Installed
    from edgemed.device.store import Held, Store

__all__ = ["lines", "show_active", "show_installed", "warn"]


def show_installed(store: Store, done: Installed, *, json: bool) -> None:
    """Write what came of an install."""
    health = done.health
    warn((*done.warnings, *(() if health is None else (*health.warnings, *(f"slow: {one}" for one in health.slow)))))
    if json:
        from edgemed.device import answers

        output.print_json(answers.installed(store, done))
        return
    shown = [(done.result.value, str(done.active)), ("slot", done.active.slot), ("previous", _named(done.previous))]
    output.fields([*shown, *(() if health is None else _health_lines(health))])


def _health_lines(health: Health) -> list[tuple[str, str]]:
    allowed = "no tolerance stated" if health.allowed_logit_lsb is None else f"{health.allowed_logit_lsb} allowed"
    golden = f"{health.vectors} vectors {health.golden}, logit at most {health.logit_lsb} LSB away ({allowed})"
    times = [
        (f"{one.stage} time", f"median {one.p50_ms:.2f}, worst {one.worst_ms:.2f}, budget {one.limit_ms:g} ms")
        for one in health.stages
    ]
    return [("golden", golden), ("runs", f"{health.member} on {health.backend}, {health.architecture}"), *times]


def show_active(store: Store, found: Contents, *, json: bool) -> None:
    """Write which bundle is active after a change."""
    warn(found.warnings)
    if json:
        from edgemed.device import answers

        output.print_json(answers.status(store, found))
    else:
        output.fields([("active", _named(found.active)), ("previous", _named(found.previous))])


def lines(store: Store, found: Contents) -> list[tuple[str, str]]:
    """Return the status of a store as names and values."""
    from edgemed.device import answers

    known = answers.status(store, found)
    trial = f", tentative: {found.tentative.starts_left} starts left" if found.tentative else ""
    shown = [
        ("store", str(store.path)),
        ("target", store.target),
        ("device", known["device"] or "-"),
        ("recipient", known["recipient"] or "-"),
        ("active", _named(found.active) + trial),
        ("previous", _named(found.previous)),
        ("release floor", str(known["release_floor"])),
        ("free", f"{known['free_bytes']} bytes"),
    ]
    attempt = found.state.attempt
    return shown if attempt is None else [*shown, ("unfinished", f"install of {attempt.name} {attempt.version}")]


def _named(held: Held | None) -> str:
    return "none" if held is None else f"{held}, release {held.bundle.manifest.release}, slot {held.slot}"


def warn(sentences: tuple[str, ...]) -> None:
    """Write what is amiss to stderr."""
    for sentence in sentences:
        output.note(f"edgemed: {sentence}")
