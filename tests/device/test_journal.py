"""edgemed.device.journal: what a roll-out goes on from."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgemed.device import journal
from edgemed.device.journal import Outcome
from edgemed.errors import ConfigError

DONE = Outcome(
    name="a",
    device="raspberry-pi-4",
    to="ssh://a",
    stage="fleet",
    result="installed",
    error=None,
    exit_code=0,
    seconds=1.5,
)
FAILED = msgspec.structs.replace(DONE, name="b", result="failed", error="unplugged", exit_code=6)


def test_what_was_added_is_there_when_it_goes_on(tmp_path: Path) -> None:
    book = journal.begin(tmp_path / "j", "sha256:1")
    book.add(FAILED)
    book.add(DONE)
    book.add(msgspec.structs.replace(FAILED, result="installed"))
    again = journal.resume(tmp_path / "j", "sha256:1")
    assert [(one.name, one.result) for one in again.before] == [("b", "installed"), ("a", "installed")]


def test_line_that_a_power_cut_has_cut_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal.begin(path, "sha256:1").add(DONE)
    whole = path.read_bytes()
    for length in range(whole.index(b"\n") + 1, len(whole) + 1):
        path.write_bytes(whole[:length])
        book = journal.resume(path, "sha256:1")
        book.add(FAILED)
        names = [one.name for one in journal.resume(path, "sha256:1").before]
        assert names == (["a", "b"] if length == len(whole) else ["b"])


def test_journal_of_another_bundle_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal.begin(path, "sha256:1")
    with pytest.raises(ConfigError) as caught:
        journal.resume(path, "sha256:2")
    assert str(caught.value) == (f"--resume: {path}: is of bundle sha256:1, this one is sha256:2; leave --resume away")


def test_nothing_to_go_on_with(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        journal.resume(tmp_path / "j", "sha256:1")
    assert str(caught.value) == f"--resume: {tmp_path / 'j'}: does not exist; leave --resume away to begin"


@pytest.mark.parametrize("line", ["{}", "x", '{"name": 1}'])
def test_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "j"
    journal.begin(path, "sha256:1")
    path.write_text(path.read_text("utf-8") + line + "\n", "utf-8")
    with pytest.raises(ConfigError, match=rf"^{path}:2: "):
        journal.resume(path, "sha256:1")


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "none" / "j"
    with pytest.raises(ConfigError) as caught:
        journal.begin(path, "sha256:1")
    assert str(caught.value) == (
        f"{path}: cannot be written: No such file or directory; keep the inventory in another folder"
    )
