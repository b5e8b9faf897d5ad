"""Makes a method's model once: what is in the work folder is not made again."""

from __future__ import annotations

from pathlib import Path

import process
from peers.methods import Method


def train_float(work: Path, seed: int, pretrained: Path) -> None:
    """Train and export the float network of a seed unless it is there."""
    folder = work / f"seed-{seed}" / "float"
    if not (folder / "measured.json").is_file():
        process.run("peers.train_float", (work, seed, pretrained), log=folder / "log.txt")


def make(method: Method, work: Path, seed: int, python: Path | None) -> str | None:
    """Make a method's model unless it is there; return why it could not be made.

    Args:
        method: how.
        work: folder of the stages.
        seed: of the float network.
        python: of the method's own environment; None where none was given.
    """
    folder = work / f"seed-{seed}" / method.name
    if (folder / "measured.json").is_file():
        return None
    if method.environment is not None and python is None:
        return f"no environment given (--{method.environment.replace('_', '-')})"
    try:
        process.run(
            method.module,
            (work, seed, *method.arguments),
            log=folder / "log.txt",
            python=python,
            with_edgemed=method.environment is None,
        )
    except process.StageError as err:
        return str(err)
    return None
