from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgemed.errors import ConfigError
from edgemed.runtime import sources
from edgemed.runtime.sources.camera import Camera
from edgemed.runtime.sources.folder import Folder
from edgemed.runtime.sources.raw import RawFrames
from edgemed.runtime.sources.recording import Recording


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "clip.mp4").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "options", "kind", "live"),
    [
        pytest.param("clip.mp4", {}, Recording, False, id="file"),
        pytest.param("clip.mp4", {"paced": True, "fps": 10.0}, Recording, True, id="paced file"),
        pytest.param("in", {}, Folder, False, id="folder"),
        pytest.param("/dev/video3", {"fps": 30.0}, Camera, True, id="camera"),
        pytest.param("rtsp://probe/live", {}, Camera, True, id="address"),
        pytest.param("-", {"raw": "4x4"}, RawFrames, True, id="pipe"),
    ],
)
def test_source_is_told_from_its_name(here: Path, text: str, options: dict[str, Any], kind: type, live: bool) -> None:
    source = sources.parse(text, **options)

    assert type(source) is kind
    assert source.live is live


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        pytest.param(
            "missing.mp4",
            {},
            "SOURCE: missing.mp4: expected a file, a folder, /dev/videoN, an address such as rtsp://HOST/PATH, or - "
            "for raw frames on stdin; nothing of this name exists",
            id="nothing there",
        ),
        pytest.param(
            "-",
            {},
            "--raw: raw frames on stdin need their layout; give --raw WIDTHxHEIGHT[:gray8|gray16]",
            id="pipe without layout",
        ),
        pytest.param(
            "in",
            {"raw": "4x4"},
            "--raw: is for raw frames on stdin (-) alone, got another source; leave it away",
            id="layout of no pipe",
        ),
        pytest.param(
            "in",
            {"fps": 3.0},
            "--fps: is of no use with a folder or with stdin, whose frames have the time of their arrival",
            id="rate of a folder",
        ),
        pytest.param(
            "/dev/video0",
            {"paced": True},
            "--paced: is for recordings alone, got a folder or a live source; leave it away",
            id="paced camera",
        ),
        pytest.param(
            "gopher://x",
            {},
            "SOURCE: expected an address that begins with one of rtsp, rtsps, http, https, udp, tcp, rtp, got 'gopher'",
            id="scheme",
        ),
    ],
)
def test_source_that_makes_no_sense_is_refused(here: Path, text: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sources.parse(text, **options)
    assert str(caught.value) == message


def test_option_that_changes_nothing_names_no_password(here: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        sources.parse("rtsp://nurse:secret@probe/live", paced=True)
    assert "secret" not in str(caught.value)
