"""A CSV with one row an image, the images beside it or in a zip.

listing = manifest.read(source, folder)
"""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgemed.errors import ConfigError, ImageError
from edgemed.imaging import readers
from edgemed.imaging.frame import Frame
from edgemed.schema import near_match
from edgemed.training.sources import ages
from edgemed.training.sources.declared import ALL, ManifestCsv
from edgemed.training.sources.listing import Listing, single

__all__ = ["Table", "read", "read_table"]


@dataclass(frozen=True, kw_only=True)
class Table:
    """The rows of a CSV by column; row i stands on line i + 2 of a file without line breaks in its cells."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]

    def column(self, name: str) -> tuple[str, ...]:
        """Return one column from top to bottom."""
        return tuple(row[name] for row in self.rows)


def read(source: ManifestCsv, folder: Path) -> Listing:
    """Return the images that a manifest lists.

    Raises:
        ConfigError: the CSV or the zip cannot be read, a column is missing, or a cell is empty.
    """
    table = read_table(folder / source.file)
    split, group = ([] if name is None else [name] for name in (source.split, source.group))
    require(table, [source.path, source.label, *split, *source.group_within, *group])
    require_columns(table, list(source.attributes.values()))
    names = table.column(source.path)
    keys = (*source.group_within, *group) if group else (source.path,)
    return Listing(
        names=names,
        values=table.column(source.label),
        places=tuple(f"{table.path}: line {line}" for line in range(2, len(names) + 2)),
        groups=tuple("/".join(row[column] for column in keys) for row in table.rows),
        splits=table.column(source.split) if source.split else (ALL,) * len(names),
        read=_zip_reader(folder / source.images, names) if source.images else _file_reader(folder, names),
        attributes={name: attribute(table, name, column) for name, column in source.attributes.items()},
    )


def read_table(path: Path) -> Table:
    """Return the rows of a CSV; cells that a short row lacks are empty.

    Raises:
        ConfigError: the file cannot be read as one.
    """
    try:
        # utf-8-sig: spreadsheets put a byte order mark before the first column's name.
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")), restval="")
        columns = tuple(reader.fieldnames or ())
        return Table(path=path, columns=columns, rows=tuple(reader))
    except (OSError, UnicodeDecodeError, csv.Error) as err:
        raise ConfigError(f"{path}: expected a CSV of labelled images, got a file that cannot be read: {err}") from err


def require_columns(table: Table, wanted: list[str]) -> None:
    """Return when the table has these columns.

    Raises:
        ConfigError: one is missing; the near one is named.
    """
    columns = list(table.columns)
    for column in wanted:
        if column not in columns:
            hint = near_match(column, columns)
            raise ConfigError(f"{table.path}: expected a column {column!r}, got {columns}{hint}")


def require(table: Table, wanted: list[str]) -> None:
    """Return when every row has a value in these columns.

    Raises:
        ConfigError: a column is missing or a cell is empty; its line is named.
    """
    require_columns(table, wanted)
    for line, row in enumerate(table.rows, start=2):
        if empty := [column for column in wanted if not row[column]]:
            raise ConfigError(f"{table.path}: line {line}: expected a value for {', '.join(empty)}, got none")


def attribute(table: Table, name: str, column: str) -> tuple[str | None, ...]:
    """Return the values of an attribute: None for an empty cell, bands of ten years for ages in years."""
    values = (value.strip() or None for value in table.column(column))
    return tuple(ages.band(value) if name == ages.ATTRIBUTE and value is not None else value for value in values)


def _zip_reader(path: Path, names: tuple[str, ...]) -> Callable[[int], Frame]:
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as err:
        raise ConfigError(f"{path}: expected the zip of the images, got a file that is not: {err}") from err

    def read(index: int) -> Frame:
        try:
            raw = archive.read(names[index])
        # RuntimeError: encrypted; NotImplementedError: a compression this Python lacks.
        except (KeyError, OSError, RuntimeError, EOFError, zlib.error, zipfile.BadZipFile) as err:
            raise ImageError(f"{names[index]}: listed in the manifest, but not readable in {path.name}") from err
        return single(readers.decode(raw, source=names[index]), names[index])

    return read


def _file_reader(folder: Path, names: tuple[str, ...]) -> Callable[[int], Frame]:
    return lambda index: single(readers.read(folder / names[index]), names[index])
