from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgemed import __version__
from edgemed.bundle import keys
from edgemed.cli import main
from tests.bundle import tiny
from tests.runtime import tiny as runtime_tiny

ROOT = Path(__file__).resolve().parents[2]
MAIN = "import sys; from edgemed.cli import main; sys.exit(main())"
RUN = [sys.executable, "-c", MAIN]
HEAVY = {
    "ai_edge_litert",
    "asyncssh",
    "cryptography",
    "cv2",
    "keras",
    "matplotlib",
    "msgspec",
    "numpy",
    "pandas",
    "pydicom",
    "rich",
    "tensorflow",
    "yaml",
}
COMMANDS = (
    "",
    "demo",
    "screen",
    "train",
    "convert",
    "compat",
    "evaluate",
    "bundle",
    "bundle build",
    "bundle info",
    "bundle verify",
    "keys",
    "keys new",
    "keys trust",
    "keys list",
    "device",
    "device init",
    "device install",
    "device import",
    "device status",
    "device commit",
    "device rollback",
    "device history",
    "device trust",
    "device overlay",
    "devices",
    "devices list",
    "devices show",
    "doctor",
)


def python(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command or "edgemed")
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0

    shown = capsys.readouterr()
    assert shown.out.startswith(f"Usage: edgemed {command}".rstrip())
    assert shown.err == ""


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom edgemed.cli import main\ncode = main(['--help'])\n"
        "print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)\nsys.exit(code)"
    )
    done = python(code)

    assert done.returncode == 0
    assert set(done.stderr.split()) & HEAVY == set()


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0

    assert capsys.readouterr().out == f"edgemed {__version__}\n"


def test_error_is_one_line_and_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.edgemed"

    assert main(["bundle", "info", str(path)]) == 5

    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        f"edgemed: {path}: cannot be read: No such file or directory; check the path and its permissions\n"
    )


@pytest.mark.parametrize(
    "words", [["--debug", "bundle", "info"], ["bundle", "info", "--debug"]], ids=["before", "after"]
)
def test_debug_shows_the_trace_above_the_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "missing.edgemed"]) == 5

    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1].startswith("edgemed: missing.edgemed: cannot be read: ")


def test_debug_after_two_dashes_is_an_argument(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "info", "--", "--debug"]) == 5

    assert capsys.readouterr().err.startswith("edgemed: --debug: cannot be read: ")


def test_control_characters_stay_out_of_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    main(["bundle", "info", "a\n\x1b[31mb"])

    assert capsys.readouterr().err.startswith("edgemed: a\\n\\x1b[31mb: cannot be read: ")


USAGE = {
    "unknown command": (["scren"], "No such command 'scren'"),
    "unknown option": (["keys", "list", "--jsn"], "No such option: --jsn"),
    "missing argument": (["bundle", "info"], "Missing argument 'FILE|NAME'"),
    "missing option": (["bundle", "build", "folder"], "Missing option '--key'"),
}


@pytest.mark.parametrize(("words", "message"), USAGE.values(), ids=USAGE)
def test_usage_error_exits_2(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2

    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err


def test_no_command_shows_help_and_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2

    assert "Usage: edgemed" in capsys.readouterr().err


def test_bug_keeps_its_trace_and_exits_1() -> None:
    code = (
        "import sys\nfrom edgemed import cli\n"
        "@cli.app().command()\ndef broken() -> None:\n    raise RuntimeError('a bug')\n"
        "sys.exit(cli.main(['broken']))"
    )
    done = python(code)

    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert done.stderr.endswith("RuntimeError: a bug\n")


def test_interrupt_is_one_line_and_130(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # A background shell job starts with SIGINT ignored, and Python then leaves it so.
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + MAIN
    command = [sys.executable, "-c", code, "bundle", "info", str(pipe)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as running, pipe.open("wb"):
        # The pipe opens once the command reads it.
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)

    assert running.returncode == 130
    assert err == "edgemed: interrupted\n"


def test_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "tiny.edgemed"
    path.write_bytes(tiny.build())
    gone, ours = os.pipe()
    os.close(gone)

    done = subprocess.run(
        [*RUN, "bundle", "info", str(path)], cwd=ROOT, stdout=ours, stderr=subprocess.PIPE, timeout=60, check=False
    )

    os.close(ours)
    assert done.stderr == b""
    assert done.returncode == 1


def test_process_ends_with_the_code_and_one_document(tmp_path: Path) -> None:
    path = tmp_path / "tiny.edgemed"
    path.write_bytes(tiny.build())
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path)}

    done = subprocess.run(
        [*RUN, "bundle", "info", str(path), "--json"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 0
    assert done.stderr == ""
    assert re.match(r'\{\s*"schema_version": 1,', done.stdout)
    assert json.loads(done.stdout)["manifest"]["name"] == "tiny"


def shell(redirection: str, *words: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run edgemed from a shell that redirects its streams."""
    environment = {**os.environ, "XDG_CONFIG_HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = ["bash", "-c", f'"$@" {redirection}', "bash", sys.executable, "-m", "edgemed", *words]
    return subprocess.run(
        command, cwd=home, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return a folder with a bundle that alerts on everything, its key, and two inputs."""
    document = runtime_tiny.rule(runtime_tiny.model(), threshold=0.01)
    (tmp_path / "tiny.edgemed").write_bytes(runtime_tiny.raw_bundle(runtime_tiny.model(), document))
    (tmp_path / "my.pub").write_bytes(keys.encode_public(tiny.KEY.public))
    (tmp_path / "scan.png").write_bytes(runtime_tiny.png(runtime_tiny.picture()))
    return tmp_path


SCREEN = ("screen", "scan.png", "--bundle", "tiny.edgemed", "--trust", "my.pub", "--fail-on-alert")


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"], ids=["closed", "full"])
@pytest.mark.parametrize("inputs", [(), ("missing.png",)], ids=["one input", "two inputs"])
def test_stderr_that_takes_nothing_changes_no_result(work: Path, redirection: str, inputs: tuple[str, ...]) -> None:
    done = shell(redirection, *SCREEN, *inputs, "--json", home=work)

    assert (done.returncode, done.stderr) == (10, "")
    assert json.loads(done.stdout)["summary"]["alert"] == 1


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"], ids=["closed", "full"])
@pytest.mark.parametrize(
    ("words", "code"),
    [(("bundle", "info", "missing"), 5), (("scren",), 2), (("keys", "list"), 0)],
    ids=["error", "usage error", "note"],
)
def test_exit_code_needs_no_stderr(tmp_path: Path, redirection: str, words: tuple[str, ...], code: int) -> None:
    assert shell(redirection, *words, home=tmp_path).returncode == code


@pytest.mark.parametrize(
    "words", [("--help",), ("--version",), ("devices", "list"), SCREEN], ids=lambda words: words[0]
)
def test_full_disk_behind_stdout_is_one_line_and_1(work: Path, words: tuple[str, ...]) -> None:
    done = shell(">/dev/full", *words, home=work)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "edgemed: stdout: cannot be written: No space left on device; the results are incomplete, send them elsewhere"
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [(("--help",), 0), (("--version",), 0), (("devices", "list"), 0), ((*SCREEN, "--json"), 10)],
    ids=["help", "version", "table", "document"],
)
def test_closed_stdout_is_silence_and_the_exit_code(work: Path, words: tuple[str, ...], code: int) -> None:
    done = shell(">&-", *words, home=work)

    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert "edgemed:" not in done.stderr


def test_closed_stdin_is_no_terminal_to_ask_at(tmp_path: Path) -> None:
    done = shell("<&-", "keys", "new", "my.key", home=tmp_path)

    assert done.returncode == 2
    assert done.stderr == (
        "edgemed: my.key: needs a passphrase and there is no terminal to ask at; "
        "give --passphrase-file FILE, or --no-passphrase for a key that is not encrypted\n"
    )


def test_module_runs_as_the_command(tmp_path: Path) -> None:
    done = shell("", "--version", home=tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (0, f"edgemed {__version__}\n", "")
