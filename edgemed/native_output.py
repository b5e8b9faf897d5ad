"""What native libraries write to stderr on their own, moved to the log: results and errors stay readable.

The library itself never prints; this keeps what it calls from doing so.

    with native_output.to_log(_LOGGER):
        import tensorflow
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from logging import Logger
from typing import IO

__all__ = ["to_log"]


@contextmanager
def to_log(logger: Logger) -> Iterator[None]:
    """Catch everything the process writes to file descriptor 2, and log it at debug level, a record a line.

    Process-wide while it lasts: for the moment of a native library's start, not for work in several threads. Where
    stderr is closed, or there is no place to keep a file, nothing is caught. What a native call writes before it
    aborts the process is lost: nobody is left to log it.
    """
    with ExitStack() as ends:
        try:
            kept = os.dup(2)
            ends.callback(os.close, kept)
            caught = ends.enter_context(_anonymous_file())
        except OSError:
            yield
            return
        ends.callback(_log, caught, logger)
        _flush()
        ends.callback(os.dup2, kept, 2)  # ends run last first: restored, then logged, then closed
        ends.callback(_flush)
        os.dup2(caught.fileno(), 2)
        yield


def _log(caught: IO[bytes], logger: Logger) -> None:
    caught.seek(0)
    for line in caught.read().decode(errors="replace").splitlines():
        logger.debug(line)


def _flush() -> None:
    """Write out what Python holds back for stderr; where that fails, its next writer learns of it."""
    # ValueError: closed.
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            sys.stderr.flush()


def _anonymous_file() -> IO[bytes]:
    """Return a file in memory where the system has them: a device's disk may be read-only."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("edgemed"), "w+b")
    return tempfile.TemporaryFile()
