from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgemed import native_output

LOGGER = logging.getLogger("test-native")


class _Broken:
    """A stderr whose reader is gone."""

    def flush(self) -> None:
        raise BrokenPipeError


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_native_lines_reach_the_log_and_not_stderr(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger=LOGGER.name), native_output.to_log(LOGGER):
        os.write(2, b"INFO: from C++\nsecond\n")
    os.write(2, b"after\n")
    assert [record.message for record in caplog.records] == ["INFO: from C++", "second"]
    assert capfd.readouterr().err == "after\n"


def test_stderr_comes_back_after_an_error(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.DEBUG, logger=LOGGER.name),
        pytest.raises(RuntimeError),
        native_output.to_log(LOGGER),
    ):
        os.write(2, b"last words\n")
        raise RuntimeError
    os.write(2, b"after\n")
    assert [record.message for record in caplog.records] == ["last words"]
    assert capfd.readouterr().err == "after\n"


@pytest.mark.parametrize("stderr", [_Broken(), None], ids=["broken", "absent"])
def test_stderr_comes_back_and_nothing_leaks_where_it_cannot_be_flushed(
    stderr: object, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system does not list the descriptors of a process")
    before = _descriptors()
    monkeypatch.setattr(sys, "stderr", stderr)
    with native_output.to_log(LOGGER):
        os.write(2, b"from C++\n")
    monkeypatch.undo()
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
    assert _descriptors() == before


def test_nothing_is_caught_where_there_is_no_place_for_it(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with native_output.to_log(LOGGER):
        os.write(2, b"from C++\n")
    assert capfd.readouterr().err == "from C++\n"


@pytest.mark.parametrize(
    ("pattern", "words"), [("bad .*", ["bad code"]), ("bad (.*)", ["code"])], ids=["whole match", "group"]
)
def test_matching_lines_are_captured_and_others_go_on(
    capfd: pytest.CaptureFixture[str], pattern: str, words: list[str]
) -> None:
    with native_output.captured(re.compile(pattern)) as found:
        os.write(2, b"before\nJPEG: bad code\nlast \xff")
    assert found == words
    assert capfd.readouterr().err.startswith("before\nlast ")


def test_threads_that_capture_at_once_leave_stderr_in_its_place(capfd: pytest.CaptureFixture[str]) -> None:
    def work(number: int) -> list[str]:
        with native_output.captured(re.compile("number .*")) as found:
            os.write(2, f"number {number}\n".encode())
        return found

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(200))) == [[f"number {number}"] for number in range(200)]
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
