"""What native libraries write to stderr past Python, with their greetings left out.

with native.without_greetings():
    screener = Screener.open(bundle)
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["without_greetings"]

_GREETING = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU."
_STDERR = 2


@contextmanager
def without_greetings() -> Iterator[None]:
    """Hold stderr back while the body runs, and pass it on without the lines that say nothing; for the main thread."""
    try:
        kept = os.dup(_STDERR)
    except OSError:
        # Closed by who started us: nobody reads it.
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), _STDERR)
        try:
            yield
        finally:
            os.dup2(kept, _STDERR)
            os.close(kept)
            held.seek(0)
            for line in held:
                if line.rstrip() != _GREETING:
                    os.write(_STDERR, line)
