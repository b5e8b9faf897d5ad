"""Optional libraries that a command needs, asked for before it starts.

extras.require("train")
"""

from __future__ import annotations

import importlib.util
import os

from edgemed.errors import MissingDependencyError

__all__ = ["require"]

_MODULES = {"train": ("keras", "tensorflow", "sklearn")}


def require(extra: str) -> None:
    """Return when the libraries of an extra are installed.

    Raises:
        MissingDependencyError: one is absent; the message says what to install.
    """
    missing = [name for name in _MODULES[extra] if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingDependencyError(
            f"{', '.join(missing)}: not installed; this command needs the extra {extra!r} (Python 3.11 or newer): "
            f"pip install 'edgemed[{extra}]'"
        )
    # TensorFlow's C++ side writes start-up notices to stderr; they say nothing about the user's work.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # the default; unsaid, TensorFlow prints a line about it
