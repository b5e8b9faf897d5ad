"""``edgemed watch --video``: the file, what is said of it, and that it plays however the stream ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgemed.bundle import keys
from edgemed.cli import main
from tests.bundle.tiny import KEY
from tests.runtime import tiny

ROOT = Path(__file__).resolve().parents[2]
Ran = Callable[..., tuple[int, str]]
WORDS = ["watch", "clip.avi", "--bundle", "tiny.edgemed", "--trust", "my.pub"]
FRAMES = 40


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ran:
    """Return a function that watches a clip of `FRAMES` frames and returns exit code and stderr."""
    monkeypatch.chdir(tmp_path)
    Path("my.pub").write_bytes(keys.encode_public(KEY.public))
    Path("tiny.edgemed").write_bytes(tiny.raw_bundle(tiny.model()))
    clip = cv2.VideoWriter("clip.avi", cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (64, 48))
    for number in range(FRAMES):
        clip.write(np.repeat(tiny.picture(64, seed=number)[:48, :, None], 3, axis=2))
    clip.release()

    def ran(*words: str) -> tuple[int, str]:
        code = main([*WORDS, *words])
        return code, capsys.readouterr().err

    return ran


def pictures(path: Path) -> int:
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    return count


@pytest.mark.parametrize("name", ["out.mp4", "out.avi"])
def test_video_of_a_recording_has_every_frame_at_its_own_rate(run: Ran, name: str) -> None:
    code, err = run("--video", name)

    assert code == 0
    assert err.splitlines()[-1] == f"{name}: {FRAMES} pictures"
    assert pictures(Path(name)) == FRAMES
    assert cv2.VideoCapture(name).get(cv2.CAP_PROP_FPS) == 20.0


def test_video_without_a_codec_is_refused_before_anything_is_judged(
    run: Ran, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([*WORDS, "--video", "out.gif"])

    shown = capsys.readouterr()
    assert (code, shown.out) == (2, "")
    assert shown.err.splitlines()[-1] == "edgemed: out.gif: expected a video file in .mp4 or .avi, got '.gif'"


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_video_that_is_interrupted_plays(run: Ran, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "edgemed", *WORDS, "--paced", "--video", "out.mp4"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for _ in range(4):  # started, and some frames
        process.stdout.readline()

    process.send_signal(number)

    _, err = process.communicate(timeout=30.0)
    assert process.returncode == 0
    count = pictures(Path("out.mp4"))
    assert 1 <= count < FRAMES
    assert f"out.mp4: {count} pictures" in err
