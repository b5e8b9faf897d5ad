"""The file of results: an SQLite database, its tables, and its bounds.

Write-ahead log with ``synchronous=FULL``: a commit that has returned survives a power cut. ``NORMAL`` would keep the
file sound too, but lose the last commits; results are committed a few times a second at most, off the frame path, so
that the sync costs nothing that anybody waits for.

A database of a newer schema is refused and stays as it is; an older one is brought up to date in one transaction.

    with closing(database.open_at(path)) as connection:
        database.trim(connection, limits, now_ms=...)

Source: https://www.sqlite.org/wal.html and https://www.sqlite.org/pragma.html#pragma_synchronous
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgemed.errors import DeviceError
from edgemed.records import ownership

if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = ["APPLICATION_ID", "SCHEMA", "Limits", "open_at", "transaction", "trim", "worded"]

APPLICATION_ID: Final = 0x45444D52
"""``EDMR``: what `file` shows, and how a database of something else is told apart."""
_BUSY_S = 5.0
_WAL_LIMIT_BYTES = 4 << 20
_TRIMMED_ROWS = 500
_DAY_MS = 86_400_000

# One text for each version, applied in order; a table is never changed but by a new text.
_MIGRATIONS: Final = (
    """
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY, began_ms INTEGER NOT NULL, what TEXT NOT NULL, edgemed TEXT NOT NULL,
        bundle TEXT NOT NULL, version TEXT NOT NULL, digest TEXT NOT NULL, decision_version INTEGER NOT NULL,
        backend TEXT NOT NULL, target TEXT NOT NULL, member TEXT NOT NULL);
    CREATE TABLE results (
        id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs (id), at_ms INTEGER NOT NULL, subject TEXT,
        frame INTEGER, time_ms REAL, decision TEXT NOT NULL, state TEXT, score REAL, logit TEXT, label_scores TEXT,
        operating_point TEXT, threshold REAL, refusal TEXT, reasons TEXT, ood_distance REAL, latency_ms TEXT);
    CREATE TABLE changes (
        id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs (id), at_ms INTEGER NOT NULL,
        event TEXT NOT NULL, state TEXT, frame INTEGER, time_ms REAL);
    CREATE INDEX results_by_subject ON results (subject);
    """,
)
SCHEMA: Final = len(_MIGRATIONS)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much is kept; the oldest go first.

    Attributes:
        age_days: by the device's clock, for rows that were written when it was set.
        size_bytes: of what the database holds; the log beside it has 4 MiB more.
    """

    age_days: float = 365.0
    size_bytes: int = 256 << 20

    def __post_init__(self) -> None:
        if self.age_days <= 0 or self.size_bytes < 1 << 16:
            raise ValueError(f"expected an age above 0 and at least 64 KiB, got {self}")


def open_at(path: Path) -> Connection:
    """Return the database of a path, made if it is not there, for one thread.

    Raises:
        DeviceError: it cannot be opened, is of a newer edgemed, of something else, or damaged.
    """
    import sqlite3

    try:
        _keep_private(path)
        # Transactions are begun by name: Python would begin one before each change, and none before the rest.
        connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, OSError) as err:
        raise DeviceError(worded(path, err)) from err
    return connection


def trim(connection: Connection, limits: Limits, *, now_ms: int) -> None:
    """Remove the oldest rows that are too old, or too many for the size; inside no transaction.

    Rows go in the order in which they were written, up to the first that is young enough. The age is what the device's
    clock makes of it: one that jumps ahead by more than the limit costs the rows of before.
    """
    oldest_ms = now_ms - int(limits.age_days * _DAY_MS)
    for table in ("results", "changes"):
        keep = f"SELECT min(id) FROM {table} WHERE at_ms >= ?"
        # Nothing young enough: the clock may have jumped ahead, and age alone empties no table.
        connection.execute(f"DELETE FROM {table} WHERE id < coalesce(({keep}), 0)", (oldest_ms,))
    while _size_bytes(connection) > limits.size_bytes and _remove_oldest(connection):
        pass
    connection.execute(
        "DELETE FROM runs WHERE id < (SELECT max(id) FROM runs) AND id NOT IN (SELECT run FROM results) "
        "AND id NOT IN (SELECT run FROM changes)"
    )


@contextlib.contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """Do all of a block's changes, durably, or none of them."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk ends the transaction by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def worded(path: Path, err: Exception) -> str:
    """Return why the results cannot be written, in one sentence."""
    words = getattr(err, "strerror", None) or err
    return f"{path}: results cannot be written: {words}; check the disk, its free space and its permissions"


def _remove_oldest(connection: Connection) -> int:
    removed = 0
    for table in ("results", "changes"):
        rows = f"SELECT id FROM {table} ORDER BY id LIMIT {_TRIMMED_ROWS}"
        removed += connection.execute(f"DELETE FROM {table} WHERE id IN ({rows})").rowcount
    return removed


def _size_bytes(connection: Connection) -> int:
    """Return what the rows take: pages that are free again are filled before the file grows."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _prepare(connection: Connection, path: Path) -> None:
    application, version = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    if application not in (0, APPLICATION_ID) or (application == 0 and version):
        raise DeviceError(f"{path}: is a database of something else; move it away")
    if version > SCHEMA:
        raise DeviceError(
            f"{path}: schema: expected at most {SCHEMA}, got {version}: results were written by a newer edgemed; use "
            "that one, or move the file away"
        )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
    if version < SCHEMA:
        _migrate(connection)


def _migrate(connection: Connection) -> None:
    with transaction(connection):
        # Asked again: another process may have done it since.
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        for text in _MIGRATIONS[version:]:
            for statement in filter(str.strip, text.split(";")):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA}")


def _keep_private(path: Path) -> None:
    """Make the file first, so that SQLite gives its logs the same mode."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        ownership.like_folder(path)
