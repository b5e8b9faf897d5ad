"""The folder ``edgemed convert`` writes and ``edgemed bundle build`` reads: members as they lie in the bundle.

artifact.write(folder, description, members)
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from edgemed import files, schema
from edgemed.bundle.manifest import Artifact
from edgemed.errors import ConfigError

__all__ = ["require_writable", "write"]

_ARTIFACT = "artifact.json"


def require_writable(folder: Path) -> None:
    """Return when `write` could put an artifact at ``folder``; hours of work should not end at a taken path.

    Raises:
        ConfigError: something that is no artifact lies there, or its parent cannot be written.
    """
    if folder.exists() and not (folder / _ARTIFACT).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            f"{folder}: expected a new folder or an older artifact, found something else; choose another --out"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder.parent).close()
    except OSError as err:
        raise ConfigError(f"{folder.parent}: cannot be written: {err.strerror}; choose another --out") from err


def write(folder: Path, description: Artifact, members: Mapping[str, bytes]) -> None:
    """Write an artifact folder: beside its place first, then renamed, so that it is whole or absent.

    An older artifact at the place is replaced.

    Raises:
        ConfigError: as `require_writable`, or the disk is full; nothing is left behind then.
    """
    require_writable(folder)
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        for name, raw in {_ARTIFACT: schema.encode_json(description), **members}.items():
            path = aside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_atomic(path, raw)
        aside.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        aside.replace(folder)
    except OSError as err:
        raise ConfigError(
            f"{folder}: cannot be written: {err.strerror}; free some space or choose another --out"
        ) from err
    finally:
        shutil.rmtree(aside, ignore_errors=True)
