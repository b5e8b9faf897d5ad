"""Where a device's store lies when nobody says.

path = places.found()
"""

from __future__ import annotations

from pathlib import Path

from edgemed.device.store import FORMAT

__all__ = ["SYSTEM_STORE", "default", "found"]

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
    return SYSTEM_STORE if (SYSTEM_STORE / FORMAT).exists() else default()
