"""The command ``edgemed``, also ``python -m edgemed``.

What a workstation starts on a device, ``edgemed device receive --store DIR``, begins without the rest of the command
line: the workstation waits for it.
"""

from __future__ import annotations

import sys

__all__ = ["main"]

_RECEIVE = ["device", "receive", "--store"]


def main() -> int:
    """Run the command line of this process and return its exit code."""
    *words, last = sys.argv[1:] or [""]
    if words == _RECEIVE and last:
        from pathlib import Path

        from edgemed.device import receive

        return receive.main(Path(last))
    from edgemed import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
