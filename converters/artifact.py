"""The result of a conversion, and the folder it becomes: what ``edgemed bundle build`` reads.

Members lie in the folder as in the bundle; ``artifact.json`` says what they are.

    artifact.write(folder, converters.convert(model, ...))
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from converters.parity import Flip
from edgemed import files, schema
from edgemed.bundle.artifacts import DOCUMENT
from edgemed.bundle.manifest import ArtifactDocument
from edgemed.errors import ConfigError
from edgemed.runtime import decision

if TYPE_CHECKING:
    from converters.report import Report

__all__ = ["Artifact", "require_writable", "write"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Artifact:
    """A converted model with everything a bundle says of it, and the figures to show.

    Attributes:
        description: the document ``artifact.json``.
        members: bytes by the name they have in the bundle.
        reports: files for people, by name; they enter no bundle.
        report: what was measured.
        flips: images of the gate part that float and converted model decide differently, by name; in no file.
        rule: the document ``decision.json``.
        notes: what the user should know of the members, a line each.
    """

    description: ArtifactDocument
    members: Mapping[str, bytes]
    reports: Mapping[str, bytes]
    report: Report
    flips: tuple[Flip, ...]
    rule: decision.DecisionRule
    notes: tuple[str, ...] = ()

    @property
    def model(self) -> bytes:
        """The converted TFLite file."""
        return self.members[self.report.mode.member]


def require_writable(folder: Path) -> None:
    """Return when `write` could put an artifact at ``folder``; hours of work should not end at a taken path.

    Nothing is made: a parent that is missing is made by `write`.

    Raises:
        ConfigError: ``folder`` has no name of its own or is a link or a mount point, something that is no artifact
            lies there, or a folder above it cannot be written.
    """
    if folder.name in ("", ".."):
        raise ConfigError(f"{folder}: expected a folder with a name of its own; choose another --out")
    with _translated(folder, "choose another --out"):
        if folder.is_symlink() or folder.is_mount():
            raise ConfigError(f"{folder}: expected a plain folder, found a link or a mount point; choose another --out")
        if folder.exists() and not (folder / DOCUMENT).is_file() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(
                f"{folder}: expected a new folder or an older artifact, found something else; choose another --out"
            )
        # An older artifact is removed and the new one is made beside it: both places must take a file.
        above = next(parent for parent in folder.absolute().parents if parent.exists())
        for place in [above, *([folder] if folder.exists() else [])]:
            tempfile.TemporaryFile(dir=place).close()


def write(folder: Path, artifact: Artifact) -> None:
    """Write an artifact folder: beside its place first, then renamed, so that it is whole or absent.

    An older artifact at the place is replaced; parents that are missing are made.

    Raises:
        ConfigError: as `require_writable`, or the disk is full; nothing is left behind then but parents.
    """
    require_writable(folder)
    with _translated(folder, "free some space or choose another --out"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".artifact.") as aside:
            made = Path(aside) / folder.name
            _fill(made, {DOCUMENT: schema.encode_json(artifact.description), **artifact.members, **artifact.reports})
            if folder.exists():
                # Two renames: no moment with a part of a folder at the place, however long removing the old one takes.
                folder.replace(Path(aside) / f"{folder.name}.old")
            made.replace(folder)


def _fill(folder: Path, contents: Mapping[str, bytes]) -> None:
    folder.mkdir()
    for name, raw in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_atomic(path, raw)


@contextmanager
def _translated(folder: Path, advice: str) -> Iterator[None]:
    """Word what a disk may refuse."""
    try:
        yield
    except OSError as err:
        raise ConfigError(f"{folder}: cannot be written: {err.strerror or err}; {advice}") from err
