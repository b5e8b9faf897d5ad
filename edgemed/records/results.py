"""Results of a device, written down off the frame path: what was decided, by which bundle, and never for whom.

    RECORDS/results.sqlite3      tables runs, results, changes; see `edgemed.records.database`

Of an image only a keyed hash is kept (`edgemed.records.pseudonym`); no name of a file, and no reason that may quote
one.

    with Recorder(folder / "results.sqlite3", names, Limits(), run=run, tell=print) as recorder:
        recorder.record({"frame": 0, "decision": "alert", "score": 0.93}, subject=Subject(path=path))
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from edgemed.errors import DeviceError
from edgemed.records import database
from edgemed.records.database import Limits
from edgemed.records.pseudonym import NOBODY, Pseudonyms, Subject
from edgemed.runtime.worker import Counts, DeliveryError, Tell, Worker

if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = ["Limits", "Recorder", "Run"]

_GATHER_S = 0.25  # at most four commits a second: each costs a flash memory a block
_WAITING = 4096
_TRIM_EVERY = 500  # rows
# Reasons for these quote numbers and codes; others may quote the name of a file.
_HARMLESS = ("modality", "quality", "distance")
_RESULT = (
    "INSERT INTO results (run, at_ms, subject, frame, time_ms, decision, state, score, logit, label_scores, "
    "operating_point, threshold, refusal, reasons, ood_distance, latency_ms) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_CHANGE = "INSERT INTO changes (run, at_ms, event, state, frame, time_ms) VALUES (?, ?, ?, ?, ?, ?)"
_RUN = (
    "INSERT INTO runs (began_ms, what, edgemed, bundle, version, digest, decision_version, backend, target, member) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What judges, for all results of a process.

    Attributes:
        what: the command, ``screen`` or ``watch``.
        edgemed: version of this package.
        bundle, version, digest: of the bundle.
    """

    what: str
    edgemed: str
    bundle: str
    version: str
    digest: str
    decision_version: int
    backend: str
    target: str
    member: str


@dataclass(frozen=True, kw_only=True)
class _Item:
    document: Mapping[str, object]
    subject: Subject
    at_ms: int


class Recorder:
    """Writes results down, in a thread of its own; `record` is for any thread and never waits."""

    def __init__(
        self,
        path: Path,
        names: Callable[[], Pseudonyms],
        limits: Limits | None = None,
        *,
        run: Run,
        tell: Tell,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Start; the database is opened by the thread, and what is wrong with it is told.

        Args:
            path: of the database; made if it is not there.
            names: returns what makes pseudonyms, or raises `DeviceError`; called by the thread.
            limits: how much is kept.
            run: what judges.
            tell: takes a sentence when records fail, and when they work again.
            clock: seconds since 1970, as the device has it; it may jump.
        """
        self._clock = clock
        sink = _Rows(path, names, limits or Limits(), run, clock)
        self._worker: Worker[_Item] = Worker(sink, name="records", tell=tell, waiting=_WAITING, gather_s=_GATHER_S)

    def __enter__(self) -> Recorder:
        """Return the recorder itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Write what is waiting, and end."""
        self.close()

    def record(self, document: Mapping[str, object], *, subject: Subject = NOBODY) -> None:
        """Write down a decided frame or, where the document has an ``event``, a change of state.

        Args:
            document: as ``screen --json`` and ``watch --json`` print them; keys beyond the table's are left out.
            subject: what identifies the image.
        """
        self._worker.offer(_Item(document=dict(document), subject=subject, at_ms=int(1e3 * self._clock())))

    def close(self, *, within_s: float = 5.0) -> None:
        """Write what is waiting, for at most ``within_s``, and end."""
        self._worker.close(within_s=within_s)

    def counts(self) -> Counts:
        """Return what became of the documents so far."""
        return self._worker.counts()


class _Rows:
    """The sink: items gather until `settle` writes them in one transaction; opened again where it had failed."""

    def __init__(
        self, path: Path, names: Callable[[], Pseudonyms], limits: Limits, run: Run, clock: Callable[[], float]
    ) -> None:
        self._path, self._names, self._limits, self._run, self._clock = path, names, limits, run, clock
        self._connection: Connection | None = None
        self._run_id = 0
        self._pending: list[_Item] = []
        self._untrimmed = _TRIM_EVERY  # what an earlier process has left is trimmed at once

    def deliver(self, item: _Item) -> None:
        """Keep an item for the next transaction: other processes write between two of them."""
        self._pending.append(item)

    def settle(self) -> None:
        """Write what has gathered, so that it survives a power cut, and keep to the limits.

        Raises:
            DeliveryError: the database or the key cannot be had, or the disk refuses; what has gathered is lost.
        """
        import sqlite3

        items, self._pending = self._pending, []
        if not items:
            return
        try:
            self._write(items)
        except DeviceError as err:
            self._forget()
            raise DeliveryError(str(err), lost=len(items)) from err
        except sqlite3.Error as err:
            self._forget()
            raise DeliveryError(database.worded(self._path, err), lost=len(items)) from err

    def abort(self) -> None:
        """Do nothing: a write that hangs in the kernel ends with the disk."""

    def close(self) -> None:
        """Close the database."""
        self._forget()

    def _write(self, items: Sequence[_Item]) -> None:
        names = self._names()
        rows = [_row(item, names) for item in items]
        if self._connection is None:
            self._connection = database.open_at(self._path)
        with database.transaction(self._connection):
            run_id = self._run_id or _added(self._connection, self._run, at_ms=items[0].at_ms)
            for statement, values in rows:
                self._connection.execute(statement, (run_id, *values))
        self._run_id = run_id
        self._untrimmed += len(items)
        if self._untrimmed >= _TRIM_EVERY:
            database.trim(self._connection, self._limits, now_ms=int(1e3 * self._clock()))
            self._untrimmed = 0

    def _forget(self) -> None:
        """Let go of the database; the next transaction opens it anew."""
        import sqlite3

        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        # The file may be another one by then: the run is entered again.
        self._connection, self._run_id = None, 0


def _added(connection: Connection, run: Run, *, at_ms: int) -> int:
    """Enter a run, and return its number."""
    row = (at_ms, run.what, run.edgemed, run.bundle, run.version, run.digest, run.decision_version)
    return connection.execute(_RUN, (*row, run.backend, run.target, run.member)).lastrowid or 0


def _row(item: _Item, names: Pseudonyms) -> tuple[str, list[object]]:
    """Return the statement for an item, and its values behind the run."""
    if "event" in item.document:
        return _CHANGE, [item.at_ms, *(item.document.get(name) for name in ("event", "state", "frame", "time_ms"))]
    return _RESULT, [item.at_ms, names.of(item.subject), *_columns(item.document)]


def _columns(document: Mapping[str, object]) -> list[object]:
    """Return the values of a result from ``frame`` on, in the order of the table."""
    refusal = document.get("refusal")
    reasons = document.get("reasons") if refusal in _HARMLESS else None
    plain = [document.get(name) for name in ("frame", "time_ms", "decision", "state", "score")]
    return [
        *plain,
        _json(document.get("logit")),
        _json(document.get("label_scores")),
        document.get("operating_point"),
        document.get("threshold"),
        refusal,
        _json(reasons),
        document.get("ood_distance"),
        _json(_known(document.get("latency_ms"))),
    ]


def _known(latency_ms: Any) -> Any:
    """Leave out the time of the record itself, which is not over yet."""
    if not isinstance(latency_ms, dict):
        return None
    return {name: value for name, value in latency_ms.items() if name != "record"}


def _json(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
