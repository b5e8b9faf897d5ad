"""Records of a run: what is audited, several writers of one log, and logs that must not be written to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from datetime import datetime, timezone
from pathlib import Path

import pytest

from edgemed.bundle import keys
from edgemed.errors import ConfigError
from edgemed.records import audit, export, places, reading
from edgemed.records.auditor import Auditor
from edgemed.records.log import AuditLog
from edgemed.records.pseudonym import Subject
from edgemed.records.recording import Recording
from tests.records.test_results import RESULT, RUN, rows

ROOT = Path(__file__).resolve().parents[2]
KEY = keys.PrivateKey(seed=bytes(range(32)))
NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for name in ("records", "identity"):
        (tmp_path / "store" / name).mkdir(parents=True)
    keys.write_new(tmp_path / "store" / "identity" / "signing.key", KEY, passphrase=None)
    return tmp_path / "store"


def entries(store: Path) -> list[audit.Entry]:
    whole = reading.read(store / places.AUDIT, keys=[KEY.public])
    return [audit.parse(line, source="") for line in whole.lines]


def test_alerts_and_refusals_of_images_are_audited_and_every_result_kept(store: Path) -> None:
    with Recording(store, run=RUN, tell=pytest.fail) as recording:
        for decision in ("alert", "clear", "indeterminate", "refused"):
            took_ms = recording.record({**RESULT, "decision": decision}, subject=Subject(instance="1.2"))
            assert took_ms >= 0
    assert recording.complete
    assert [entry.kind for entry in entries(store)] == ["alert", "refused"]
    ((subject, count),) = rows(store / places.RESULTS, "SELECT subject, count(*) FROM results")
    assert (entries(store)[0].facts["subject"], count) == (subject, 4)
    assert entries(store)[0].facts["digest"] == RUN.digest


def test_of_a_stream_the_changes_are_audited_and_not_its_frames(store: Path) -> None:
    with Recording(store, run=RUN, tell=pytest.fail) as recording:
        recording.record({**RESULT, "state": "alert"})
        recording.record({"event": "raised", "state": "alert", "frame": 3, "time_ms": 9.0, "detail": "/data/DOE"})
    (entry,) = entries(store)
    assert (entry.kind, dict(entry.facts)) == (
        "watch-raised",
        {"state": "alert", "frame": 3, "time_ms": 9.0, "notify": None},
    )


def test_run_with_nothing_to_say_writes_nothing(store: Path) -> None:
    Recording(store, run=RUN, tell=pytest.fail).close()
    assert list((store / "records").iterdir()) == []


def test_store_without_keys_is_told_and_incomplete(store: Path) -> None:
    (store / "identity" / "signing.key").unlink()
    told: list[str] = []
    with Recording(store, run=RUN, tell=told.append) as recording:
        recording.record(RESULT)
    assert not recording.complete
    path = store / "identity" / "signing.key"
    assert told == [f"audit log: {path}: cannot be read: No such file or directory; check the path and its permissions"]


def test_tampered_log_is_told_and_not_written_to(store: Path) -> None:
    with Recording(store, run=RUN, tell=pytest.fail) as recording:
        recording.record(RESULT)
    (segment,) = (store / places.AUDIT).glob("*.jsonl")
    segment.write_bytes(segment.read_bytes().replace(b'"score":0.9', b'"score":0.1'))
    before, told = segment.read_bytes(), list[str]()
    with Recording(store, run=RUN, tell=told.append) as recording:
        recording.record(RESULT)
    assert told == ["audit log: audit: entry 1: is not the line that was signed; the log was written anew"]
    assert segment.read_bytes() == before
    assert not recording.complete


def test_two_writers_take_turns(tmp_path: Path) -> None:
    first, second = (AuditLog.open(tmp_path / "audit", KEY) for _ in range(2))
    for number in range(3):
        for log in (first, second):
            log.append("note", {"number": number}, now=NOW)
            log.seal()
    assert reading.verify(tmp_path / "audit", keys=[KEY.public]).last == 6


def test_lines_that_another_writer_left_unsealed_stay(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    first = AuditLog.open(folder, KEY)
    first.append("note", {}, now=NOW)
    first.seal()
    head = (folder / reading.HEAD).read_bytes()
    with AuditLog.open(folder, KEY) as second:
        second.append("other", {}, now=NOW)
    (folder / reading.HEAD).write_bytes(head)  # as if its power went before it could sign
    first.append("note", {}, now=NOW)
    first.seal()
    whole = reading.read(folder, keys=[KEY.public])
    assert [audit.parse(line, source="").kind for line in whole.lines] == ["note", "other", "note"]


def test_what_the_disk_refuses_is_written_once_it_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    plain, full = os.fsync, threading.Event()

    def sync(descriptor: int) -> None:
        if full.is_set():
            raise OSError(28, "No space left on device")
        plain(descriptor)

    monkeypatch.setattr("os.fsync", sync)
    full.set()
    auditor = Auditor(tmp_path / "audit", lambda: KEY, tell=told.append)
    auditor.note("alert", {"frame": 1})
    pause = threading.Event()
    while not told:
        pause.wait(0.005)
    assert auditor.counts().failed == 1
    full.clear()
    auditor.note("alert", {"frame": 2})
    auditor.close(within_s=5.0)
    assert told == [
        f"audit log: {tmp_path / 'audit'}: the audit log cannot be written: No space left on device; check permissions "
        "and free space",
        "audit log: works again",
    ]
    assert auditor.counts().delivered == 2
    assert reading.verify(tmp_path / "audit", keys=[KEY.public]).last == 2


WRITER = """
import sys
from pathlib import Path
from edgemed.records.log import AuditLog, Bounds
from tests.records.test_recording import KEY, NOW
log = AuditLog.open(Path(sys.argv[1]), KEY, bounds=Bounds(segment_bytes=2000, segments=3))
print("ready", flush=True)
while True:
    log.append("note", {"text": "x" * 100}, now=NOW)
    log.append("note", {"text": "y" * 100}, now=NOW)
    log.seal()
"""


def test_log_verifies_after_a_kill_in_the_middle_of_a_write(tmp_path: Path) -> None:
    folder, last = tmp_path / "audit", 0
    for delay_s in (0.0, 0.031, 0.077, 0.143):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], cwd=ROOT, stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        threading.Event().wait(delay_s)
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
        if not (folder / reading.HEAD).exists():
            continue
        found = reading.verify(folder, keys=[KEY.public])
        assert found.last >= last
        last = found.last
    assert last > 0


def test_export_is_checked_anywhere_and_never_overwrites(store: Path, tmp_path: Path) -> None:
    with Recording(store, run=RUN, tell=pytest.fail) as recording:
        recording.record(RESULT)
    whole = reading.read(store / places.AUDIT, keys=[KEY.public])
    out, public = tmp_path / "out", store / "identity" / "signing.pub"
    export.write(whole, out, public=public)
    assert reading.verify(out, keys=[keys.read_public(out / "signing.pub")]) == whole.verified
    assert export.document(whole)["entries"][0]["kind"] == "alert"
    with pytest.raises(ConfigError) as refusal:
        export.write(whole, out, public=public)
    assert str(refusal.value) == f"--out: {out}: exists already; exports are never overwritten, choose another"
