"""One change of a store at a time.

Rules: the lock is the kernel's (flock on ``STORE/lock``), so it ends with the process that holds it, however that ends,
and a file that is left behind locks nothing; readers take none.

    with lock.held(store.path):
        ...
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from edgemed import files
from edgemed.errors import DeviceError

__all__ = ["held"]


@contextlib.contextmanager
def held(folder: Path, *, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock of a store for the length of a block.

    Args:
        folder: the store.
        wait_s: how long to wait for another holder.

    Raises:
        DeviceError: another process holds it, or the store cannot be written.
    """
    path = folder / "lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as err:
        raise DeviceError(
            f"{path}: cannot be opened: {err.strerror or err}; a store is changed by a user who may write it, "
            "on a file system that is mounted for writing"
        ) from err
    try:
        if not files.locked(descriptor, wait_s=wait_s):
            raise DeviceError(f"{folder}: another edgemed is changing this store; try again when it has ended")
        yield
    finally:
        os.close(descriptor)  # and with it the lock
