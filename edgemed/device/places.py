"""Where a device's store lies when nobody says.

path = places.found()
"""

from __future__ import annotations

from pathlib import Path

from edgemed.device.store import FORMAT

__all__ = ["SYSTEM_STORE", "default", "found", "has_store"]

SYSTEM_STORE = Path("/var/lib/edgemed")
"""Where targets that are a device of their own keep their store; a test compares it with their files."""


def default(target_path: str | None = None) -> Path:
    """Return where a new store belongs: the target's path, or else the user's own data folder."""
    if target_path is not None:
        return Path(target_path)
    import platformdirs

    return platformdirs.user_data_path("edgemed") / "store"


def found() -> Path:
    """Return the store of this device: the system's if it is there, else the user's own, which need not be."""
    return SYSTEM_STORE if has_store(SYSTEM_STORE) else default()


def has_store(path: Path) -> bool:
    """Return whether a store is in a folder; one that this user may not look into counts, and opening it says why."""
    try:
        return (path / FORMAT).exists()
    except OSError:
        return True
