"""What the README says can be typed can be typed."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
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
    for name, command in ((name, one) for name, one in group.commands.items() if not one.hidden):
        here = (*path, name)
        found |= _commands(command, here) if hasattr(command, "commands") else {here: command}
    return found


COMMANDS = _commands(get_command(app()))


@pytest.mark.parametrize("line", LINES)
def test_command_line_of_the_readme_parses(line: str) -> None:
    words = shlex.split(line)[1:]
    path = next(tuple(words[:size]) for size in (3, 2, 1) if tuple(words[:size]) in COMMANDS)
    command = COMMANDS[path]
    context = command.context_class(command, info_name=" ".join(path))
    command.make_parser(context).parse_args(words[len(path) :])


def test_readme_shows_both_of_its_commands() -> None:
    assert "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/edgemed demo" in README
    assert ".venv/bin/pip install -e '.[dev]' && .venv/bin/pytest -n 2 --dist loadfile" in README
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


def _example(word: str) -> str:
    (found,) = (block for language, block in BLOCKS if language == "python" and word in block)
    return found


def test_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    sample = shipped.samples()[0].path
    exec(compile(_example("Screener").replace("scan.dcm", str(sample)), "README.md", "exec"), {})
    assert capsys.readouterr().out.split()[0] in {"alert", "clear", "indeterminate", "refused"}


@pytest.mark.tensorflow
def test_example_of_quantization_aware_training_runs() -> None:
    pytest.importorskip("tensorflow", reason="needs the train extra")
    import keras

    plane = keras.Input((16, 16, 1), name="plane")
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, activation="relu")(plane))
    names = {
        "model": keras.Model(plane, keras.layers.Dense(1)(pooled)),
        "planes": np.random.default_rng(1).integers(0, 256, (8, 16, 16), dtype=np.uint8),
        "loss": "mse",
    }
    names["batches"] = _batches(names["planes"])
    exec(compile(_example("quantization_aware"), "README.md", "exec"), names)
    assert names["raw"][4:8] == b"TFL3"
    assert names["plain"].output_shape == (None, 1)


def _batches(planes: np.ndarray) -> Any:
    import keras

    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            return planes[..., np.newaxis].astype(np.float32), np.ones((len(planes), 1), np.float32)

    return Batches()


@pytest.mark.tensorflow
def test_example_of_a_conversion_names_every_argument_there_must_be() -> None:
    pytest.importorskip("tensorflow", reason="needs the train extra")
    import converters

    (call,) = (node for node in ast.walk(ast.parse(_example("converters.convert"))) if isinstance(node, ast.Call))
    wanted = inspect.signature(converters.convert).parameters.values()
    required = {one.name for one in wanted if one.kind is one.KEYWORD_ONLY and one.default is one.empty}
    assert {keyword.arg for keyword in call.keywords} == required | {"mode"}
