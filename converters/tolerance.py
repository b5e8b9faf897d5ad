"""How far answers lie apart between back ends, and between the models of one bundle, measured on real planes.

The reference is the int8 model on the back end that converts: LiteRT with XNNPACK. Kernels of LiteRT are compared in
this process. A peer is any other Python that can run the model: tflite-runtime in an environment of its own (it needs
NumPy 1), or another architecture under emulation. It answers with its own default back end and says who it is. Another
member of the bundle, a QDQ or float ONNX, is compared on the back end that this environment has for it.

    spread = tolerance.measure(
        model, reference, planes, preprocessing=preprocessing, calibration=calibration, peers=(Path("arm64-python"),)
    )
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

import edgemed
from converters import answers
from converters.answers import Answers
from converters.scaling import scores
from edgemed import targets
from edgemed.bundle import models
from edgemed.errors import ConversionError
from edgemed.imaging import preprocess
from edgemed.imaging.preprocess import Preprocessing
from edgemed.runtime import backends, decision, golden, outputs, replay
from edgemed.runtime.interpreter import Kernels

__all__ = ["entry", "measure", "of_float", "require_peers"]

_SECONDS_A_PLANE = 5.0  # generous: an emulated Cortex-A76 took 0.2
_START_SECONDS = 60.0
_PEER_PLANES = 128  # evenly over validation: under emulation 600 planes took a quarter of an hour


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
    preprocessing: Preprocessing,
    calibration: decision.Calibration,
    peers: Sequence[Path] = (),
    others: Mapping[str, bytes] = MappingProxyType({}),
) -> golden.Tolerance:
    """Return the largest differences from the reference, one entry a member, back end and kernel set.

    Args:
        model: int8 TFLite file.
        reference: its answers on LiteRT with XNNPACK.
        planes: (N, H, W) uint8 validation planes; the same that gave the reference.
        preprocessing: that made the planes; the steps say how far planes of two platforms may lie apart.
        calibration: for the difference of scores.
        peers: Python executables of environments with NumPy, OpenCV and an inference back end; they answer to at most
            128 of the planes, and their entries say to how many.
        others: further models of the bundle by member name, which a back end of this environment can run.

    Raises:
        ConversionError: a peer failed, with its last line in the message, or it answered something else.
        BundleError: another member breaks the model contract.
        InferenceError: another member cannot be run, or a float model answered NaN or infinity.
        MissingDependencyError: no back end for another member is installed.
    """
    labels = reference.labels
    here = answers.of(backends.load(model, backend="litert", kernels=Kernels.REFERENCE), planes, labels=labels)
    found = [(models.INT8, reference, other) for other in (reference, here)]
    some = np.unique(np.linspace(0, len(planes) - 1, min(len(planes), _PEER_PLANES)).round().astype(np.int64))
    expected = answers.some(reference, some)
    for python in peers:
        found += [
            (models.INT8, expected, _asked(python, model, planes[some], expected, kernels)) for kernels in Kernels
        ]
    for member, raw in others.items():
        (backend, *_) = models.MODELS[member].backends
        found.append((member, reference, answers.of(backends.load(raw, backend=backend), planes, labels=labels)))
    gray = preprocess.tolerance_gray(preprocessing)
    return golden.Tolerance(
        schema=1,
        reference=f"{reference.backend}/{reference.kernels.value}/{reference.architecture}",
        entries=tuple(
            entry(beside, other, member=member, calibration=calibration, plane_gray=gray)
            for member, beside, other in found
        ),
    )


def of_float(model: bytes, reference: Answers, planes: NDArray[np.uint8]) -> float:
    """Return the largest difference of a logit between the kernels of LiteRT, in its unit, for a float model.

    Args:
        model: float TFLite file.
        reference: its answers on LiteRT with XNNPACK.
        planes: (N, H, W) uint8, the same that gave the reference.
    """
    interpreter = backends.load(model, backend="litert", kernels=Kernels.REFERENCE)
    other = answers.of(interpreter, planes, labels=reference.labels)
    return float(np.abs(reference.logits - other.logits).max())


def entry(
    reference: Answers, other: Answers, *, member: str, calibration: decision.Calibration, plane_gray: int
) -> golden.Entry:
    """Return the largest differences of one member's answers from the reference's, for the same planes.

    Args:
        reference: of the int8 model, on the back end that converts.
        other: of any member, in integers or in real numbers.
        member: name of the model that gave ``other``.
        calibration: for the difference of scores.
        plane_gray: grey levels that planes of two platforms may lie apart.
    """
    lsb = outputs.lsb_apart(other.real("logit"), reference.integers["logit"], reference.quantization("logit"))
    apart = np.abs(scores(reference.logits, calibration) - scores(other.logits, calibration))
    return golden.Entry(
        member=member,
        accelerated=other.accelerated,
        backend=other.backend,
        kernels=other.kernels,
        architecture=other.architecture,
        n=len(apart),
        plane_gray=plane_gray,
        logit_lsb=lsb,
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
        return _read(folder / "answers.npz", reference, kernels, python)


def _read(path: Path, reference: Answers, kernels: Kernels, python: Path) -> Answers:
    """Read what a peer wrote, and believe nothing of it."""
    names = (replay.BACKEND, replay.MACHINE, *reference.integers)
    try:
        # An open file: given a path, np.load leaves the file of a cut archive open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in names}
    # A file that NumPy takes for a single array gives no context manager: TypeError, AttributeError before 3.11.
    except (OSError, EOFError, KeyError, ValueError, TypeError, AttributeError, zlib.error, zipfile.BadZipFile) as err:
        raise ConversionError(f"{python}: its answers cannot be read: {err}; check --peer-python") from err
    for name in (replay.BACKEND, replay.MACHINE):
        if found[name].dtype.kind != "U" or found[name].shape:
            raise ConversionError(f"{python}: {name}: expected a text, got {found[name].dtype}; check --peer-python")
    for name, expected in reference.integers.items():
        if found[name].dtype != np.int8 or found[name].shape != expected.shape:
            raise ConversionError(
                f"{python}: {name}: expected int8 {expected.shape}, got {found[name].dtype} {found[name].shape}; "
                "check --peer-python"
            )
    return Answers(
        backend=str(found[replay.BACKEND]),
        kernels=kernels,
        architecture=targets.architecture(str(found[replay.MACHINE])),
        tensors={name: found[name] for name in reference.integers},
        specs=reference.specs,
        labels=reference.labels,
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
            command, cwd=folder, env=environment, capture_output=True, timeout=seconds, check=False, errors="replace"
        )
    except subprocess.TimeoutExpired as err:
        raise ConversionError(f"{command[0]}: did not answer within {seconds:g} s; check --peer-python") from err
    except OSError as err:
        raise ConversionError(f"{command[0]}: cannot be run: {err.strerror or err}; check --peer-python") from err
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ConversionError(f"{command[0]}: the tolerance measurement failed: {last}; check --peer-python")
