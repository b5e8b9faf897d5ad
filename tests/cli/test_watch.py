from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgemed.cli import main
from tests.cli import screens
from tests.runtime import tiny

ROOT = Path(__file__).resolve().parents[2]
KEYS = [
    "schema_version", "frame", "time_ms", "frame_age_ms", "input", "decision", "score", "state", "reasons",
    "fallback",
    "latency_ms",
]  # fmt: skip
Watched = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = screens.working_folder(tmp_path, monkeypatch)
    np.save(made / "cine.npy", np.stack([tiny.picture(seed=seed) for seed in range(4)]))
    return made


@pytest.fixture
def watch(folder: Path, capsys: pytest.CaptureFixture[str]) -> Watched:
    def run(*words: str, bundle: str = "alert.edgemed") -> tuple[int, str, str]:
        code = main(["watch", *words, "--bundle", bundle, "--trust", "my.pub"])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def documents(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_a_line_for_each_frame_and_each_change(watch: Watched) -> None:
    code, out, _ = watch("cine.npy", "--json", "--fps", "25")

    lines = documents(out)
    assert code == 0
    assert [line.get("event", line["frame"]) for line in lines] == ["started", 0, "raised", 1, 2, 3, "stopped"]
    assert list(lines[1]) == KEYS
    assert [line["time_ms"] for line in lines if "event" not in line] == [0.0, 40.0, 80.0, 120.0]
    assert {line["schema_version"] for line in lines} == {1}
    assert {key: lines[2][key] for key in ("state", "frame", "notify")} == {
        "state": "alert",
        "frame": 0,
        "notify": True,
    }
    assert lines[1]["input"] == "cine.npy"
    assert lines[1]["latency_ms"]["total"] > 0


def test_last_line_carries_the_summary(watch: Watched) -> None:
    _, out, _ = watch("cine.npy", "--json")

    summary = documents(out)[-1]["summary"]
    assert summary.pop("oldest_ms") >= 0.0
    assert summary == {
        "arrived": 4, "dropped": 0, "alert": 4, "clear": 0, "indeterminate": 0, "refused": 0, "unreadable": 0,
        "stalls": 0, "losses": 0,
    }  # fmt: skip


def test_people_get_short_lines_and_a_summary(watch: Watched) -> None:
    code, out, err = watch("cine.npy")

    lines = out.splitlines()
    assert code == 0
    assert len(lines) == 7
    assert lines[0] == "    0.000 s  * started  state unjudged: cine.npy"
    assert lines[1].startswith("    0.000 s  frame 0  alert 0.")
    assert lines[2] == "    0.000 s  ! raised  state alert"
    assert "4 frames, 4 alert. Research use only, not a diagnosis." in err


def test_damaged_recording_is_exit_8(folder: Path, watch: Watched) -> None:
    (folder / "cut.npy").write_bytes((folder / "cine.npy").read_bytes()[:-5])

    code, out, _ = watch("cut.npy", "--json")

    assert code == 8
    assert documents(out)[1]["reasons"] == [
        "cut.npy: expected 9216 bytes of pixels, got 9211; the file is damaged, copy it again"
    ]


def test_clip_without_a_frame_is_exit_8(folder: Path, watch: Watched) -> None:
    (folder / "empty.avi").write_bytes(b"RIFF\x04\x00\x00\x00AVI " + bytes(64))

    code, out, _ = watch("empty.avi", "--json")

    assert code == 8
    assert [line.get("event", line["frame"]) for line in documents(out)] == ["started", 0, "stopped"]
    assert documents(out)[1]["reasons"] == [
        "empty.avi: clip cannot be opened; the file is damaged or cut short, copy it again"
    ]


def test_camera_that_is_not_there_is_given_up(watch: Watched) -> None:
    code, out, err = watch("/dev/video987", "--json", "--give-up", "0")

    assert code == 8
    assert [line["event"] for line in documents(out)] == ["started", "source-lost", "stopped"]
    assert err.splitlines()[-1] == (
        "edgemed: /dev/video987: cannot be opened; check the address, the cable and the rights; gave up after 0 s"
    )


def test_source_that_does_not_exist_is_a_usage_error(watch: Watched) -> None:
    code, out, err = watch("nothing.mp4")

    assert (code, out) == (2, "")
    assert err == (
        "edgemed: SOURCE: nothing.mp4: expected a file, a folder, /dev/videoN, an address such as rtsp://HOST/PATH, or "
        "- for raw frames on stdin; nothing of this name exists\n"
    )


class Process:
    """``edgemed watch`` as a process whose lines are read one by one."""

    def __init__(self, *words: str, stdin: int | None = subprocess.DEVNULL) -> None:
        command = [sys.executable, "-m", "edgemed", "watch", *words, "--json", "--bundle", "alert.edgemed"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [*command, "--trust", "my.pub"],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )

    def until(self, wanted: str) -> list[dict[str, Any]]:
        """Read lines up to an event, or to the first frame."""
        assert self.process.stdout is not None
        read: list[dict[str, Any]] = []
        for line in self.process.stdout:
            read.append(json.loads(line))
            if read[-1].get("event", "frame") == wanted:
                return read
        raise AssertionError((wanted, read, self.process.communicate()[1]))

    def ended(self) -> tuple[int, list[dict[str, Any]], str]:
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, documents(out.decode()), err.decode()


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_signal_ends_the_stream_with_a_summary(folder: Path, number: signal.Signals) -> None:
    (folder / "in").mkdir()
    running = Process("in")
    running.until("started")
    (folder / "in" / "scan.png").write_bytes((folder / "scan.png").read_bytes())
    running.until("raised")

    running.process.send_signal(signal.SIGUSR1)
    running.until("acknowledged")
    running.process.send_signal(number)
    code, lines, err = running.ended()

    assert code == 0
    assert (lines[-1]["event"], lines[-1]["detail"], lines[-1]["summary"]["alert"]) == ("stopped", "was stopped", 1)
    assert "Traceback" not in err


def test_raw_frames_are_taken_from_stdin(folder: Path) -> None:
    running = Process("-", "--raw", "48x48", stdin=subprocess.PIPE)
    assert running.process.stdin is not None
    running.until("started")
    running.process.stdin.write(tiny.picture().tobytes())
    running.process.stdin.flush()
    seen = running.until("raised")
    running.process.stdin.close()
    running.process.stdin = None
    code, lines, err = running.ended()

    assert [line.get("event", line["frame"]) for line in seen] == [0, "raised"]
    assert (code, lines[-1]["event"], err.count("Traceback")) == (0, "stopped", 0)


def test_terminal_gets_one_line_for_frames_that_say_the_same(watch: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    _, out, _ = watch("cine.npy", bundle="clear.edgemed")

    assert out.count("\r\x1b[K") == 3
    assert out.count("\n") == 3
