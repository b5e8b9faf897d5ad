"""The active bundle of a store, ready to screen: what ``edgemed screen`` and every program on a device begins with.

opened = screening.open_screener(Path("/var/lib/edgemed"))
for frame in edgemed.read(Path("scan.dcm")):
    print(opened.screener.screen(frame).decision)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgemed import targets
from edgemed.device import store as stores
from edgemed.device import switch
from edgemed.runtime.screener import Screener

__all__ = ["Opened", "open_screener"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """A screener for the active bundle; ``warnings`` say what is amiss with the store, a sentence each."""

    screener: Screener
    warnings: tuple[str, ...]


def open_screener(path: Path, *, backend: str | None = None, threads: int | None = None) -> Opened:
    """Return the active bundle of a store with its overlays in force, verified at this moment and loaded.

    It counts as a start: a tentative bundle has one less afterwards, or gives way to the previous one.

    Args:
        path: the store.
        backend: a name of `edgemed.runtime.backends.BACKENDS`; None takes the first that reads the model.
        threads: for the inference, at least 1; None takes the target's.

    Raises:
        ConfigError: there is no store, or no bundle in it; or no back end has this name.
        DeviceError: a start cannot be counted, or the store is of another edgemed.
        BundleError: no bundle in the store verifies, or an overlay is missing or does not.
        MissingDependencyError: no back end is installed.
    """
    store = stores.open_store(path)
    found = switch.start(store)
    # The generic target needs no look at its file, which would cost every start the import of YAML.
    target = None if store.target == targets.generic_id() else store.target
    screener = Screener.open(switch.decided(store, found), target=target, backend=backend, threads=threads)
    return Opened(screener=screener, warnings=found.warnings)
