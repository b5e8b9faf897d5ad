"""A disk in memory that remembers what was synced, and every state that a power cut may leave of it.

It implements `edgemed.device.filesystem.Filesystem`. The model is harsher than any journal: of what was not synced,
every part may be lost or kept on its own.

- A file whose bytes were not synced has after the cut: the bytes of before, none, the first half, all, or noise of the
  right length.
- A change of a folder that was not synced (a new name, a name taken away) has happened or not, each on its own. A
  rename is two of them, so that both names or neither may be there; a file that takes another's place is one: the name
  leads to the old one or to the new one.
- A file or folder whose own folder is lost is lost.

    disk = Disk.empty(Path("/store"))
    install.install(store_on(disk), ...)
    for cut in disk.cuts(): ...
"""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

Names = dict[Path, int]
Tree = dict[Path, "bytes | None"]
FOLDER = -1


@dataclass(frozen=True)
class Snapshot:
    """The disk after one step: what is durable, what is not, and what the step was."""

    step: str
    names: Names
    synced: dict[int, bytes]
    pages: dict[int, bytes]
    pending: tuple[tuple[Path, int | None], ...]

    def survivors(self) -> Iterator[Tree]:
        """Yield every state that a cut at this moment may leave: paths with their bytes, None for a folder."""
        dirty = sorted(self.pages)
        contents = [_variants(self.synced.get(number, b""), self.pages[number]) for number in dirty]
        for kept in itertools.product((False, True), repeat=len(self.pending)):
            names = dict(self.names)
            for (path, number), happened in zip(self.pending, kept, strict=True):
                if happened:
                    names.pop(path, None) if number is None else names.update({path: number})
            for chosen in itertools.product(*contents):
                yield _tree(names, {**self.synced, **dict(zip(dirty, chosen, strict=True))})


def _variants(old: bytes, new: bytes) -> list[bytes]:
    noise = bytes(255 - byte for byte in new)
    return list(dict.fromkeys((old, b"", new[: len(new) // 2], new, noise)))


def _tree(names: Names, contents: dict[int, bytes]) -> Tree:
    tree: Tree = {}
    for path in sorted(names, key=str):  # a folder before what lies in it
        if not tree or path.parent in tree:
            tree[path] = None if names[path] == FOLDER else contents.get(names[path], b"")
    return tree


@dataclass
class Disk:
    """The disk; ``fault`` is asked before each step with its number from 0 and may raise."""

    names_now: Names
    pages: dict[int, bytes]
    synced: dict[int, bytes] = field(default_factory=dict)
    durable: Names = field(default_factory=dict)
    pending: list[tuple[Path, int | None]] = field(default_factory=list)
    history: list[Snapshot] = field(default_factory=list)
    fault: Callable[[int], None] = lambda _: None
    room_bytes: int = 1 << 40
    steps: int = 0

    @classmethod
    def of(cls, tree: Tree) -> Disk:
        """Return a disk that holds a tree, all of it durable."""
        numbers = {path: FOLDER if raw is None else number for number, (path, raw) in enumerate(sorted(tree.items()))}
        contents = {number: raw for path, number in numbers.items() if (raw := tree[path]) is not None}
        disk = cls(names_now=dict(numbers), pages=contents, synced=dict(contents), durable=dict(numbers))
        disk._remember("begin")
        return disk

    def tree(self) -> Tree:
        """Return what a process sees."""
        return {path: None if n == FOLDER else self.pages[n] for path, n in sorted(self.names_now.items())}

    def cuts(self) -> Iterator[tuple[str, Tree]]:
        """Yield every state that a cut after any step may leave, with the step's name."""
        for number, snapshot in enumerate(self.history):
            for tree in snapshot.survivors():
                yield f"{number} {snapshot.step}", tree

    # The protocol: reading.

    def read(self, path: Path, *, limit_bytes: int) -> bytes:
        number = self._number(path)
        if number == FOLDER:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        return self.pages[number][: limit_bytes + 1]

    def names(self, path: Path) -> tuple[str, ...]:
        if self._number(path) != FOLDER:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return tuple(sorted(one.name for one in self.names_now if one.parent == path and one != path))

    def free_bytes(self, path: Path) -> int:
        return 1 << 40

    # The protocol: steps.

    def make_folder(self, path: Path, *, mode: int) -> None:
        self._step(f"mkdir {path.name}")
        if path not in self.names_now:
            self._number(path.parent)
            self._change(path, FOLDER)
        self._remember(f"mkdir {path.name}")

    def write(self, path: Path, raw: bytes, *, mode: int) -> None:
        self._step(f"write {path.name}")
        self._number(path.parent)
        if path not in self.names_now:
            self._change(path, 1 + max([*self.pages, 0]))
        number = self.names_now[path]
        self.pages[number] = raw[: self.room_bytes]
        self.room_bytes -= len(self.pages[number])
        self._remember(f"write {path.name}")
        if self.pages[number] != raw:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def sync(self, path: Path) -> None:
        self._step(f"fsync {path.name}")
        number = self._number(path)
        self.synced[number] = self.pages[number]
        self._remember(f"fsync {path.name}")

    def sync_folder(self, path: Path) -> None:
        self._step(f"fsync {path.name}/")
        self._number(path)
        for changed, number in [one for one in self.pending if one[0].parent == path]:
            self.durable.pop(changed, None) if number is None else self.durable.update({changed: number})
        self.pending = [one for one in self.pending if one[0].parent != path]
        self._remember(f"fsync {path.name}/")

    def rename(self, old: Path, new: Path) -> None:
        self._step(f"rename {old.name}")
        number = self._number(old)
        self._change(new, number)
        self._change(old, None)
        self._remember(f"rename {old.name}")

    def remove(self, path: Path) -> None:
        self._step(f"unlink {path.name}")
        self._number(path)
        self._change(path, None)
        self._remember(f"unlink {path.name}")

    def _number(self, path: Path) -> int:
        if path not in self.names_now:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return self.names_now[path]

    def _change(self, path: Path, number: int | None) -> None:
        self.names_now.pop(path, None) if number is None else self.names_now.update({path: number})
        self.pending.append((path, number))

    def _step(self, name: str) -> None:
        self.steps += 1
        self.fault(self.steps - 1)

    def _remember(self, step: str) -> None:
        dirty = {n: raw for n, raw in self.pages.items() if self.synced.get(n) != raw}
        self.history.append(Snapshot(step, dict(self.durable), dict(self.synced), dirty, tuple(self.pending)))
