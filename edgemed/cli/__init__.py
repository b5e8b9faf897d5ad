"""The command line: one app, one place where errors become a line and an exit code.

Rules: a command module imports typer, the standard library and `edgemed.errors` at its top and everything else inside
the function that needs it, so that ``edgemed --help`` starts without numpy, OpenCV or an inference library.

    sys.exit(main(["bundle", "info", "chest-xray-1.0.0.edgemed"]))
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import typer
from typer.main import get_command

from edgemed.cli import output
from edgemed.cli.arguments import Once
from edgemed.errors import EdgemedError

__all__ = ["app", "main"]

INTERRUPTED = 130  # 128 + SIGINT, as shells report it

_COMMANDS: Mapping[str, str | None] = {
    "demo": "Screen the sample images that ship with edgemed.",
    "screen": "Give each frame of your files a score and a decision.",
    "watch": "Judge a stream while it runs: a clip, a folder being filled, a camera, a pipe.",
    "data": None,
    "train": "Train the float model of a recipe.",
    "convert": "Make it int8 and prove that it still screens.",
    "compat": "Say which operators of a model a device will run, and where.",
    "evaluate": "Measure a bundle on labelled images.",
    "benchmark": "Measure how long a bundle takes, against its budget.",
    "flash": "Bring a bundle onto a device or a fleet.",
    "bundle": None,
    "keys": None,
    "device": None,
    "devices": None,
    "audit": None,
    "doctor": "Check whether this machine can screen.",
}
"""What the command line offers, each in the module and the function of its name; None for a group with a help of its
own, the module's ``app``."""


def _show_version(asked: bool) -> None:
    if asked:
        from edgemed import __version__

        typer.echo(f"edgemed {__version__}")
        raise typer.Exit


def _options(
    version: bool = typer.Option(False, "--version", is_eager=True, callback=_show_version, help="Show the version."),
    debug: bool = typer.Option(False, "--debug", help="Show the trace of an error; accepted anywhere on the line."),
) -> None:
    """Take the options that belong to no command; `main` has read ``--debug`` already."""


@functools.cache
def app(only: str | None = None) -> typer.Typer:
    """Return the command line, whole or with one command alone, which is then all that is imported."""
    made = typer.Typer(
        name="edgemed",
        help="Screen medical images offline, and build, sign and check what does it. "
        "Research use only, not a diagnosis.",
        no_args_is_help=True,
        add_completion=False,
        # Help in plain text: rich alone would cost more than everything else that --help loads.
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback()(_options)
    for name, summary in _COMMANDS.items():
        if only in (None, name):
            module: Any = importlib.import_module(f"edgemed.cli.{name}")
            if summary is None:
                made.add_typer(module.app, name=name)
            else:
                made.command(cls=Once, short_help=summary)(getattr(module, name))
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code, as listed in `edgemed.errors` and the README.

    Args:
        arguments: the words after ``edgemed``; None takes them from ``sys.argv``.

    Raises:
        Exception: a bug; the interpreter prints its trace and exits 1.
    """
    if arguments is None:
        # The process ends with this command: the collections of Python's shutdown take 20 ms and free nothing.
        atexit.register(gc.freeze)
        output.secure_streams()
    words, debug = _without_debug(list(sys.argv[1:] if arguments is None else arguments))
    code = _guarded(lambda: _run(words), debug=debug)
    # What was found before an error is written too; results that do not get out outweigh every other ending.
    return _guarded(_flush, debug=debug) or code


def _guarded(work: Callable[[], int], *, debug: bool) -> int:
    """Return what the work returns, or the exit code of the one line that says why it ended."""
    try:
        code = work()
    except EdgemedError as error:
        if debug:
            traceback.print_exc()
        if isinstance(error, output.StdoutError):
            output.discard_stdout()
        _say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has left: say nothing, and keep the interpreter's last flush from failing too.
        output.discard_stdout()
        return 1
    if code == INTERRUPTED:
        _say("interrupted")
    return code


def _flush() -> int:
    sys.stdout.flush()
    return 0


def _run(words: list[str]) -> int:
    """Parse and run; typer prints usage errors (2) and turns Ctrl-C into 130."""
    try:
        named = bool(words) and words[0] in _COMMANDS
        get_command(app(words[0]) if named else app()).main(args=words, prog_name="edgemed")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def _without_debug(words: list[str]) -> tuple[list[str], bool]:
    """Take ``--debug`` from anywhere before ``--``."""
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word != "--debug"]
    return kept + words[end:], len(kept) != end


def _say(line: str) -> None:
    """Write an error as one line, with no control character of the text it quotes."""
    sys.stderr.write(f"edgemed: {output.printable(line)}\n")
