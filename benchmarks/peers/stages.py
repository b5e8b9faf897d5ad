"""Runs a stage as a process in the environment it needs, once: what is in the work folder is not made again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from peers.methods import Method

BENCHMARKS = Path(__file__).resolve().parents[1]


class StageError(Exception):
    """A stage that did not come to its end; the message is its reason."""


def run(module: str, arguments: Sequence[object], *, python: Path, log: Path, with_edgemed: bool) -> None:
    """Run ``python -m module arguments`` with its output in a file.

    Raises:
        StageError: it cannot start, or ends with an error; the message is the last line it wrote.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [str(python), "-m", module, *map(str, arguments)]
    print(f"{module} {' '.join(map(str, arguments))}", file=sys.stderr, flush=True)
    with log.open("wb") as output:
        try:
            ended = subprocess.run(
                words, check=False, stdout=output, stderr=subprocess.STDOUT, env=_environment(with_edgemed)
            )
        except OSError as err:
            raise StageError(f"{python.name} cannot be started: {err.strerror}") from err
    if ended.returncode:
        lines = log.read_text(errors="replace").strip().splitlines() or ["no output"]
        raise StageError(f"exit {ended.returncode}: {lines[-1][:300]}")


def _environment(with_edgemed: bool) -> dict[str, str]:
    paths = [str(BENCHMARKS), *([str(BENCHMARKS.parent)] if with_edgemed else [])]
    # TF_CPP_MIN_LOG_LEVEL: the reason must be the last line, not a note about absent GPUs.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TF_CPP_MIN_LOG_LEVEL": "3"}


def run_method(method: Method, work: Path, seed: int, python: Path | None) -> str | None:
    """Make a method's model unless it is there; return why it could not be made."""
    folder = work / f"seed-{seed}" / method.name
    if (folder / "measured.json").is_file():
        return None
    if python is None:
        option = f"--{(method.environment or '').replace('_', '-')}"
        return f"no environment given ({option})"
    try:
        run(
            method.module,
            (work, seed, *method.arguments),
            python=python,
            log=folder / "log.txt",
            with_edgemed=method.environment is None,
        )
    except StageError as err:
        return str(err)
    return None
