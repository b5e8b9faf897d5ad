"""Artifact folders, as ``edgemed convert`` writes them: read, and several of one model put together.

Rules: what lies in more than one folder is the same in each, byte for byte, but the targets in ``artifact.json``, of
which the whole has all. Two conversions of a model are two models: their thresholds and vectors are not exchangeable.

    contents = artifacts.read([Path("chest-xray"), Path("chest-xray-edgetpu")])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgemed import files
from edgemed.bundle import models
from edgemed.bundle.manifest import ArtifactDocument, parse_artifact
from edgemed.bundle.stored_zip import ARCHIVE_LIMIT_BYTES
from edgemed.errors import ConfigError

__all__ = ["DOCUMENT", "REPORTS", "Contents", "read"]

DOCUMENT = "artifact.json"
REPORTS = ("conversion.html", "conversion.json")
"""Files of an artifact folder for people, which enter no bundle."""
_DOCUMENT_LIMIT_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Contents:
    """What artifact folders hold: their document, and every other file by its name in a bundle."""

    document: ArtifactDocument
    members: Mapping[str, bytes]


def read(folders: Sequence[Path]) -> Contents:
    """Return what one or more artifact folders hold together.

    Raises:
        ConfigError: a file is missing or unreadable, a folder holds something no bundle does, or two folders are not
            of one model: the message names what differs.
    """
    first, *others = folders
    whole = _folder(first)
    for other in others:
        whole = _together(whole, _folder(other), first=first, other=other)
    return whole


def _folder(folder: Path) -> Contents:
    raw = files.read_bounded(folder / DOCUMENT, limit_bytes=_DOCUMENT_LIMIT_BYTES, error=ConfigError)
    document = parse_artifact(raw, source=str(folder / DOCUMENT))
    members: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name in (DOCUMENT, *REPORTS) or (path.is_dir() and not path.is_symlink()):
            continue
        if path.is_symlink() or not _belongs(name):
            raise ConfigError(f"{path}: is no part of a bundle; remove it, or give results with --evidence")
        members[name] = files.read_bounded(path, limit_bytes=ARCHIVE_LIMIT_BYTES, error=ConfigError)
    return Contents(document=document, members=members)


def _belongs(name: str) -> bool:
    """Tell whether a bundle has a place for a file of this name; which models it takes, the build says."""
    folder, _, leaf = name.rpartition("/")
    if not folder:
        return name in {"preprocessing.json", "decision.json", "card.md"}
    suffixes = {"model": (".tflite", ".onnx"), "golden": (".json", ".png"), "evidence": (".json",)}
    return leaf.endswith(suffixes.get(folder, ())) and not leaf.startswith(".")


def _together(one: Contents, two: Contents, *, first: Path, other: Path) -> Contents:
    _require_same_members(one.members, two.members, first=first, other=other)
    targets = tuple(sorted({*one.document.targets, *two.document.targets}))
    document = msgspec.structs.replace(two.document, targets=targets)
    if document != msgspec.structs.replace(one.document, targets=targets):
        differing = [
            name
            for name in document.__struct_fields__
            if name != "targets" and getattr(one.document, name) != getattr(two.document, name)
        ]
        raise ConfigError(
            f"{other / DOCUMENT}: {', '.join(differing)}: expected the same as in {first / DOCUMENT}; "
            "give folders of one conversion"
        )
    return Contents(document=document, members={**one.members, **two.members})


def _require_same_members(one: Mapping[str, bytes], two: Mapping[str, bytes], *, first: Path, other: Path) -> None:
    """Refuse a member that lies in both and differs, the int8 model before everything that follows from it."""
    differing = [name for name in sorted(two) if name in one and one[name] != two[name]]
    if models.INT8 in differing:
        raise ConfigError(
            f"{other / models.INT8}: expected the same bytes as {first / models.INT8}; a conversion for TensorRT has "
            "symmetric ranges and is another int8 model: convert once with every --target"
        )
    if differing:
        raise ConfigError(
            f"{other / differing[0]}: expected the same bytes as {first / differing[0]}; "
            "convert once with every --target, or give folders of one conversion"
        )
