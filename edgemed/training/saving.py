"""The files of a run folder: written aside and renamed, so that an interruption at any moment leaves whole ones.

``run.json`` names the whole epochs; ``model.keras`` is the best of them, float32 and without an optimizer;
``checkpoint-NNNN.npz`` holds everything that the next epoch starts from and vanishes at the end.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from edgemed import files, schema
from edgemed.errors import ConfigError
from edgemed.training.run import Run

__all__ = [
    "MODEL",
    "checkpoint",
    "commit",
    "keep_checkpoint",
    "load_checkpoint",
    "load_model",
    "save_checkpoint",
    "save_model",
    "writing",
]

MODEL = "model.keras"


def commit(run: Run, out: Path) -> None:
    """Write ``run.json``: from now on its epochs count."""
    with writing(out / "run.json"):
        files.write_atomic(out / "run.json", schema.encode_json(run))


def checkpoint(out: Path, epoch: int) -> Path:
    """Return where the state after an epoch, counted from 0, is kept."""
    return out / f"checkpoint-{epoch:04d}.npz"


def keep_checkpoint(out: Path, epoch: int | None) -> None:
    """Remove every checkpoint but that of an epoch, or all."""
    for path in sorted(out.glob("checkpoint-*.npz")):
        if epoch is None or path != checkpoint(out, epoch):
            path.unlink()


def save_checkpoint(path: Path, arrays: Sequence[NDArray[np.generic]]) -> None:
    """Write arrays in their order.

    Raises:
        ConfigError: the disk refuses.
    """
    stream = io.BytesIO()
    np.savez(stream, *arrays)
    with writing(path):
        files.write_atomic(path, stream.getvalue())


def load_checkpoint(path: Path, *, expected: Sequence[tuple[int, ...]]) -> list[NDArray[np.generic]]:
    """Return the arrays of a checkpoint in their order.

    Args:
        path: of the file.
        expected: shapes that the training at hand has use for.

    Raises:
        ConfigError: it is missing, damaged, or of another network.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: expected the state of the run after its last epoch, found none; train again")
    try:
        with np.load(path, allow_pickle=False) as found:
            arrays = [found[name] for name in found.files]
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as err:
        raise ConfigError(f"{path}: expected the state of a run, got a damaged file: {err}; train again") from err
    if [array.shape for array in arrays] != [tuple(shape) for shape in expected]:
        raise ConfigError(f"{path}: expected the state of this run's network, got that of another; train again")
    return arrays


def save_model(model: keras.Model, path: Path) -> None:
    """Write a model aside and rename it.

    Raises:
        ConfigError: the disk refuses; an old file is whole.
    """
    temporary = path.with_name(f".writing-{path.name}")
    try:
        with writing(path):
            model.save(temporary)
            files.sync(temporary)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_model(path: Path) -> keras.Model:
    """Return a saved model, without an optimizer.

    Raises:
        ConfigError: it is missing or damaged.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: expected a saved model, found none; train again in another --out")
    try:
        return keras.models.load_model(path, compile=False)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as err:
        first = (str(err).strip().splitlines() or [type(err).__name__])[0]
        raise ConfigError(f"{path}: expected a saved Keras model, got a damaged one: {first}; train again") from err


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Translate what a disk may refuse."""
    try:
        yield
    except OSError as err:
        raise ConfigError(
            f"{path}: cannot be written: {err.strerror or err}; free some space or choose another --out, then --resume"
        ) from err
