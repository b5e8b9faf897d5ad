"""The inference back ends, by name; the first that is installed is the default.

A new one is a module with the names of `Backend` and a line in `BACKENDS`.

    interpreter = backends.load(model, threads=2)
    outputs = interpreter.invoke({"image": tensor})
"""

from __future__ import annotations

import contextlib
import importlib
from typing import Protocol, cast

from edgemed.errors import ConfigError, MissingDependencyError
from edgemed.runtime.interpreter import Delegate, Interpreter, Kernels

__all__ = ["BACKENDS", "ONNX", "TFLITE", "Backend", "available", "load", "preload"]

BACKENDS = {
    "litert": "edgemed.runtime.backends.litert",
    "tflite-runtime": "edgemed.runtime.backends.tflite_runtime",
    "onnxruntime": "edgemed.runtime.backends.onnxruntime",
}
"""Module of each back end, in order of preference."""

TFLITE = ("litert", "tflite-runtime")
"""Those that read TFLite files, in order of preference."""

ONNX = ("onnxruntime",)
"""Those that read ONNX files."""


class Backend(Protocol):
    """The names that the module of a back end has."""

    REQUIRES: str
    LIBRARY: str  # the module that `load` imports

    def is_available(self) -> bool:
        """Return whether `load` would find its library, without importing it."""
        ...

    def load(
        self, model: bytes, *, threads: int = 1, kernels: Kernels = Kernels.XNNPACK, delegate: Delegate | None = None
    ) -> Interpreter:
        """Return the model, ready to run."""
        ...


def available() -> tuple[str, ...]:
    """Return the names of the back ends whose library is installed, preferred first."""
    return tuple(name for name in BACKENDS if _module(name).is_available())


def preload() -> None:
    """Import the library of the preferred back end, for a process that waits for its model; `load` says what fails."""
    for name in available()[:1]:
        with contextlib.suppress(ImportError):
            importlib.import_module(_module(name).LIBRARY)


def load(
    model: bytes,
    *,
    backend: str | None = None,
    threads: int = 1,
    kernels: Kernels = Kernels.XNNPACK,
    delegate: Delegate | None = None,
) -> Interpreter:
    """Return a model ready to run on one back end.

    Args:
        model: bytes of a TFLite or ONNX file.
        backend: a name of `BACKENDS`; None takes the first that is installed and reads the model's format.
        threads: at least 1.
        kernels: reference kernels serve to measure tolerances.
        delegate: takes over what it can of a TFLite model.

    Raises:
        ConfigError: no back end has this name.
        MissingDependencyError: the back end, or every back end, is not installed.
        InferenceError: the bytes are not a model this back end can run, or the delegate does not load.
    """
    if threads < 1:
        raise ValueError(f"threads: expected at least 1, got {threads}")
    return _module(_chosen(backend, model)).load(model, threads=threads, kernels=kernels, delegate=delegate)


def _chosen(backend: str | None, model: bytes) -> str:
    """Return the name of the back end to use."""
    if backend is not None and backend not in BACKENDS:
        raise ConfigError(f"backend: expected one of {', '.join(BACKENDS)}, got {backend!r}")
    wanted = _readers(model) if backend is None else (backend,)
    for name in wanted:
        if _module(name).is_available():
            return name
    lacks = "; ".join(f"{name} needs {_module(name).REQUIRES}" for name in wanted)
    raise MissingDependencyError(f"no inference back end can be loaded: {lacks}")


def _readers(model: bytes) -> tuple[str, ...]:
    """Return the back ends for a model's format; what is neither TFLite nor ONNX is left for TFLite's to refuse."""
    # An ONNX file begins with the field ir_version, number 1 of the protobuf message ModelProto.
    is_onnx = model[:1] == b"\x08" and model[4:8] != b"TFL3"
    return ONNX if is_onnx else TFLITE


def _module(name: str) -> Backend:
    return cast("Backend", importlib.import_module(BACKENDS[name]))
