"""How far the answers of one int8 model lie apart between back ends, measured on real planes.

The reference is the back end that converts: LiteRT with XNNPACK. Kernels of LiteRT are compared in this process. A
peer is any other Python that can run the model: tflite-runtime in an environment of its own (it needs NumPy 1), or
another architecture under emulation. It answers with its own default back end and says who it is.

    spread = tolerance.measure(model, reference, planes, calibration=calibration, peers=(Path("arm64-python"),))
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import edgemed
from converters import answers
from converters.answers import Answers
from converters.operating import scores
from edgemed import targets
from edgemed.errors import ConversionError
from edgemed.runtime import backends, decision, golden, replay
from edgemed.runtime.interpreter import Kernels

__all__ = ["measure", "require_peers"]

_SECONDS_A_PLANE = 5.0  # generous: an emulated Cortex-A76 took 0.2
_START_SECONDS = 60.0


def require_peers(peers: Sequence[Path]) -> None:
    """Return when every peer can import what a measurement needs; found out before hours of training, not after.

    Raises:
        ConversionError: a peer cannot be run, or lacks a back end, NumPy or OpenCV.
    """
    for python in peers:
        _run([_executable(python), "-m", "edgemed.runtime.replay", "--check"], Path.cwd(), seconds=_START_SECONDS)


def measure(
    model: bytes,
    reference: Answers,
    planes: NDArray[np.uint8],
    *,
    calibration: decision.Calibration,
    peers: Sequence[Path] = (),
) -> golden.Tolerance:
    """Return the largest differences from the reference, one entry a back end and kernel set.

    Args:
        model: int8 TFLite file.
        reference: its answers on LiteRT with XNNPACK.
        planes: (N, H, W) uint8 validation planes; the same that gave the reference.
        calibration: for the difference of scores.
        peers: Python executables of environments with NumPy, OpenCV and an inference back end.

    Raises:
        ConversionError: a peer failed; its last line is in the message.
    """
    others = [answers.of(backends.load(model, backend="litert", kernels=Kernels.REFERENCE), planes)]
    for python in peers:
        others += [_asked(python, model, planes, reference, kernels) for kernels in Kernels]
    return golden.Tolerance(
        schema=1,
        reference=f"{reference.backend}/{reference.kernels.value}/{reference.architecture}",
        entries=tuple(_entry(reference, other, calibration) for other in (reference, *others)),
    )


def _entry(reference: Answers, other: Answers, calibration: decision.Calibration) -> golden.Entry:
    lsb = np.abs(reference.integers["logit"].astype(np.int32) - other.integers["logit"])
    apart = np.abs(scores(reference.logits, calibration) - scores(other.logits, calibration))
    return golden.Entry(
        backend=other.backend,
        kernels=other.kernels,
        architecture=other.architecture,
        n=len(lsb),
        # Both ran on the same planes: only exact steps are shipped, and they were tested to be bit-identical.
        plane_gray=0,
        logit_lsb=int(lsb.max()),
        score=float(apart.max()),
    )


def _asked(python: Path, model: bytes, planes: NDArray[np.uint8], reference: Answers, kernels: Kernels) -> Answers:
    """Run the model in another environment and bring its answers back."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(model)
        np.save(folder / "planes.npy", planes)
        command = [_executable(python), "-m", "edgemed.runtime.replay", "model.tflite", "planes.npy", "answers.npz"]
        command += ["--reference-kernels"] if kernels is Kernels.REFERENCE else []
        _run(command, folder, seconds=_START_SECONDS + _SECONDS_A_PLANE * len(planes))
        with np.load(folder / "answers.npz", allow_pickle=False) as arrays:
            return Answers(
                backend=str(arrays[replay.BACKEND]),
                kernels=kernels,
                architecture=targets.architecture(str(arrays[replay.MACHINE])),
                integers={key: arrays[key] for key in reference.integers},
                scales=reference.scales,
                zero_points=reference.zero_points,
            )


def _executable(python: Path) -> str:
    # Not resolved: a virtual environment's Python is a link, and is found by the link's place.
    return os.fspath(python.absolute())


def _run(command: list[str], folder: Path, *, seconds: float) -> None:
    # The peer runs this very source, whatever edgemed is installed there.
    sources = os.fspath(Path(edgemed.__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": sources}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=seconds, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        raise ConversionError(
            f"{command[0]}: cannot run the tolerance measurement: {err}; check --peer-python"
        ) from err
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ConversionError(f"{command[0]}: the tolerance measurement failed: {last}; check --peer-python")
