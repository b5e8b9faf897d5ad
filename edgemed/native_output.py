"""What native libraries write to stderr on their own, moved to the log: results and errors stay readable.

The library itself never prints; this keeps what it calls from doing so.

    with native_output.to_log(_LOGGER):
        import tensorflow
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from logging import Logger
from typing import IO

__all__ = ["to_log"]


@contextmanager
def to_log(logger: Logger) -> Iterator[None]:
    """Catch everything the process writes to file descriptor 2, and log it at debug level, a record a line.

    Process-wide while it lasts: for the moment of a native library's start, not for work in several threads. Without
    an open stderr nothing is caught.
    """
    try:
        kept = os.dup(2)
    except OSError:
        yield
        return
    with _anonymous_file() as caught:
        sys.stderr.flush()
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            for line in caught.read().decode(errors="replace").splitlines():
                logger.debug(line)


def _anonymous_file() -> IO[bytes]:
    """Return a file in memory where the system has them: a device's disk may be read-only."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("edgemed"), "w+b")
    return tempfile.TemporaryFile()
