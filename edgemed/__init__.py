"""edgemed: screening models from a Keras training run to a signed int8 bundle that a portable unit runs offline.

Research software: an output is an abnormality score, never a diagnosis. The public names load what they need on
first use; ``import edgemed`` itself loads nothing.

    screener = edgemed.Screener.open("chest-xray")
    for frame in edgemed.read(Path("scan.dcm")):
        print(screener.screen(frame).decision)
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers know the name; typing itself would be half of what `import edgemed` costs
if TYPE_CHECKING:
    from typing import Any

    from edgemed.bundle.archive import Bundle as Bundle
    from edgemed.bundle.trust import open_bundle as open_bundle
    from edgemed.errors import EdgemedError as EdgemedError
    from edgemed.imaging.frame import Frame as Frame
    from edgemed.imaging.readers import read as read
    from edgemed.runtime.decision import Decision as Decision
    from edgemed.runtime.screener import Screener as Screener
    from edgemed.runtime.screener import Screening as Screening
    from edgemed.targets import Target as Target

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

# Stated here too: to ask the installed metadata costs a device 15 ms at every start. A test compares the two.
__version__ = "0.1.0"

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
    if name not in _HOME:
        raise AttributeError(f"module 'edgemed' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
