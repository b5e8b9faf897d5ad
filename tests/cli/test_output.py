from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from edgemed.cli import output
from edgemed.errors import ConfigError


@dataclass(frozen=True)
class Point:
    x: float
    path: Path


class Shape(msgspec.Struct):
    name: str
    points: tuple[Point, ...]


def printed(value: object, capsys: pytest.CaptureFixture[str]) -> str:
    output.print_json(value)
    return capsys.readouterr().out


def test_document_starts_with_its_schema_and_keeps_the_order(capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed({"b": 1, "a": None}, capsys)

    assert list(json.loads(shown)) == ["schema_version", "b", "a"]
    assert json.loads(shown)["schema_version"] == 1
    assert shown.endswith("}\n")


def test_structs_dataclasses_and_paths_are_values(capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed(Shape(name="é", points=(Point(1.5, Path("a/b")),)), capsys)

    assert json.loads(shown) == {"schema_version": 1, "name": "é", "points": [{"x": 1.5, "path": "a/b"}]}


def test_number_that_json_lacks_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(printed({"x": float("nan")}, capsys))["x"] is None


def test_file_name_that_is_no_utf_8_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    named = Path(os.fsdecode(b"scan\xe9.png"))

    shown = json.loads(printed({"inputs": (named, str(named)), str(named): None}, capsys))

    assert shown == {"schema_version": 1, "inputs": ["scan\\udce9.png"] * 2, "scan\\udce9.png": None}


def test_value_that_json_lacks_is_the_callers_mistake() -> None:
    with pytest.raises(TypeError, match=r"^expected a value JSON can hold, got complex$"):
        output.print_json({"x": 1j})


def test_fields_stand_in_one_column(capsys: pytest.CaptureFixture[str]) -> None:
    output.fields([("name", "tiny"), ("signed by", "x")])

    assert capsys.readouterr().out == "name       tiny\nsigned by  x\n"


def test_text_from_outside_moves_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "a\n\x1b[2J\x07é"

    output.fields([("name", hostile)])
    output.note(hostile)
    output.table(("name",), [(hostile,)])

    shown = capsys.readouterr()
    assert shown.out.startswith("name  a\\n\\x1b[2J\\x07é\n")
    assert shown.err == "a\\n\\x1b[2J\\x07é\n"
    assert "\x1b" not in shown.out


def test_note_stays_off_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    output.note("working")

    assert capsys.readouterr() == ("", "working\n")


def test_table_in_a_pipe_is_whole_and_takes_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("input", "decision"), [("[red]x[/red]", "clear"), ("long" * 50, "alert")], title="[b]results")

    shown = capsys.readouterr().out
    assert "[red]x[/red]" in shown
    assert "[b]results" in shown
    assert "long" * 50 in shown
    assert "\x1b" not in shown


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that makes stdout look like a terminal of so many columns."""

    def sized(columns: int) -> None:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setenv("COLUMNS", str(columns))

    return sized


def test_table_on_a_narrow_terminal_cuts_nothing_away(
    terminal: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    terminal(40)
    output.table(("input", "decision"), [("folder/" * 9 + "scan-1.png", "alert")])

    shown = capsys.readouterr().out
    assert "…" not in shown
    assert "".join(re.findall(r"│ (\S+)", shown)).replace("alert", "") == "folder/" * 9 + "scan-1.png"


@pytest.mark.parametrize(("columns", "heading"), [(80, "wide"), (20, "thin")])
def test_narrow_form_is_for_narrow_terminals(
    terminal: Callable[[int], None], capsys: pytest.CaptureFixture[str], columns: int, heading: str
) -> None:
    terminal(columns)
    output.table(("wide", "second"), [("x" * 20, "y" * 20)], narrow=(("thin",), [("z",)]))

    shown = capsys.readouterr().out
    assert {name for name in ("wide", "thin") if name in shown} == {heading}


def test_file_is_written(tmp_path: Path) -> None:
    output.write_file(tmp_path / "out", b"bytes")

    assert (tmp_path / "out").read_bytes() == b"bytes"


def test_place_that_takes_no_file_is_named_with_its_option(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        output.write_file(tmp_path / "no" / "out", b"bytes")

    assert str(caught.value) == (
        f"--out: {tmp_path}/no/out: cannot be written: No such file or directory; choose another place"
    )
