"""From a trained Keras model to a full int8 TFLite file that decides as the float model did.

Quantization-aware training or calibration alone, export, the parity gate, and the artifact folder that
`edgemed bundle build` takes. It imports `edgemed.runtime` and below; data, labels and fit options reach it as values.
Converting needs the extra ``train``; importing this package does not: public names load what they need on first use.

    artifact = converters.convert(model, target=targets.load("coral-usb"), train=train, validation=validation, ...)
    converters.write(folder, artifact)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from converters.artifact import Artifact as Artifact
    from converters.artifact import write as write
    from converters.calibration import Calibration as Calibration
    from converters.card import Facts as Facts
    from converters.conversion import convert as convert
    from converters.gate import Criterion as Criterion
    from converters.gate import Gate as Gate
    from converters.gate import Indeterminate as Indeterminate
    from converters.mode import Mode as Mode
    from converters.parity import Parity as Parity
    from converters.parity import ParityError as ParityError

__all__ = [
    "Artifact",
    "Calibration",
    "Criterion",
    "Facts",
    "Gate",
    "Indeterminate",
    "Mode",
    "Parity",
    "ParityError",
    "convert",
    "write",
]

_HOME = {
    "Artifact": "converters.artifact",
    "Calibration": "converters.calibration",
    "Criterion": "converters.gate",
    "Facts": "converters.card",
    "Gate": "converters.gate",
    "Indeterminate": "converters.gate",
    "Mode": "converters.mode",
    "Parity": "converters.parity",
    "ParityError": "converters.parity",
    "convert": "converters.conversion",
    "write": "converters.artifact",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module on first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'converters' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
