"""What native libraries write to stderr on their own, caught: moved to the log, or read for what it says.

The library itself never prints; this keeps what it calls from doing so. Some decoders have no other way to say that
data are damaged. Descriptor 2 belongs to the whole process: one block at a time, others wait.

    with native_output.to_log(_LOGGER):
        import tensorflow
    with native_output.captured(re.compile("Corrupt JPEG data: .*")) as words:
        image = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from logging import Logger

__all__ = ["captured", "to_log"]

# Two threads that swap descriptor 2 at once could leave it swapped.
_SWAP = threading.RLock()


@contextmanager
def captured(pattern: re.Pattern[str]) -> Iterator[list[str]]:
    """Yield a list that, once the block has ended, holds what of native stderr matches, line by line.

    Of a pattern with one group, the list holds the group.

    Other lines, and those of other threads, go on to stderr when the block ends. Nothing is caught where `to_log`
    catches nothing. Costs about 20 microseconds.
    """
    found: list[str] = []

    def sort_out(raw: bytes) -> None:
        for line in raw.splitlines(keepends=True):
            if match := pattern.search(line.decode(errors="replace")):
                found.append(match[pattern.groups])
            else:
                with contextlib.suppress(OSError):
                    os.write(2, line)

    with _caught(sort_out):
        yield found


@contextmanager
def to_log(logger: Logger) -> Iterator[None]:
    """Catch everything the process writes to file descriptor 2, and log it at debug level, a record a line.

    Process-wide while it lasts: for the moment of a native library's start, not for work in several threads. Where
    stderr is closed, or there is no place to keep a file, nothing is caught. What a native call writes before it
    aborts the process is lost: nobody is left to log it.
    """

    def log(raw: bytes) -> None:
        for line in raw.decode(errors="replace").splitlines():
            logger.debug(line)

    with _caught(log):
        yield


@contextmanager
def _caught(take: Callable[[bytes], None]) -> Iterator[None]:
    """Hand over, after the block and with stderr restored, all that was written to descriptor 2."""
    with _SWAP, ExitStack() as ends:
        try:
            kept = os.dup(2)
            ends.callback(os.close, kept)
            caught = ends.enter_context(_anonymous_file())
        except OSError:
            yield
            return
        ends.callback(_hand_over, caught, take)
        _flush()
        ends.callback(os.dup2, kept, 2)  # ends run last first: restored, then handed over, then closed
        ends.callback(_flush)
        os.dup2(caught.fileno(), 2)
        yield


def _hand_over(caught: IO[bytes], take: Callable[[bytes], None]) -> None:
    caught.seek(0)
    if raw := caught.read():
        take(raw)


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
    import tempfile

    return tempfile.TemporaryFile()
