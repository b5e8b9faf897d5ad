"""The command ``edgemed``, also ``python -m edgemed``.

What a workstation starts on a device, ``edgemed device receive --store DIR``, and the health check that this starts in
turn, ``python -m edgemed device probe --store DIR``, begin without the rest of the command line: they are waited for.
"""

from __future__ import annotations

import gc
import os
import sys

__all__ = ["main"]

_OBJECTS = 50_000  # made until Python looks for garbage
_INTERRUPTED = 130  # as `edgemed.cli`
_RECEIVE = ["device", "receive", "--store"]
_PROBE = ["device", "probe", "--store"]


def main() -> int:
    """Run the command line of this process and return its exit code."""
    # Imports make many objects that all stay: looking for garbage among them every 700 would take 20 ms.
    gc.set_threshold(_OBJECTS)
    *words, last = sys.argv[1:] or [""]
    if words == _RECEIVE and last:
        from edgemed.device import receive

        return _ended(receive.main(last))
    if words == _PROBE and last:
        from edgemed.device import probe

        return _ended(probe.main(last))
    try:
        from edgemed import cli

        return cli.main()
    except KeyboardInterrupt:  # while it was being imported: it words what comes later itself
        sys.stderr.write("edgemed: interrupted\n")
        return _INTERRUPTED


def _ended(code: int) -> int:
    """End the process with its answer, which is waited for: Python's own shutdown takes 10 ms and frees nothing."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
