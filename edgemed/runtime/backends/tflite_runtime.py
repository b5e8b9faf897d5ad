"""tflite-runtime, LiteRT's predecessor, for devices whose libedgetpu was built for it: Python <= 3.11, NumPy < 2."""

from __future__ import annotations

import importlib.util

import numpy as np

from edgemed.errors import MissingDependencyError
from edgemed.runtime.interpreter import Delegate, Interpreter, Kernels

__all__ = ["LIBRARY", "REQUIRES", "is_available", "load"]

REQUIRES = "the package tflite-runtime with NumPy below 2, Python 3.11 or older (pip install 'edgemed[tflite]')"
LIBRARY = "tflite_runtime.interpreter"


def is_available() -> bool:
    """Return whether tflite-runtime is installed beside a NumPy it works with, without importing it."""
    # Its extension was built against NumPy 1 and stops the interpreter's import under NumPy 2.
    old_numpy = int(np.__version__.split(".", maxsplit=1)[0]) < 2
    return old_numpy and importlib.util.find_spec("tflite_runtime") is not None


def load(
    model: bytes, *, threads: int = 1, kernels: Kernels = Kernels.XNNPACK, delegate: Delegate | None = None
) -> Interpreter:
    """Return the model, ready to run.

    Raises:
        MissingDependencyError: tflite-runtime is absent or does not load here.
        InferenceError: the bytes are not a model tflite-runtime can run, or the delegate does not load.
    """
    from edgemed.runtime.backends import signature

    try:
        from tflite_runtime import interpreter as library
    except ImportError as err:
        raise MissingDependencyError(f"tflite-runtime: cannot be loaded: {err}; it needs {REQUIRES}") from err
    return signature.open_model(
        library, model, backend="tflite-runtime", threads=threads, kernels=kernels, delegate=delegate
    )
