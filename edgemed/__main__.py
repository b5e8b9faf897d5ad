"""``python -m edgemed``: the command ``edgemed``."""

from __future__ import annotations

import sys

from edgemed.cli import main

if __name__ == "__main__":
    sys.exit(main())
