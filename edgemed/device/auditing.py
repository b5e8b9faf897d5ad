"""The history of a store in its audit log: what was installed, committed and rolled back, signed by the device.

Rules: the history is written first and the log follows it, event by event by their numbers; what a power cut has kept
from the log is in it after the next change. A log that cannot be written changes nothing else: it is a warning.

    warnings = auditing.catch_up(store)
"""

from __future__ import annotations

from pathlib import Path

from edgemed.device.state import Entry
from edgemed.device.store import Store
from edgemed.errors import BundleError, ConfigError, DeviceError

__all__ = ["catch_up"]

_PREFIX = "bundle-"
_MARK = f'"kind":"{_PREFIX}'.encode()


def catch_up(store: Store) -> tuple[str, ...]:
    """Write the events of the history that the audit log lacks; the caller holds the lock of the store.

    Returns:
        What keeps them out of the log, a sentence; nothing for a store without records.
    """
    from edgemed.records import places
    from edgemed.records.log import AuditLog

    if not places.is_wanted(store.path):
        return ()
    try:
        history = store.state().history
        with AuditLog.open(store.path / places.AUDIT, places.signing_key(store.path)) as log:
            done = _last(store.path / places.AUDIT)
            for entry in history:
                if entry.number > done:
                    log.append(_PREFIX + entry.event.value, _facts(entry), now=store.clock())
    except (BundleError, ConfigError, DeviceError) as err:
        return (f"the audit log lacks what was done here: {err}",)
    return ()


def _facts(entry: Entry) -> dict[str, str | int | None]:
    return {
        "number": entry.number,
        "bundle": entry.name,
        "version": entry.version,
        "release": entry.release,
        "digest": entry.digest,
        "slot": entry.slot,
        "at": entry.at,
    }


def _last(folder: Path) -> int:
    """Return the number of the newest event in the log; 0 where there is none, or none any more."""
    from edgemed.records import audit, reading

    for segment in reversed(reading.segments(folder)):
        for line in reversed(segment.read_bytes().split(b"\n")):
            if _MARK in line:
                number = audit.parse(line, source=segment.name).facts.get("number")
                return number if isinstance(number, int) else 0
    return 0
