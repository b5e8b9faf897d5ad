"""Runs a stage of a benchmark as a process of its own, in the environment it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent


class StageError(Exception):
    """A stage that did not come to its end; the message is its reason."""


def run(
    module: str,
    arguments: Sequence[object],
    *,
    log: Path,
    python: Path | None = None,
    with_edgemed: bool = True,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run ``python -m module arguments`` with its output in a file.

    Args:
        module: in this folder.
        arguments: its words.
        log: keeps what it prints.
        python: of another environment; None for this one.
        with_edgemed: the environment finds the package of this checkout.
        environment: further variables.

    Raises:
        StageError: it cannot start, or ends with an error; the message is the last line it wrote.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [str(python or sys.executable), "-m", module, *map(str, arguments)]
    print(f"{module} {' '.join(map(str, arguments))}", file=sys.stderr, flush=True)
    with log.open("wb") as output:
        try:
            ended = subprocess.run(
                words,
                check=False,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**_inherited(with_edgemed), **(environment or {})},
            )
        except OSError as err:
            raise StageError(f"{Path(words[0]).name} cannot be started: {err.strerror}") from err
    if ended.returncode:
        lines = log.read_text(errors="replace").strip().splitlines() or ["no output"]
        raise StageError(f"exit {ended.returncode}: {lines[-1][:300]}")


def _inherited(with_edgemed: bool) -> dict[str, str]:
    paths = [str(BENCHMARKS), *([str(BENCHMARKS.parent)] if with_edgemed else [])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        # Nothing of the folder that the benchmark happens to be called from.
        "PYTHONSAFEPATH": "1",
        # The reason must be the last line, not a note about absent GPUs.
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
