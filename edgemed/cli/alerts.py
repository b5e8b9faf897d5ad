"""Sinks of ``edgemed watch``: what a stream tells the world beside its screen.

with alerts.opened(texts, store=store) as sent:
    for item in stream:
        sent.see(item)
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from edgemed.cli import output, watching
from edgemed.runtime.track import Decided

if TYPE_CHECKING:
    from edgemed.runtime.sinks import Sinks, SinkSpec
    from edgemed.runtime.track import Item

__all__ = ["Sent", "opened", "parsed"]

# Names of files and addresses of cameras stay here: they may name a patient, or hold a password.
_KEPT_BACK = ("input", "detail", "reasons")


class Sent:
    """An observer of a stream that hands what it sees to the sinks."""

    def __init__(self, sinks: Sinks) -> None:
        self._sinks = sinks

    def __enter__(self) -> Sent:
        """Return the observer itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Close the sinks."""
        self._sinks.close()

    def see(self, item: Item) -> None:
        """Hand over one item; ``at`` is the device's clock, for people."""
        if isinstance(item, Decided) and not self._sinks.frames:
            return
        document = {name: value for name, value in watching.document(item).items() if name not in _KEPT_BACK}
        at = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        self._sinks.send({**document, "at": at})


def parsed(texts: Sequence[str]) -> list[SinkSpec]:
    """Return the sinks of ``--sink``.

    Raises:
        ConfigError: one is none.
    """
    from edgemed.runtime import sinks

    return [sinks.parse(text) for text in texts]


def opened(specs: Sequence[SinkSpec], *, store: Path | None) -> Sent:
    """Return the sinks, open; the queues of webhooks lie in the records of a store.

    Raises:
        ConfigError: one cannot be opened.
    """
    from edgemed.records import recording
    from edgemed.runtime import sinks

    queues = store / recording.QUEUES if store is not None and recording.is_wanted(store) else None
    return Sent(sinks.open_all(specs, tell=lambda said: output.note(f"edgemed: {said}"), queues=queues))
