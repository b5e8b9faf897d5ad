"""A process of its own that is started before there is work for it, and does not outlive the block that started it.

Nothing but the standard library and the errors is imported here: what waits for the process gets it going first and
itself after.

    with standby.started([*standby.PROBE, str(store.path)]) as child:
        report = health.asking(child)(store, path)
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

from edgemed.errors import DeviceError

TYPE_CHECKING = False  # typing would keep the process that is to be started waiting
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["PROBE", "started"]

PROBE = (sys.executable, "-m", "edgemed", "device", "probe", "--store")
"""The health check; it takes the store's folder as its last argument, and its work from stdin."""


@contextlib.contextmanager
def started(words: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program, its three streams pipes; at the end of the block it is ended, and waited for.

    Raises:
        DeviceError: it cannot be started: no memory, too many processes or open files, or no such program.
    """
    # A session of its own: Ctrl-C is for this process, which then ends the child with all it started.
    try:
        child = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
    except OSError as err:
        raise DeviceError(
            f"{words[0]}: cannot be started: {err.strerror or err}; look at the device's memory and processes"
        ) from err
    try:
        yield child
    finally:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Leave no process of the child's session behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream is not None:
            stream.close()
