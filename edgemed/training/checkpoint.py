"""Where the training of a quantized twin stands: a folder that outlives an interruption at any moment.

It holds ``state.json`` and the npz it names, of the twin's weights and then its optimizer's variables, in Keras' order.
Both are written aside and renamed, the npz first: an epoch counts once ``state.json`` names it. A checkpoint is bound
to everything that decides the next epoch; one of anything else is not used.

    place = Checkpoint(folder=Path("runs/cxr/.coral-usb.qat"), bound_to=checkpoint.binding(twin, recipe, train))
    begun = checkpoint.restore(place, twin)
    checkpoint.save(place, twin, epochs=begun + 1)
    checkpoint.remove(folder)
"""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import keras
import msgspec
import numpy as np
from msgspec import Meta

from edgemed import files, schema
from edgemed.errors import ConfigError
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.training import data
from edgemed.training.recipe import Recipe

__all__ = ["Checkpoint", "beside", "binding", "remove", "restore", "save"]

_STATE = "state.json"
_STATE_LIMIT_BYTES = 1 << 12


class _State(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document ``state.json``: how many epochs are whole, for what, and the file of their weights."""

    schema: Literal[1]
    bound_to: str
    epochs: Annotated[int, Meta(ge=1)]
    file: Annotated[str, Meta(pattern=r"^epoch-\d{4}\.npz\Z")]
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A folder, and the digest of what the training in it depends on."""

    folder: Path
    bound_to: str


def beside(out: Path) -> Path:
    """Return the folder for the checkpoints of what will be written to ``out``; hidden, on the same disk."""
    return out.with_name(f".{out.name}.qat")


def binding(twin: keras.Model, recipe: Recipe, train: LabelledPlanes) -> str:
    """Return the digest of a twin before its first epoch, of how and on what it is trained, and by which Keras.

    The twin's structure, weights and ranges stand for the float model, its calibration and the options of both.
    """
    state = hashlib.sha256(twin.to_json().encode())
    for weight in twin.get_weights():
        state.update(np.ascontiguousarray(weight).tobytes())
    for text in (_how(recipe), data.digest(train), keras.__version__, keras.backend.backend()):
        state.update(text.encode() + b"\n")
    return "sha256:" + state.hexdigest()


def _how(recipe: Recipe) -> str:
    """Return what a recipe says of the training of a twin; another operating point changes nothing of it."""
    return schema.encode_json([recipe.fit, recipe.quantization, recipe.augmentation]).decode()


def restore(place: Checkpoint, twin: keras.Model) -> int:
    """Return how many epochs of a compiled twin are done, 0 when none; its weights and optimizer are those after them.

    A checkpoint that is of something else, or damaged, is passed over.

    Raises:
        ConfigError: the disk refuses to read.
    """
    state = _read(place)
    if state is None:
        return 0
    twin.optimizer.build(twin.trainable_variables)
    variables = [*twin.weights, *twin.optimizer.variables]
    with np.load(place.folder / state.file, allow_pickle=False) as arrays:
        for name, variable in zip(arrays.files, variables, strict=True):
            variable.assign(arrays[name])
    return state.epochs


def _read(place: Checkpoint) -> _State | None:
    """Return the state of a folder when it is whole and of this training."""
    path = place.folder / _STATE
    if not path.is_file():
        return None
    try:
        raw = files.read_bounded(path, limit_bytes=_STATE_LIMIT_BYTES, error=ConfigError)
        state = schema.decode_json(raw, _State, source=str(path))
        whole = files.sha256_file(place.folder / state.file) == state.sha256
    except (ConfigError, OSError):
        return None
    return state if whole and state.bound_to == place.bound_to else None


def save(place: Checkpoint, twin: keras.Model, *, epochs: int) -> None:
    """Keep a compiled twin after its ``epochs``-th whole epoch, and forget the one before.

    Raises:
        ConfigError: the disk refuses; the epoch before is still whole.
    """
    name = f"epoch-{epochs:04d}.npz"
    # Not HDF5, as Keras would write: on a full disk its library ends the process with a segmentation fault.
    raw = _npz([*twin.weights, *twin.optimizer.variables])
    state = _State(schema=1, bound_to=place.bound_to, epochs=epochs, file=name, sha256=files.sha256(raw))
    with _translated(place.folder):
        place.folder.mkdir(parents=True, exist_ok=True)
        files.write_atomic(place.folder / name, raw)
        files.write_atomic(place.folder / _STATE, schema.encode_json(state))
        for path in sorted(place.folder.iterdir()):
            if path.name not in (name, _STATE):
                path.unlink()


def _npz(variables: Sequence[keras.Variable]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, *(keras.ops.convert_to_numpy(variable) for variable in variables))
    return stream.getvalue()


def remove(folder: Path) -> None:
    """Remove the checkpoints of a training that is done; a folder that is absent is none.

    Raises:
        ConfigError: the disk refuses.
    """
    with _translated(folder):
        if folder.is_dir():
            shutil.rmtree(folder)


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    """Word what a disk may refuse."""
    try:
        yield
    except OSError as err:
        raise ConfigError(
            f"{folder}: cannot be written: {err.strerror or err}; free some space, then run the same command again: "
            "whole epochs are kept"
        ) from err
