"""What the README says can be typed can be typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from edgemed import shipped
from edgemed.cli import app, main
from edgemed.errors import EdgemedError

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
LINES = [
    part.strip()
    for language, block in BLOCKS
    if language == ""
    for line in block.splitlines()
    for part in line.split("&&")
    if re.match(r"\s*(\.venv/bin/)?edgemed ", part)
]


def _commands(group: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for name, command in group.commands.items():
        here = (*path, name)
        found |= _commands(command, here) if hasattr(command, "commands") else {here: command}
    return found


COMMANDS = _commands(get_command(app))


@pytest.mark.parametrize("line", LINES)
def test_command_line_of_the_readme_parses(line: str) -> None:
    words = shlex.split(line)[1:]
    path = tuple(words[:2]) if tuple(words[:2]) in COMMANDS else tuple(words[:1])
    command = COMMANDS[path]
    context = command.context_class(command, info_name=" ".join(path))
    command.make_parser(context).parse_args(words[len(path) :])


def test_readme_shows_both_of_its_commands() -> None:
    assert "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/edgemed demo" in README
    assert ".venv/bin/pip install -e '.[dev]' && .venv/bin/pytest" in README
    assert len(LINES) >= 8


def test_command_table_lists_every_command() -> None:
    table = README[README.index("| command |") : README.index("Results go to stdout")]
    for path in COMMANDS:
        assert re.search(rf"`[^`]*\b{path[0]}\b[^`]*`", table), path
        assert path[-1] in table, path


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_names_every_option(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*path, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: edgemed {' '.join(path)}")
    for parameter in COMMANDS[path].params:
        for option in parameter.opts if parameter.param_type_name == "option" else ():
            assert option in shown


def test_exit_codes_of_the_readme_are_those_of_the_errors() -> None:
    table = README[README.index("| exit code |") : README.index("## What ships")]
    codes = {int(code) for row in re.findall(r"^\| ([\d /]+) \|", table, flags=re.MULTILINE) for code in row.split("/")}
    errors = [EdgemedError, *EdgemedError.__subclasses__()]
    assert {error.exit_code for error in errors} <= codes


def test_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = (block for language, block in BLOCKS if language == "python")
    sample = shipped.samples()[0].path
    exec(compile(example.replace("scan.dcm", str(sample)), "README.md", "exec"), {})
    assert capsys.readouterr().out.split()[0] in {"alert", "clear", "indeterminate", "refused"}
