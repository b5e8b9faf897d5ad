"""What ``edgemed flash`` starts on a device: one process that says what the store holds, then installs what arrives.

    edgemed device receive --store DIR

The protocol is JSON, one document a line. First the device prints the document of ``device status`` on stdout. Then it
reads one line from stdin, an `edgemed.device.order.Order`: install the file that lies there now. It does so as
``device install`` would, prints that command's document and ends with its exit code; an error is one line on stderr.
The end of stdin, before a whole line has come, means that there is nothing to do: exit code 0, and a connection that is
lost leaves no process.

The process of the health check starts at once, so that what it needs is in memory when the upload is. Until it is asked
it does nothing. It ends with this process; if that is killed meanwhile, when the time of the check is over at the
latest (`edgemed.device.probe`).
"""

from __future__ import annotations

import os
import sys

from edgemed.device import standby
from edgemed.errors import EdgemedError, printable

TYPE_CHECKING = False  # as in `edgemed.device.standby`
if TYPE_CHECKING:
    from typing import Any, BinaryIO

__all__ = ["main", "receive"]


def receive(path: str, orders: BinaryIO, answers: BinaryIO) -> None:
    """Say what a store holds, and install what is ordered.

    Args:
        path: the store.
        orders: where at most one line comes from.
        answers: where the documents go.

    Raises:
        ConfigError: the order is none; or as `edgemed.device.install.install`.
        DeviceError: the process of the health check cannot be started.
        EdgemedError: there is no store, or as `edgemed.device.install.install`.
    """
    with standby.started([*standby.PROBE, path]) as child:
        # Imported here: meanwhile the process of the health check imports what it needs.
        from pathlib import Path

        from edgemed.device import answers as documents
        from edgemed.device import contents, health, install, order, store

        opened = store.open_store(Path(path))
        _answer(answers, documents.status(opened, contents.read(opened)))
        check = install.own_check(opened, health.asking(child))
        line = orders.readline(order.LIMIT_BYTES)
        if not line.endswith(b"\n") and len(line) < order.LIMIT_BYTES:
            return
        asked = order.parse(line)
        done = install.install(
            opened,
            Path(asked.path),
            tentative=asked.tentative,
            strict_latency=asked.strict_latency,
            check=check,
        )
        _answer(answers, documents.installed(opened, done))


def _answer(answers: BinaryIO, document: dict[str, Any]) -> None:
    from edgemed import schema

    answers.write(schema.encode_document(document) + b"\n")
    answers.flush()


def main(store: str) -> int:
    """Run the program without the start of the command line; return 0, or the exit code of the error it printed."""
    try:
        receive(store, sys.stdin.buffer, sys.stdout.buffer)
    except EdgemedError as error:
        sys.stderr.write(f"edgemed: {printable(str(error))}\n")
        return error.exit_code
    except BrokenPipeError:
        # Nobody reads the answer any more: the interpreter's own flush at the end shall not fail either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0
