"""What every command writes: results on stdout, everything else on stderr.

Rules: ``print_json`` is called once per command and is then all that stdout holds; rich is imported only when a
table or a progress bar is drawn; text from outside is never taken as markup, and moves no terminal.

    output.print_json({"bundle": name, "verified": True})
    output.table(("target", "summary"), rows)
    output.note("overlays are in out/")
"""

from __future__ import annotations

import functools
import io
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemed.errors import ConfigError, EdgemedError, printable

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "StdoutError",
    "console",
    "discard_stdout",
    "fields",
    "note",
    "print_json",
    "printable",
    "require_writable",
    "secure_streams",
    "table",
    "write_file",
]

PIPE_WIDTH = 10_000  # characters; rich would cut cells at 80 where there is no terminal
_FRAME = 3  # characters that the frame of a table takes beside each cell; 1 more closes the row

Table = tuple[Sequence[str], Iterable[Sequence[str]]]


class StdoutError(EdgemedError):
    """The results cannot be written: the disk behind stdout is full, or its device has failed."""


def print_json(value: Any) -> None:
    """Write one JSON document to stdout, as `edgemed.schema.encode_document` makes it, for people to read as well."""
    import msgspec

    from edgemed import schema

    sys.stdout.write(msgspec.json.format(schema.encode_document(value), indent=2).decode() + "\n")


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str | None = None,
    narrow: Table | None = None,
) -> None:
    """Draw a table on stdout; into a pipe it is as wide as its contents and carries no colour.

    On a terminal a cell that is too wide goes on in the next line: nothing of it is cut away.

    Args:
        columns: their headings.
        rows: their cells.
        title: a line above the table.
        narrow: headings and cells to draw where the terminal is too narrow for the others.
    """
    from rich import table as tables
    from rich.console import Console
    from rich.text import Text

    screen = Console(file=sys.stdout, highlight=False)
    if not screen.is_terminal:
        screen.width = PIPE_WIDTH
    listed = [[printable(cell) for cell in row] for row in rows]
    if narrow is not None and _width([columns, *listed]) > screen.width:
        columns, listed = narrow[0], [[printable(cell) for cell in row] for row in narrow[1]]
    drawn = tables.Table(title=None if title is None else Text(printable(title)), title_justify="left")
    for column in columns:
        drawn.add_column(Text(column), overflow="fold")
    for row in listed:
        drawn.add_row(*map(Text, row))
    screen.print(drawn)


def _width(rows: Sequence[Sequence[str]]) -> int:
    """Return how many characters wide a table of these rows is when no cell is folded."""
    from rich.cells import cell_len

    return 1 + sum(_FRAME + max(map(cell_len, column)) for column in zip(*rows, strict=True))


def note(line: str) -> None:
    """Write one line about the work, not its result, to stderr."""
    sys.stderr.write(printable(line) + "\n")


def fields(pairs: Iterable[tuple[str, str]]) -> None:
    """Write names and values on stdout, one pair a line, the values in one column."""
    listed = list(pairs)
    width = max(len(name) for name, _ in listed)
    for name, value in listed:
        sys.stdout.write(f"{printable(name):<{width}}  {printable(value)}\n")


@functools.cache
def console() -> Console:
    """Return the rich console on stderr, for progress bars; the only one, so that bars and notes do not mix."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def require_writable(path: Path, *, option: str = "--out") -> None:
    """Return when `write_file` could write a result: minutes of work should not end at a path that is taken.

    Raises:
        ConfigError: a folder lies there, or the folder above is missing or cannot be written.
    """
    parent = path.parent
    if path.is_dir():
        raise ConfigError(f"{option}: {path}: expected a file to write, found a folder; choose another place")
    if not parent.is_dir():
        raise ConfigError(
            f"{option}: {path}: cannot be written: {parent} is no folder; make it, or choose another place"
        )
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ConfigError(f"{option}: {path}: cannot be written: {parent} is read-only; choose another place")


def write_file(path: Path, raw: bytes, *, option: str = "--out") -> None:
    """Write a result atomically; a folder that is missing, read-only or full ends the command with exit 2.

    Raises:
        ConfigError: the file cannot be written; an older file of that name is untouched.
    """
    from edgemed import files

    try:
        files.write_atomic(path, raw)
    except OSError as err:
        raise ConfigError(f"{option}: {path}: cannot be written: {err.strerror or err}; choose another place") from err


def secure_streams() -> None:
    """Make the standard streams safe to write, once, when the process starts.

    One that the caller has closed leads to the null device: results nobody wants are dropped, the exit code stands.
    A failure of stderr is passed over, for no note is worth a result; one of stdout is a `StdoutError`.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest free descriptor is the closed one: no file may become a native library's stdout or stderr.
            descriptor = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))
    sys.stdout = _over(_Results, sys.stdout)
    sys.stderr = _over(_Notes, sys.stderr)


def discard_stdout() -> None:
    """Drop what stdout still holds back, so that the interpreter's own flush at the end cannot fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Results(io.FileIO):
    """Stdout, whose failure is the world's fault and no bug."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as err:
            raise StdoutError(
                f"stdout: cannot be written: {err.strerror or err}; the results are incomplete, send them elsewhere"
            ) from err


class _Notes(io.FileIO):
    """Stderr, whose failure fails nothing: what cannot be written is dropped."""

    def write(self, data: Any, /) -> int:
        try:
            # None: a non-blocking stream that takes no more.
            return super().write(data) or len(data)
        except OSError:
            return len(data)


def _over(raw: type[io.FileIO], stream: Any) -> io.TextIOWrapper:
    """Return a stream like this one over a raw file that knows what to do when it fails."""
    return io.TextIOWrapper(
        io.BufferedWriter(raw(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
