"""An audit log to take along: a folder that is checked anywhere, or one document.

export.write(reading.read(folder, keys=[public]), Path("audit-2026"), public=store / "identity" / "signing.pub")
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from edgemed import files
from edgemed.bundle import keys
from edgemed.errors import ConfigError
from edgemed.records import reading
from edgemed.records.reading import Whole

__all__ = ["document", "write"]


def document(whole: Whole) -> dict[str, Any]:
    """Return a log as a document: where it begins and ends, its head, and every entry."""
    found = whole.verified
    return {
        "first": found.first,
        "last": found.last,
        "digest": found.digest,
        "unsealed": found.unsealed,
        "head": msgspec.json.decode(whole.head),
        "entries": [msgspec.json.decode(line) for line in whole.lines],
    }


def write(whole: Whole, folder: Path, *, public: Path) -> None:
    """Write a log into a new folder, with the head and the device's public key beside it.

    Raises:
        ConfigError: the folder is there already, or cannot be written.
    """
    key = files.read_bounded(public, limit_bytes=keys.KEY_LIMIT_BYTES, error=ConfigError)
    try:
        folder.mkdir(parents=True)
        files.write_atomic(
            folder / reading.segment_name(whole.verified.first), b"".join(line + b"\n" for line in whole.lines)
        )
        files.write_atomic(folder / "signing.pub", key)
        files.write_atomic(folder / reading.HEAD, whole.head)
    except FileExistsError as err:
        raise ConfigError(f"--out: {folder}: exists already; exports are never overwritten, choose another") from err
    except OSError as err:
        raise ConfigError(f"--out: {folder}: cannot be written: {err.strerror or err}; choose another folder") from err
