"""The audit log off the frame path: entries go into a queue, a thread writes and seals them.

Rules: what the disk refuses waits and is tried again with the next entries; a log that was tampered with, or is another
device's, is told and not written to.

    with Auditor(folder, signing_key, tell=print) as auditor:
        auditor.note("alert", {"frame": 3})
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType

from edgemed.bundle.keys import PrivateKey
from edgemed.errors import BundleError, ConfigError, DeviceError
from edgemed.records.audit import Fact
from edgemed.records.log import AuditLog
from edgemed.runtime.worker import Counts, DeliveryError, Tell, Worker

__all__ = ["Auditor"]

_GATHER_S = 0.25  # a seal costs a signature and four syncs
_WAITING = 4096

Facts = Mapping[str, Fact] | Callable[[], Mapping[str, Fact]]


@dataclass(frozen=True, kw_only=True)
class _Item:
    kind: str
    facts: Facts
    now: datetime


def _now() -> datetime:
    return datetime.now(timezone.utc)


class Auditor:
    """Writes entries, in a thread of its own; `note` is for any thread and never waits."""

    def __init__(
        self, folder: Path, key: Callable[[], PrivateKey], *, tell: Tell, clock: Callable[[], datetime] = _now
    ) -> None:
        """Start; the log is opened by the thread, and what is wrong with it is told.

        Args:
            folder: of the log; made if it is not there.
            key: returns the device's signing key, or raises `DeviceError` or `ConfigError`; called by the thread.
            tell: takes a sentence when the log fails, and when it works again.
            clock: the device's time, for people.
        """
        self._clock = clock
        self._entries = _Entries(folder, key)
        self._worker: Worker[_Item] = Worker(
            self._entries, name="audit log", tell=tell, waiting=_WAITING, gather_s=_GATHER_S
        )

    def __enter__(self) -> Auditor:
        """Return the auditor itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Seal what is waiting, and end."""
        self.close()

    def note(self, kind: str, facts: Facts) -> None:
        """Write down what happened; never patient data.

        Args:
            kind: lower-case words with hyphens.
            facts: or what returns them, called by the thread.
        """
        self._worker.offer(_Item(kind=kind, facts=facts, now=self._clock()))

    def finish(self) -> None:
        """Take no more entries; those that wait are sealed."""
        self._worker.finish()

    def close(self, *, within_s: float = 5.0) -> None:
        """Seal what is waiting, for at most ``within_s``, and end."""
        self._worker.close(within_s=within_s)

    def counts(self) -> Counts:
        """Return what became of the entries so far; those that the disk refuses count as failed until it takes them."""
        counts, unsealed = self._worker.counts(), self._entries.unsealed
        return dataclasses.replace(counts, delivered=counts.delivered - unsealed, failed=counts.failed + unsealed)


class _Entries:
    """The sink: entries gather until `settle` seals them."""

    def __init__(self, folder: Path, key: Callable[[], PrivateKey]) -> None:
        self._folder, self._key = folder, key
        self._log: AuditLog | None = None
        self._pending: deque[_Item] = deque()

    @property
    def unsealed(self) -> int:
        """How many entries wait."""
        return len(self._pending) + (0 if self._log is None else self._log.waiting)

    def deliver(self, item: _Item) -> None:
        """Keep an entry for the next seal."""
        self._pending.append(item)

    def settle(self) -> None:
        """Seal what has gathered.

        Raises:
            DeliveryError: the disk refuses, and entries wait; or the log was tampered with.
        """
        try:
            if self._log is None:
                if not self._pending:
                    return
                self._log = AuditLog.open(self._folder, self._key())
            self._move(self._log)
            self._log.seal()
        except (BundleError, ConfigError, DeviceError) as err:
            raise DeliveryError(str(err), lost=self._bound()) from err

    def abort(self) -> None:
        """Do nothing: a write that hangs in the kernel ends with the disk."""

    def close(self) -> None:
        """Do nothing: the log holds no file open."""

    def _move(self, log: AuditLog) -> None:
        while self._pending and log.waiting < _WAITING:
            item = self._pending[0]
            log.append(item.kind, item.facts() if callable(item.facts) else item.facts, now=item.now)
            self._pending.popleft()

    def _bound(self) -> int:
        lost = max(0, len(self._pending) - _WAITING)
        for _ in range(lost):
            self._pending.popleft()
        return lost
