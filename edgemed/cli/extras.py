"""Optional libraries that a command needs: asked for before it starts, imported when the cheap checks are done.

extras.require("train")
extras.load("train")
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
from collections.abc import Sequence

from edgemed.errors import MissingDependencyError

__all__ = ["load", "require"]

_LOGGER = logging.getLogger(__name__)
_MODULES = {"train": ("keras", "tensorflow", "sklearn", "matplotlib", "jinja2")}


def require(extra: str, *, modules: Sequence[str] | None = None) -> None:
    """Return when the libraries of an extra are installed; nothing is imported.

    Args:
        extra: its name.
        modules: those of it that the command needs; None for all.

    Raises:
        MissingDependencyError: one is absent; the message says what to install.
    """
    missing = [name for name in modules or _MODULES[extra] if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingDependencyError(
            f"{', '.join(missing)}: not installed; this command needs the extra {extra!r} (Python 3.11 or newer): "
            f"pip install 'edgemed[{extra}]'"
        )


def load(extra: str) -> None:
    """Import the libraries of an extra, with what they print at their start moved to the log.

    Raises:
        MissingDependencyError: one is absent; the message says what to install.
    """
    require(extra)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from edgemed import native_output

    with native_output.to_log(_LOGGER):
        for name in _MODULES[extra]:
            importlib.import_module(name)
