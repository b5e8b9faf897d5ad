"""LiteRT, the default back end: ``ai_edge_litert``, with XNNPACK unless reference kernels are asked for."""

from __future__ import annotations

import importlib.util

from edgemed.errors import MissingDependencyError
from edgemed.runtime.interpreter import Delegate, Interpreter, Kernels

__all__ = ["LIBRARY", "REQUIRES", "is_available", "load"]

REQUIRES = "the package ai-edge-litert (pip install ai-edge-litert)"
LIBRARY = "ai_edge_litert.interpreter"


def is_available() -> bool:
    """Return whether ai-edge-litert is installed, without importing it."""
    return importlib.util.find_spec("ai_edge_litert") is not None


def load(
    model: bytes, *, threads: int = 1, kernels: Kernels = Kernels.XNNPACK, delegate: Delegate | None = None
) -> Interpreter:
    """Return the model, ready to run.

    Raises:
        MissingDependencyError: ai-edge-litert is absent or does not load here.
        InferenceError: the bytes are not a model LiteRT can run, or the delegate does not load.
    """
    from edgemed.runtime.backends import signature

    try:
        from ai_edge_litert import interpreter as library
    except ImportError as err:
        raise MissingDependencyError(f"litert: cannot be loaded: {err}; it needs {REQUIRES}") from err
    return signature.open_model(library, model, backend="litert", threads=threads, kernels=kernels, delegate=delegate)
