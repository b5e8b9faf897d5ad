"""Progress bars on stderr for work of minutes.

with progress.bars() as bars:
    fit.train(recipe, folder, out, progress=bars)
with progress.transfer() as bars:
    asyncio.run(flash.flash(cargo, session, device=device, how=how, progress=bars))
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgemed.cli import output

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Bars", "Notes", "bars", "transfer"]


class Bars:
    """One bar at a time, notes above it; off a terminal only the notes are written."""

    def __init__(self, drawn: Progress) -> None:
        self._drawn = drawn
        self._stage: TaskID | None = None

    def start(self, what: str, total: int) -> None:
        """Replace the bar by one of ``total`` steps."""
        if self._stage is not None:
            self._drawn.remove_task(self._stage)
        self._stage = self._drawn.add_task(what, total=total)

    def advance(self, count: int = 1) -> None:
        """Move the bar by some steps."""
        if self._stage is not None:
            self._drawn.advance(self._stage, count)

    def note(self, text: str) -> None:
        """Write one line above the bar."""
        self._drawn.console.print(text, markup=False, soft_wrap=True)


@contextmanager
def bars() -> Iterator[Bars]:
    """Give bars that vanish at the end and leave the notes."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = output.console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as drawn:
        yield Bars(drawn)


class Notes:
    """What `Bars` is where nobody watches: the notes alone, and no rich, whose import a short command would feel."""

    def start(self, what: str, total: int) -> None:
        """Pass over a stage."""

    def advance(self, count: int = 1) -> None:
        """Pass over a step."""

    def note(self, text: str) -> None:
        """Write one line."""
        output.note(text)


@contextmanager
def transfer() -> Iterator[Bars | Notes]:
    """Give bars that count bytes and say how fast they go; off a terminal, notes."""
    if not sys.stderr.isatty():
        yield Notes()
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=output.console(), transient=True) as drawn:
        yield Bars(drawn)
