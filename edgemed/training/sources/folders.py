"""One folder a split, one folder a class in it: ``SPLIT/CLASS/image``.

listing = folders.read(folder)
"""

from __future__ import annotations

from pathlib import Path

from edgemed.imaging import readers
from edgemed.training.sources.listing import Listing, single

__all__ = ["read"]


def read(folder: Path) -> Listing:
    """Return the images three levels or more below a folder; what lies higher has no class."""
    paths = [path for path in readers.expand([folder]) if len(path.relative_to(folder).parts) >= 3]
    names = tuple(path.relative_to(folder).as_posix() for path in paths)
    return Listing(
        names=names,
        values=tuple(name.split("/")[1] for name in names),
        places=tuple(f"{folder}: {name}" for name in names),
        groups=names,
        splits=tuple(name.split("/")[0] for name in names),
        read=lambda index: single(readers.read(folder / names[index]), names[index]),
    )
