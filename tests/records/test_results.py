"""Results: what is written down and what is not, the bounds, and every way in which a disk lets one down."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edgemed.errors import DeviceError
from edgemed.records import database, pseudonym
from edgemed.records.pseudonym import Pseudonyms, Subject
from edgemed.records.results import Limits, Recorder, Run
from edgemed.runtime.worker import Counts

ROOT = Path(__file__).resolve().parents[2]
NAMES = Pseudonyms(bytes(32))
DAY_MS = 86_400_000
RUN = Run(
    what="screen",
    edgemed="0.1.0",
    bundle="chest-xray",
    version="1.0.0",
    digest="sha256:" + "0" * 64,
    decision_version=1,
    backend="litert",
    target="generic-x86-64",
    member="model/int8.tflite",
)
RESULT = {
    "input": "/data/DOE^JANE/scan.dcm",
    "frame": 2,
    "decision": "alert",
    "score": 0.9,
    "logit": (2.0,),
    "operating_point": "rule-out",
    "threshold": 0.4,
    "reasons": (),
    "refusal": None,
    "ood_distance": 0.5,
    "latency_ms": {"decode": 1.0, "record": 0.0},
}


def recorder(path: Path, told: list[str] | None = None, limits: Limits | None = None, now_s: float = 1e9) -> Recorder:
    said = [] if told is None else told
    return Recorder(path, lambda: NAMES, limits, run=RUN, tell=said.append, clock=lambda: now_s)


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def test_result_is_written_with_its_run_and_without_its_name(tmp_path: Path) -> None:
    path = tmp_path / "r.sqlite3"
    with recorder(path) as opened:
        opened.record(RESULT, subject=Subject(instance="1.2.3"))
    found = rows(
        path,
        "SELECT at_ms, subject, frame, decision, score, logit, refusal, latency_ms, digest FROM results "
        "JOIN runs ON runs.id = run",
    )
    subject = NAMES.of(Subject(instance="1.2.3"))
    assert found == [(10**12, subject, 2, "alert", 0.9, "[2.0]", None, '{"decode":1.0}', RUN.digest)]
    raw = b"".join(one.read_bytes() for one in tmp_path.iterdir())
    assert b"DOE" not in raw
    assert b"1.2.3" not in raw
    assert opened.counts() == Counts(delivered=1)


def test_change_of_state_has_a_table_of_its_own(tmp_path: Path) -> None:
    with recorder(tmp_path / "r") as opened:
        opened.record({"event": "raised", "state": "alert", "frame": 7, "time_ms": 12.5, "detail": "/data/DOE"})
    assert rows(tmp_path / "r", "SELECT event, state, frame, time_ms FROM changes") == [("raised", "alert", 7, 12.5)]


REASONS = {"quality": '["too dark"]', "modality": '["too dark"]', "distance": '["too dark"]', "unreadable": None}


@pytest.mark.parametrize(("refusal", "kept"), REASONS.items(), ids=REASONS)
def test_reason_that_may_quote_a_name_is_left_out(tmp_path: Path, refusal: str, kept: str | None) -> None:
    with recorder(tmp_path / "r") as opened:
        opened.record({**RESULT, "decision": "refused", "refusal": refusal, "reasons": ("too dark",)})
    assert rows(tmp_path / "r", "SELECT refusal, reasons FROM results") == [(refusal, kept)]


def test_database_is_durable_private_and_marked(tmp_path: Path) -> None:
    path = tmp_path / "r"
    with closing(database.open_at(path)) as connection:
        settings = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
        assert settings == ["wal", 2]  # 2 is FULL
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    assert path.stat().st_mode & 0o777 == 0o600
    assert rows(path, "PRAGMA user_version") == [(database.SCHEMA,)]
    assert rows(path, "PRAGMA application_id") == [(database.APPLICATION_ID,)]


def filled(path: Path, ages_days: list[float]) -> sqlite3.Connection:
    connection = database.open_at(path)
    connection.execute(
        "INSERT INTO runs (began_ms, what, edgemed, bundle, version, digest, decision_version, backend, target, member)"
        " VALUES (0, '', '', '', '', '', 1, '', '', '')"
    )
    with database.transaction(connection):
        for age in ages_days:
            at_ms = int(DAY_MS * (1000 - age))
            connection.execute("INSERT INTO results (run, at_ms, decision) VALUES (1, ?, 'clear')", (at_ms,))
    return connection


def test_rows_that_are_too_old_go(tmp_path: Path) -> None:
    with closing(filled(tmp_path / "r", [9, 5, 3, 1])) as connection:
        database.trim(connection, Limits(age_days=4), now_ms=1000 * DAY_MS)
        assert connection.execute("SELECT id FROM results").fetchall() == [(3,), (4,)]


def test_clock_that_jumps_ahead_empties_nothing_by_itself(tmp_path: Path) -> None:
    with closing(filled(tmp_path / "r", [3, 1])) as connection:
        database.trim(connection, Limits(age_days=4), now_ms=9000 * DAY_MS)
        assert connection.execute("SELECT count(*) FROM results").fetchone() == (2,)


def test_oldest_rows_go_when_there_are_too_many(tmp_path: Path) -> None:
    with closing(filled(tmp_path / "r", [1.0] * 20_000)) as connection:
        limits = Limits(size_bytes=1 << 18)
        database.trim(connection, limits, now_ms=1000 * DAY_MS)
        oldest, newest, count = connection.execute("SELECT min(id), max(id), count(*) FROM results").fetchone()
        assert newest == 20_000
        assert count == newest - oldest + 1 > 1000
        pages, free = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
        assert (pages - free) * 4096 <= limits.size_bytes


def test_run_without_results_goes_with_them(tmp_path: Path) -> None:
    with closing(filled(tmp_path / "r", [9])) as connection:
        connection.execute(
            "INSERT INTO runs SELECT 2, began_ms, what, edgemed, bundle, version, digest, 1, '', '', '' FROM runs"
        )
        connection.execute("DELETE FROM results")
        database.trim(connection, Limits(), now_ms=1000 * DAY_MS)
        assert connection.execute("SELECT id FROM runs").fetchall() == [(2,)]


def test_newer_schema_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    path, told = tmp_path / "r", list[str]()
    database.open_at(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 9")
    before = path.read_bytes()
    with recorder(path, told) as opened:
        opened.record(RESULT)
        opened.record(RESULT)
    assert told == [
        f"records: {path}: schema: expected at most 1, got 9: results were written by a newer edgemed; use that one, "
        "or move the file away"
    ]
    assert (opened.counts().failed, path.read_bytes()) == (2, before)


def test_database_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA application_id = 7")
    with pytest.raises(DeviceError) as refusal:
        database.open_at(path)
    assert str(refusal.value) == f"{path}: is a database of something else; move it away"


def test_damaged_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(DeviceError) as refusal:
        database.open_at(path)
    assert str(refusal.value) == (
        f"{path}: results cannot be written: file is not a database; check the disk, its free space and its permissions"
    )


def test_missing_folder_is_told_once_and_counted(tmp_path: Path) -> None:
    path, told = tmp_path / "gone" / "r", list[str]()
    with recorder(path, told) as opened:
        for _ in range(3):
            opened.record(RESULT)
    assert opened.counts() == Counts(failed=3)
    assert told == [
        f"records: {path}: results cannot be written: No such file or directory; check the disk, its free space and "
        "its permissions"
    ]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of 256 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    mounted = subprocess.run(words, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("a small file system needs root, and the right to mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_is_told_and_what_was_written_stays(small_disk: Path) -> None:
    path, told = small_disk / "r", list[str]()
    with recorder(path, told) as opened:
        opened.record(RESULT)
    stuffing = small_disk / "stuffing"
    with stuffing.open("wb", buffering=0) as stream, pytest.raises(OSError, match="No space left"):
        while True:
            stream.write(b"x" * 4096)
    with recorder(path, told) as opened:
        for _ in range(200):
            opened.record(RESULT)
    assert opened.counts() == Counts(failed=200)
    assert len(told) == 1
    assert told[0].startswith(f"records: {path}: results cannot be written: ")
    stuffing.unlink()
    with recorder(path, told) as opened:
        opened.record(RESULT)
    assert (rows(path, "SELECT count(*) FROM results"), len(told)) == ([(2,)], 1)


WRITER = """
import sys
from tests.records.test_results import RESULT, recorder
from pathlib import Path
opened = recorder(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    opened.record(RESULT)
"""


def test_results_open_after_a_kill_in_the_middle_of_a_write(tmp_path: Path) -> None:
    path, chance = tmp_path / "r", random.Random(3)
    written = 0
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], cwd=ROOT, stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        threading.Event().wait(chance.uniform(0.0, 0.15))
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
        with closing(database.open_at(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            count = connection.execute("SELECT count(*) FROM results").fetchone()[0]
        assert count >= written
        written = count


def test_image_is_the_same_by_its_uid_and_a_file_by_its_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "a.png", tmp_path / "b.png"
    one.write_bytes(b"picture")
    two.write_bytes(b"picture")
    assert NAMES.of(Subject(path=one)) == NAMES.of(Subject(path=two))
    assert NAMES.of(Subject(instance="1.2", path=one)) == NAMES.of(Subject(instance="1.2"))
    assert NAMES.of(Subject(instance="1.2")) != Pseudonyms(b"\1" * 32).of(Subject(instance="1.2"))
    two.write_bytes(b"another")
    assert NAMES.of(Subject(path=one)) != NAMES.of(Subject(path=two))


def test_what_is_no_file_has_no_pseudonym_and_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "gone"):
        assert NAMES.of(Subject(path=path)) is None
    assert NAMES.of(pseudonym.NOBODY) is None


def test_identifiers_are_not_shown() -> None:
    assert repr(Subject(instance="1.2.3", path=Path("/data/DOE"))) == "Subject()"


def test_key_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "records.key"
    key = pseudonym.read_or_make(path)
    assert pseudonym.read_or_make(path) == key
    assert (len(key), path.stat().st_mode & 0o777) == (32, 0o600)
    assert [found.name for found in tmp_path.iterdir()] == ["records.key"]


def test_damaged_key_is_told(tmp_path: Path) -> None:
    path = tmp_path / "records.key"
    path.write_text("abc\n")
    with pytest.raises(DeviceError) as refusal:
        pseudonym.read_or_make(path)
    assert str(refusal.value) == (
        f"{path}: expected 64 hex digits, got something else; put the key back from a copy, or remove the file: a new "
        "key is made, by which images of older records are not found again"
    )


def test_key_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "records.key"
    with pytest.raises(DeviceError) as refusal:
        pseudonym.read_or_make(path)
    assert str(refusal.value) == (
        f"{path}: the key for records cannot be made: No such file or directory; run as a user who may write the store"
    )
