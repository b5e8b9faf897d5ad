"""The machine and the libraries that a figure was measured with; no host name and no path.

found = environment.here()
"""

from __future__ import annotations

import platform

import msgspec

from edgemed.measure import machine

__all__ = ["Environment", "here"]

_LIBRARIES = ("ai-edge-litert", "keras", "numpy", "opencv-python-headless", "tensorflow", "tensorflow-cpu")


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """What computed.

    Attributes:
        cpu: as the processor calls itself.
        cores: that this process may use.
        memory_mib: of the machine; None where the system does not say.
        versions: of Python and the libraries that convert, by their package's name.
    """

    system: str
    architecture: str
    cpu: str
    cores: int
    memory_mib: int | None
    versions: dict[str, str]


def here() -> Environment:
    """Return the environment of this process."""
    return Environment(
        system=f"{platform.system()} {platform.release()}",
        architecture=platform.machine(),
        cpu=machine.cpu_name(),
        cores=machine.cores(),
        memory_mib=machine.memory_mib(),
        versions={"python": platform.python_version(), **machine.versions(_LIBRARIES)},
    )
