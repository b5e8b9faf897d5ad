"""What reading code raises inside `edgemed.tflite`; `edgemed.tflite.read` puts the file's name before it."""

from __future__ import annotations

__all__ = ["DamageError"]


class DamageError(Exception):
    """A place in the file and what is wrong there."""
