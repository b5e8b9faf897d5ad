"""The sink ``stdout``: JSON Lines on standard output.

Rule: lines go to the descriptor itself, whole: a thread that waits inside Python's buffer for a reader that has stopped
would keep the interpreter from ending.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from edgemed.errors import ConfigError
from edgemed.runtime.sinks.delivery import Channel, Surroundings
from edgemed.runtime.sinks.options import Options
from edgemed.runtime.worker import DeliveryError, Worker

__all__ = ["Stdout", "StdoutSettings", "read"]


@dataclass(frozen=True, kw_only=True)
class StdoutSettings:
    """Standard output has nothing to set."""

    def open(self, name: str, surroundings: Surroundings) -> Channel:
        """Return the sink."""
        sys.stdout.flush()  # what was printed before comes before
        return Worker(Stdout(1), name=name, tell=surroundings.tell, waiting=surroundings.waiting)


def read(rest: str, options: Options) -> StdoutSettings:
    """Return the settings of the text behind the colon.

    Raises:
        ConfigError: there is something.
    """
    if rest:
        raise ConfigError(f"sink {options.sink!r}: expected nothing behind stdout, got {rest!r}")
    return StdoutSettings()


class Stdout:
    """Writes lines to a descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def deliver(self, line: bytes) -> None:
        """Write a line.

        Raises:
            DeliveryError: the reader has gone, or the disk behind it is full.
        """
        left = line + b"\n"
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as err:
            raise DeliveryError(f"cannot be written: {err.strerror or err}") from err

    def settle(self) -> None:
        """Do nothing: there is no buffer."""

    def abort(self) -> None:
        """Do nothing: the thread ends with the process."""

    def close(self) -> None:
        """Leave the descriptor open: it is the process's own."""
