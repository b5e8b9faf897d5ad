"""edgemed: screening models from a Keras training run to a signed int8 bundle that a portable unit runs offline.

Research software: an output is an abnormality score, never a diagnosis. The public names load what they need on
first use; ``import edgemed`` itself loads nothing.

    screener = edgemed.Screener.open("chest-xray")
    for frame in edgemed.read(Path("scan.dcm")):
        print(screener.screen(frame).decision)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgemed.bundle.archive import Bundle as Bundle
    from edgemed.bundle.trust import open_bundle as open_bundle
    from edgemed.errors import EdgemedError as EdgemedError
    from edgemed.imaging.frame import Frame as Frame
    from edgemed.imaging.readers import read as read
    from edgemed.runtime.decision import Decision as Decision
    from edgemed.runtime.screener import Screener as Screener
    from edgemed.runtime.screener import Screening as Screening
    from edgemed.targets import Target as Target

    __version__: str

__all__ = [
    "Bundle",
    "Decision",
    "EdgemedError",
    "Frame",
    "Screener",
    "Screening",
    "Target",
    "__version__",
    "open_bundle",
    "read",
]

_HOME = {
    "Bundle": "edgemed.bundle.archive",
    "Decision": "edgemed.runtime.decision",
    "EdgemedError": "edgemed.errors",
    "Frame": "edgemed.imaging.frame",
    "Screener": "edgemed.runtime.screener",
    "Screening": "edgemed.runtime.screener",
    "Target": "edgemed.targets",
    "open_bundle": "edgemed.bundle.trust",
    "read": "edgemed.imaging.readers",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module on first use."""
    if name == "__version__":
        value: Any = _version()
    elif name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'edgemed' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))


def _version() -> str:
    """Return the installed version, or in a checkout that is not installed the one its pyproject.toml states."""
    from importlib import metadata

    try:
        return metadata.version("edgemed")
    except metadata.PackageNotFoundError:
        return _checkout_version()


def _checkout_version() -> str:
    import re
    from pathlib import Path

    project = Path(__file__).resolve().parents[1] / "pyproject.toml"
    found = re.search(r'^version = "([^"]+)"', project.read_text("utf-8"), re.MULTILINE) if project.is_file() else None
    return found.group(1) if found else "0.0.0"
