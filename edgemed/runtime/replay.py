"""Run stored planes through a model, as a program: how the converter asks another environment's back end.

It needs NumPy, OpenCV and the back end, nothing else of edgemed's dependencies:

    python -m edgemed.runtime.replay MODEL.tflite PLANES.npy OUT.npz --backend tflite-runtime [--reference-kernels]

``PLANES.npy`` is uint8 (N, H, W); ``OUT.npz`` gets one array per output, int8 or float32 as the model has it, by
signature name, first axis N, and who answered: ``@backend`` and ``@machine``, as text.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemed.errors import EdgemedError, InferenceError
from edgemed.runtime import backends
from edgemed.runtime.classifier import Classifier
from edgemed.runtime.interpreter import Interpreter, Kernels, Tensor

__all__ = ["BACKEND", "MACHINE", "main", "outputs_of"]

BACKEND = "@backend"
MACHINE = "@machine"


def outputs_of(interpreter: Interpreter, planes: NDArray[np.uint8]) -> dict[str, Tensor]:
    """Return every output for planes (N, H, W), N >= 1: int8 or float32, by name, first axis N.

    Raises:
        BundleError: the model breaks the model contract, or takes planes of another size.
        InferenceError: the planes are not uint8 (N, H, W), or the back end failed.
    """
    if planes.ndim != 3 or planes.dtype != np.uint8 or len(planes) == 0:
        raise InferenceError(f"planes: expected uint8 (N, H, W), N >= 1, got {planes.dtype} {planes.shape}")
    classifier = Classifier(interpreter, height=planes.shape[1], width=planes.shape[2])
    rows = [classifier.infer(plane) for plane in planes]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return 0, or the exit code of the error it printed."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.check:
        return _check(options.backend)
    if options.out is None:
        parser.error("expected MODEL PLANES OUT")
    kernels = Kernels.REFERENCE if options.reference_kernels else Kernels.XNNPACK
    try:
        planes = _planes(options.planes)
        interpreter = backends.load(
            options.model.read_bytes(), backend=options.backend, threads=options.threads, kernels=kernels
        )
        arrays: dict[str, Any] = {
            **outputs_of(interpreter, planes),
            BACKEND: np.array(interpreter.backend),
            MACHINE: np.array(platform.machine()),
        }
        # An open file: given a path, savez would add a suffix to it.
        with options.out.open("wb") as stream:
            np.savez(stream, **arrays)
    except EdgemedError as error:
        print(f"replay: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"replay: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m edgemed.runtime.replay", description="Run planes through a model.")
    parser.add_argument("model", type=Path, nargs="?", help="TFLite or ONNX file")
    parser.add_argument("planes", type=Path, nargs="?", help="npy, uint8 (N, H, W)")
    parser.add_argument("out", type=Path, nargs="?", help="npz to write")
    parser.add_argument("--check", action="store_true", help="run nothing; exit 1 where no back end reads TFLite")
    parser.add_argument("--backend", choices=tuple(backends.BACKENDS), help="default: the first that is installed")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--reference-kernels", action="store_true", help="leave the default delegates out")
    return parser


def _check(backend: str | None) -> int:
    """Return 0 where a back end for TFLite files, or the named one, is installed."""
    wanted = (backend,) if backend else backends.TFLITE
    available = backends.available()
    lacking = [name for name in wanted if name not in available]
    if lacking == list(wanted):
        print(f"replay: not installed: {', '.join(lacking)}", file=sys.stderr)
        return 1
    return 0


def _planes(path: Path) -> NDArray[np.uint8]:
    try:
        # An open file: given a path, NumPy leaves an archive's file open.
        with path.open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
    except (ValueError, EOFError) as err:
        raise InferenceError(f"{path}: expected an npy file: {err}") from err
    if not isinstance(loaded, np.ndarray):
        raise InferenceError(f"{path}: expected one array, got an npz file")
    planes: NDArray[np.uint8] = loaded
    return planes


if __name__ == "__main__":
    sys.exit(main())
