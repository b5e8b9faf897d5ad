"""What a run writes down in a store: every result, and in the audit log what somebody may ask for later.

    STORE/records/results.sqlite3     `edgemed.records.results`
    STORE/records/audit/              `edgemed.records.log`
    STORE/records/queues/             what waits for webhooks, `edgemed.runtime.sinks.spool`
    STORE/identity/records.key        the key for pseudonyms, made at first use
    STORE/identity/signing.key        the device's own, which signs the audit log

Rules: nothing here delays or ends a screening: what cannot be written is told once and counted, and
`Recording.complete` says so in the end. Audited are the alerts and refusals of single images, and of a stream its
changes of state: its refused frames come thirty a second.

    with Recording(store, run=run, tell=output.note) as recording:
        recording.record(document, subject=Subject(instance=frame.instance, path=path))
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from edgemed import files
from edgemed.bundle import keys
from edgemed.bundle.keys import PrivateKey
from edgemed.errors import DeviceError
from edgemed.records import pseudonym
from edgemed.records.audit import Fact
from edgemed.records.auditor import Auditor
from edgemed.records.pseudonym import NOBODY, Pseudonyms, Subject
from edgemed.records.results import Limits, Recorder, Run
from edgemed.runtime import worker
from edgemed.runtime.worker import Tell

__all__ = ["AUDIT", "QUEUES", "RECORDS", "RESULTS", "Recording", "is_wanted", "signing_key"]

RECORDS = "records"
AUDIT = f"{RECORDS}/audit"
RESULTS = f"{RECORDS}/results.sqlite3"
QUEUES = f"{RECORDS}/queues"
_NO_KIND = re.compile(r"[^a-z0-9-]")
_AUDITED = ("alert", "refused")


def is_wanted(store: Path) -> bool:
    """Tell whether a run in a store writes records when nobody says: where it has a folder for them."""
    return (store / RECORDS).is_dir()


def signing_key(store: Path) -> PrivateKey:
    """Return the key by which the device signs its audit log.

    Raises:
        DeviceError: this user may not read it, or it is missing.
        ConfigError: it is damaged.
    """
    path = store / "identity" / "signing.key"
    raw = files.read_bounded(path, limit_bytes=keys.KEY_LIMIT_BYTES, error=DeviceError)
    return keys.parse_private(raw, passphrase=None, source=str(path))


class Recording:
    """Results and audit log of one run; `record` and `note` never wait."""

    def __init__(self, store: Path, *, run: Run, tell: Tell, limits: Limits | None = None) -> None:
        """Start; nothing is opened before there is something to write.

        Args:
            store: folder of a device store.
            run: what judges.
            tell: takes a sentence when records fail, and when they work again; called from other threads.
            limits: how many results are kept.
        """
        self._run = run
        self._names = functools.cache(lambda: Pseudonyms(pseudonym.read_or_make(store / "identity" / "records.key")))
        self._recorder = Recorder(store / RESULTS, self._names, limits, run=run, tell=tell)
        self._auditor = Auditor(store / AUDIT, functools.partial(signing_key, store), tell=tell)

    def __enter__(self) -> Recording:
        """Return the recording itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Write what is waiting, and end."""
        self.close()

    def record(self, document: Mapping[str, object], *, subject: Subject = NOBODY) -> float:
        """Hand over a decided frame or a change of state, and return how long that took, in milliseconds.

        Args:
            document: as ``screen --json`` and ``watch --json`` print them, with ``refusal`` beside.
            subject: what identifies the image.
        """
        start = time.perf_counter()
        self._recorder.record(document, subject=subject)
        if "event" in document:
            self._auditor.note("watch-" + _NO_KIND.sub("-", str(document["event"])), _facts_of_change(document))
        elif document["decision"] in _AUDITED and document.get("state") is None:
            facts = functools.partial(self._facts_of_result, dict(document), subject)
            self._auditor.note(str(document["decision"]), facts)
        return 1e3 * (time.perf_counter() - start)

    def note(self, kind: str, facts: Mapping[str, Fact]) -> None:
        """Write something else into the audit log; never patient data."""
        self._auditor.note(kind, {**facts, **self._bundle()})

    def close(self, *, within_s: float = 5.0) -> None:
        """Write what is waiting, for at most ``within_s`` in all, and end."""
        until = worker.deadline(within_s)
        self._auditor.finish()
        self._recorder.close(within_s=worker.remaining(until))
        self._auditor.close(within_s=worker.remaining(until))

    @property
    def complete(self) -> bool:
        """Whether all that was handed over is written; asked after `close`."""
        return not any(
            counts.failed or counts.dropped or counts.waiting
            for counts in (self._recorder.counts(), self._auditor.counts())
        )

    def _facts_of_result(self, document: Mapping[str, object], subject: Subject) -> Mapping[str, Fact]:
        facts = {name: _fact(document.get(name)) for name in ("frame", "score", "refusal")}
        return {"subject": self._names().of(subject), **facts, **self._bundle()}

    def _bundle(self) -> Mapping[str, Fact]:
        run = self._run
        return {"bundle": run.bundle, "digest": run.digest, "decision_version": run.decision_version}


def _facts_of_change(document: Mapping[str, object]) -> Mapping[str, Fact]:
    return {name: _fact(document.get(name)) for name in ("state", "frame", "time_ms", "notify")}


def _fact(value: object) -> Fact:
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
