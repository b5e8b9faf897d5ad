"""Sinks as they are opened and fed: stdout, a file, programs; each that fails leaves the others alone."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from edgemed.errors import ConfigError
from edgemed.runtime import sinks
from edgemed.runtime.sinks.file import File, FileSettings
from edgemed.runtime.sinks.stdout import Stdout
from edgemed.runtime.worker import DeliveryError
from tests.runtime.sinks.fakes import eventually

EVENT = {"event": "raised", "state": "alert", "frame": 12}
FRAME = {"frame": 12, "decision": "alert", "state": "alert"}


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_events_go_everywhere_and_frames_where_they_are_asked_for(tmp_path: Path) -> None:
    specs = [sinks.parse(f"file:{tmp_path}/events"), sinks.parse(f"file,frames:{tmp_path}/all")]
    with sinks.open_all(specs) as opened:
        assert opened.frames
        opened.send(EVENT)
        opened.send(FRAME)
    assert lines(tmp_path / "events") == [{"schema_version": 1, **EVENT}]
    assert [document["frame"] for document in lines(tmp_path / "all")] == [12, 12]
    assert [found.delivered for found in opened.statistics()] == [1, 2]


def test_nobody_who_takes_frames_means_none_is_needed(tmp_path: Path) -> None:
    with sinks.open_all([sinks.parse(f"file:{tmp_path}/events")]) as opened:
        assert not opened.frames


def test_one_that_cannot_be_opened_opens_none(tmp_path: Path) -> None:
    missing = tmp_path / "gone" / "x"
    with pytest.raises(ConfigError) as refusal:
        sinks.open_all([sinks.parse(f"file:{tmp_path}/a"), sinks.parse(f"file:{missing}")])
    assert str(refusal.value) == (
        f"sink 'file:{missing}': cannot be written: No such file or directory; choose another path"
    )


def test_file_is_turned_over_and_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a"
    sink = File(FileSettings(path=path, limit_bytes=100, keep=2), name="x")
    for number in range(10, 50):
        sink.deliver(b'{"frame":%d}' % number)
    sink.close()
    sizes = {found.name: found.stat().st_size for found in tmp_path.iterdir()}
    assert set(sizes) == {"a", "a.1", "a.2"}
    assert max(sizes.values()) <= 100
    kept = [document["frame"] for name in ("a.2", "a.1", "a") for document in lines(tmp_path / name)]
    assert kept == list(range(50 - len(kept), 50))


def test_file_without_older_ones_is_emptied(tmp_path: Path) -> None:
    sink = File(FileSettings(path=tmp_path / "a", limit_bytes=30, keep=0), name="x")
    for number in range(10, 15):
        sink.deliver(b'{"frame":%d}' % number)
    sink.close()
    assert [found.name for found in tmp_path.iterdir()] == ["a"]
    assert lines(tmp_path / "a")[-1] == {"frame": 14}


def test_line_that_a_cut_has_torn_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b'{"frame":1}\n{"fra')
    sink = File(FileSettings(path=path), name="x")
    sink.deliver(b'{"frame":2}')
    sink.close()
    assert path.read_bytes() == b'{"frame":1}\n{"fra\n{"frame":2}\n'


def test_line_that_the_disk_takes_in_part_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, plain = tmp_path / "a", os.write
    sink = File(FileSettings(path=path), name="x")
    sink.deliver(b"{}")

    def full(descriptor: int, raw: bytes) -> int:
        if len(raw) > 4:
            return plain(descriptor, raw[:4])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(DeliveryError) as refusal:
            sink.deliver(b'{"a":1}')
    assert str(refusal.value) == "cannot be written: No space left on device; check the disk"
    sink.deliver(b"[]")
    sink.close()
    assert path.read_bytes() == b"{}\n[]\n"


def test_stdout_whose_reader_has_gone_is_told() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with pytest.raises(DeliveryError) as refusal:
            Stdout(writer).deliver(b"{}")
    finally:
        os.close(writer)
    assert str(refusal.value) == "cannot be written: Broken pipe"


def test_program_gets_the_document_and_no_shell(tmp_path: Path) -> None:
    out = tmp_path / "out; touch x"
    text = "command:" + json.dumps(["/bin/sh", "-c", 'cat > "$1"', "sh", str(out)])
    with sinks.open_all([sinks.parse(text)]) as opened:
        opened.send({**EVENT, "detail": "$(touch y)"})
        assert eventually(lambda: opened.statistics()[0].delivered == 1)
    assert json.loads(out.read_bytes())["detail"] == "$(touch y)"
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_program_that_fails_is_told_once(tmp_path: Path) -> None:
    told: list[str] = []
    text = 'command:["/bin/sh", "-c", "exit 3"]'
    with sinks.open_all([sinks.parse(text)], tell=told.append) as opened:
        opened.send(EVENT)
        opened.send(EVENT)
    assert opened.statistics()[0].failed == 2
    assert told == [f"{text}: ended with code 3, expected 0"]


def test_program_that_hangs_is_killed_with_all_it_has_started(tmp_path: Path) -> None:
    told: list[str] = []
    pid = tmp_path / "pid"
    # The child of the shell would live on if the shell alone were killed.
    text = "command,timeout=0.3:" + json.dumps(["/bin/sh", "-c", f"sleep 60 & echo $! > {pid}; wait"])
    with sinks.open_all([sinks.parse(text)], tell=told.append) as opened:
        opened.send(EVENT)
        assert eventually(lambda: opened.statistics()[0].failed == 1)
    assert told == [f"{text}: took longer than 0.3 s and was killed"]
    assert eventually(lambda: not _runs(int(pid.read_text())))


def test_closing_does_not_wait_for_a_program_that_hangs(tmp_path: Path) -> None:
    opened = sinks.open_all([sinks.parse('command,timeout=60:["/bin/sleep", "60"]')], tell=lambda _: None)
    opened.send(EVENT)
    began = time.monotonic()
    opened.close(within_s=0.05)
    assert time.monotonic() - began < 30
    assert eventually(lambda: opened.statistics()[0].failed == 1)


def test_program_that_is_not_there_is_told_before_the_stream_begins() -> None:
    with pytest.raises(ConfigError) as refusal:
        sinks.open_all([sinks.parse("command:notify --now")])
    assert str(refusal.value) == (
        "sink 'command:notify --now': 'notify --now': no such program, or it may not be executed; give its path, and "
        'arguments as a JSON list: command:["PROGRAM", "ARGUMENT"]'
    )


def _runs(pid: int) -> bool:
    """Tell whether a process is at work; one that has ended and that nobody has waited for is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
