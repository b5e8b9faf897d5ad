"""ONNX Runtime: TensorRT on a Jetson where its provider is installed, the CPU everywhere else.

interpreter = backends.load(bundle.members["model/qdq.onnx"], backend="onnxruntime")
"""

from __future__ import annotations

import importlib.util
from typing import Any

from edgemed.errors import InferenceError, MissingDependencyError
from edgemed.runtime.interpreter import Delegate, Interpreter, Kernels

__all__ = ["LIBRARY", "REQUIRES", "TENSORRT", "is_available", "load", "providers"]

REQUIRES = "the package onnxruntime (pip install 'edgemed[jetson]'; on a Jetson NVIDIA's onnxruntime-gpu)"
LIBRARY = "onnxruntime"
TENSORRT = "TensorrtExecutionProvider"
_PREFERRED = (TENSORRT, "CUDAExecutionProvider", "CPUExecutionProvider")


def is_available() -> bool:
    """Return whether onnxruntime is installed, without importing it."""
    return importlib.util.find_spec("onnxruntime") is not None


def providers() -> tuple[str, ...]:
    """Return the execution providers that the installed onnxruntime has and edgemed asks for, preferred first.

    Raises:
        MissingDependencyError: onnxruntime is absent or does not load here.
    """
    installed = _library().get_available_providers()
    return tuple(name for name in _PREFERRED if name in installed)


def load(
    model: bytes, *, threads: int = 1, kernels: Kernels = Kernels.XNNPACK, delegate: Delegate | None = None
) -> Interpreter:
    """Return the model, ready to run.

    Args:
        model: bytes of an ONNX file, static shapes, float32 inputs and outputs.
        threads: for the operators on the CPU.
        kernels: reference keeps the graph as it is written, Q/DQ pairs included, on the CPU.
        delegate: of TFLite; ONNX Runtime has none.

    Raises:
        MissingDependencyError: onnxruntime is absent or does not load here.
        InferenceError: the bytes are not a model that onnxruntime can run, or not of this kind; or a delegate is given.
    """
    from edgemed.runtime.backends import onnx_session

    if delegate is not None:
        raise InferenceError(f"onnxruntime: {delegate.library}: loads no TFLite delegate; choose a back end for TFLite")
    library = _library()
    return onnx_session.open_model(library, model, providers=providers(), threads=threads, kernels=kernels)


def _library() -> Any:
    try:
        import onnxruntime
    except ImportError as err:
        raise MissingDependencyError(f"onnxruntime: cannot be loaded: {err}; it needs {REQUIRES}") from err
    return onnxruntime
