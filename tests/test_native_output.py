from __future__ import annotations

import logging
import os

import pytest

from edgemed import native_output

LOGGER = logging.getLogger("test-native")


def test_native_lines_reach_the_log_and_not_stderr(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger=LOGGER.name), native_output.to_log(LOGGER):
        os.write(2, b"INFO: from C++\nsecond\n")
    os.write(2, b"after\n")
    assert [record.message for record in caplog.records] == ["INFO: from C++", "second"]
    assert capfd.readouterr().err == "after\n"


def test_stderr_comes_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), native_output.to_log(LOGGER):
        raise RuntimeError
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
