"""A folder that is being filled: each image file in and below it, once it is complete.

A PNG or JPEG file is complete as soon as it decodes, for these say themselves whether they are whole; any other file
once its size and time of change have stood still for ``settle_s``. What can't be read by then is refused, and what
disappears before was somebody's temporary file. A file that is written anew counts anew, one that is renamed does not.
Names and times of change order nothing but the files found by one look, so that a clock that jumps back hides no file.

    source = Folder(Path("/var/spool/frames"))
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edgemed.errors import ImageError
from edgemed.imaging import header, readers
from edgemed.imaging.frame import Frame
from edgemed.imaging.header import Format
from edgemed.runtime.sources.arrival import Arrival, Clock, Pause

__all__ = ["Folder"]

_SNIFFED_BYTES = 132
_SELF_CHECKING = (Format.PNG, Format.JPEG)


class _Stamp(NamedTuple):
    """A file's content as far as it can be told without reading it; a new name changes nothing of it."""

    device: int
    inode: int
    size: int
    changed_ns: int


@dataclass(kw_only=True)
class _Growing:
    """A file that is not complete yet: since when it stands still, and whether this state of it was looked into."""

    stamp: _Stamp
    since_s: float
    tried: bool = False


class Folder:
    """A folder and what is put into it; a `Source` that ends with the stream alone."""

    live = False
    returns = True

    def __init__(
        self,
        path: Path,
        *,
        settle_s: float = 0.5,
        look_s: float = 0.1,
        read: Callable[[Path], Iterator[Frame]] = readers.read,
    ) -> None:
        """Name the folder.

        Args:
            path: the folder.
            settle_s: how long a file must stand still to count as written.
            look_s: between two looks into the folder.
            read: yields the frames of a file.
        """
        self.name = str(path)
        self._path = path
        self._settle_s = settle_s
        self._look_s = look_s
        self._read = read
        self._growing: dict[Path, _Growing] = {}
        # Kept from one opening to the next: a folder that comes back, such as a mount, is not judged twice.
        self._taken: set[_Stamp] = set()

    def arrivals(self, *, clock: Clock, pause: Pause) -> Iterator[Arrival]:
        """Yield the frames of each complete file, in the order of their names within one look."""
        while True:
            for path, stamp in self._look(clock()):
                yield from self._frames(path, stamp, clock)
                if pause(0.0):
                    return
            if pause(self._look_s):
                return

    def _look(self, now_s: float) -> Iterator[tuple[Path, _Stamp]]:
        """Yield the files to read now, and note how the others grow."""
        found = dict(_files(self._path))
        self._growing = {path: growing for path, growing in self._growing.items() if path in found}
        self._taken &= set(found.values())
        for path, stamp in sorted(found.items()):
            if stamp in self._taken:
                self._growing.pop(path, None)
                continue
            growing = self._growing.get(path)
            if growing is None or growing.stamp != stamp:
                self._growing[path] = _Growing(stamp=stamp, since_s=now_s)
            yield path, stamp

    def _frames(self, path: Path, stamp: _Stamp, clock: Clock) -> Iterator[Arrival]:
        """Yield what a file holds, if it is complete and an image."""
        growing = self._growing[path]
        settled = clock() - growing.since_s >= self._settle_s
        if not settled and growing.tried:
            return
        kind = _kind(path)
        if settled and kind is None and path.suffix.lower() not in readers.SUFFIXES:
            self._taken.add(stamp)  # no image
        elif settled or kind in _SELF_CHECKING:
            growing.tried = True
            for arrival in self._arrivals_of(path, growing.since_s, clock):
                if isinstance(arrival.picture, ImageError) and not (settled and path.exists()):
                    return
                self._taken.add(stamp)
                yield arrival

    def _arrivals_of(self, path: Path, arrived_s: float, clock: Clock) -> Iterator[Arrival]:
        frames = self._read(path)
        while True:
            start = clock()
            picture: Frame | ImageError | None
            try:
                picture = next(frames, None)
            except ImageError as err:
                picture = err
            if picture is None:
                return
            yield Arrival(picture=picture, arrived_s=arrived_s, decode_ms=1e3 * (clock() - start))
            if isinstance(picture, ImageError):
                return


def _files(folder: Path) -> Iterator[tuple[Path, _Stamp]]:
    """Yield the files in and below a folder, but for hidden ones.

    Raises:
        ImageError: the folder itself cannot be looked into.
    """

    def refuse(err: OSError) -> None:
        if err.filename == str(folder):
            raise ImageError(
                f"{folder}: cannot be read: {err.strerror or err}; check the folder and its mount"
            ) from err

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(place, name)
            if not name.startswith(".") and name != "DICOMDIR" and (stamp := _stamp(path)) is not None:
                yield path, stamp


def _stamp(path: Path) -> _Stamp | None:
    """Return the stamp of a regular file; None for anything else, or a file that is gone again."""
    try:
        found = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return _Stamp(device=found.st_dev, inode=found.st_ino, size=found.st_size, changed_ns=found.st_mtime_ns)


def _kind(path: Path) -> Format | None:
    try:
        with path.open("rb") as stream:
            return header.sniff(stream.read(_SNIFFED_BYTES))
    except OSError:
        return None
