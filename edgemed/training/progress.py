"""Whom long work tells how far it is.

report.start("epoch 1", total=144)
report.advance()
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "Silent"]


class Progress(Protocol):
    """Told what goes on; the command line draws bars from it."""

    def start(self, what: str, total: int) -> None:
        """Begin a stage of ``total`` steps."""
        ...

    def advance(self) -> None:
        """One step is done."""
        ...

    def note(self, text: str) -> None:
        """Something worth a line."""
        ...


class Silent:
    """A `Progress` that says nothing."""

    def start(self, what: str, total: int) -> None:
        """Ignore."""

    def advance(self) -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""
