"""What every command writes: results on stdout, everything else on stderr.

Rules: ``print_json`` is called once per command and is then all that stdout holds; rich is imported only when a
table or a progress bar is drawn; text from outside is never taken as markup, and moves no terminal.

    output.print_json({"bundle": name, "verified": True})
    output.table(("target", "summary"), rows)
    output.note("overlays are in out/")
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from edgemed.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["SCHEMA_VERSION", "console", "fields", "note", "print_json", "printable", "table", "write_file"]

SCHEMA_VERSION = 1
PIPE_WIDTH = 10_000  # characters; rich would cut cells at 80 where there is no terminal


def print_json(value: Any) -> None:
    """Write one JSON document to stdout, ``schema_version`` first, then the keys in the order given.

    Args:
        value: a dict with text keys, a dataclass or a msgspec struct; paths inside become text, NaN becomes null, and
            the bytes of a file name that are no UTF-8 become escapes.
    """
    import msgspec

    tree = msgspec.to_builtins(value, enc_hook=_plain)
    document = msgspec.json.encode(_encodable({"schema_version": SCHEMA_VERSION, **tree}))
    sys.stdout.write(msgspec.json.format(document, indent=2).decode() + "\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None) -> None:
    """Draw a table on stdout; into a pipe it is as wide as its contents and carries no colour."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=None if title is None else Text(title), title_justify="left")
    for column in columns:
        drawn.add_column(Text(column))
    for row in rows:
        drawn.add_row(*(Text(printable(cell)) for cell in row))
    screen = Console(file=sys.stdout, highlight=False)
    if not screen.is_terminal:
        screen.width = PIPE_WIDTH
    screen.print(drawn)


def note(line: str) -> None:
    """Write one line about the work, not its result, to stderr."""
    sys.stderr.write(printable(line) + "\n")


def printable(line: str) -> str:
    """Return text with line breaks and control characters written as escapes: one line, whatever it quotes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)


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


def _encodable(tree: Any) -> Any:
    """Return a tree whose texts are Unicode: Python keeps a file name's stray bytes as lone surrogates."""
    if isinstance(tree, str):
        return tree.encode("utf-8", "backslashreplace").decode()
    if isinstance(tree, dict):
        return {_encodable(key): _encodable(value) for key, value in tree.items()}
    return [_encodable(value) for value in tree] if isinstance(tree, (list, tuple)) else tree


def _plain(value: Any) -> str:
    """Turn a path into text; anything else has no place in a result."""
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"expected a value JSON can hold, got {type(value).__name__}")
