"""A measurement on a device, over its transport: the device's own edgemed measures, its document comes back.

    result = await measured(session, opening, plan, images=None)
    outcomes = await measured_all(listed, opener, opening, plan, images=None)

The device measures the active bundle of its store, or one that ships with its edgemed; nothing is sent but the command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from edgemed import shipped
from edgemed.benchmark import document
from edgemed.benchmark.document import Result
from edgemed.benchmark.scenario import Plan, Scenario
from edgemed.benchmark.subject import Opening
from edgemed.device.inventory import Entry
from edgemed.device.transports import remote
from edgemed.device.transports.remote import Answer
from edgemed.errors import ConfigError, DeviceError, EdgemedError

__all__ = ["Outcome", "Session", "measured", "measured_all", "words"]

_JUDGED = (0, 3, 9)  # kept, broken, not judged: each with a document on stdout
_LIMIT_BYTES = 64 << 20
_PATIENCE_S = 3600.0


class Session(Protocol):
    """An open way to a device; `edgemed.device.transports.ssh.Session`."""

    @property
    def place(self) -> str:
        """Where the device is, for messages."""
        ...

    @property
    def store(self) -> str:
        """The store's path on the device."""
        ...

    async def run(self, line: str, *, limit_s: float, limit_bytes: int) -> Answer:
        """Run one command line there."""
        ...


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one device of an inventory: a document, or why there is none."""

    name: str
    device: str
    result: Result | None
    error: str | None


def words(opening: Opening, plan: Plan, *, store: str, images: Path | None) -> tuple[str, ...]:
    """Return the words that have the edgemed of a device measure.

    Args:
        opening: what to open there.
        plan: the scenario, and how much of it.
        store: the store's path on the device.
        images: a path on the device; None for the samples of its package.

    Raises:
        ConfigError: a bundle file of this machine is named, or keys, which the device would not find.
    """
    if opening.bundle is not None and opening.bundle not in shipped.names():
        raise ConfigError(
            f"BUNDLE: expected none, for the active bundle of the device, or one that ships with edgemed "
            f"({', '.join(shipped.names())}), got {opening.bundle!r}; flash it first, then leave it away"
        )
    if opening.trust:
        raise ConfigError("--trust: is of no use on a device, whose store has its own; leave it away")
    what = ["--store", store] if opening.bundle is None else [opening.bundle]
    options: dict[str, object] = {"--scenario": plan.scenario.value, "--device": opening.target}
    if plan.scenario is Scenario.SUSTAINED:
        options["--minutes"] = plan.minutes
    else:
        options["--samples"] = plan.samples
    if plan.scenario is Scenario.STREAM:
        options["--rate"] = plan.rate_hz
    options |= {"--input": images, "--backend": opening.backend, "--threads": opening.threads}
    given = [str(word) for name, value in options.items() if value is not None for word in (name, value)]
    return ("benchmark", *what, *given, *(["--fallback"] if opening.fallback else []), "--json")


async def measured(session: Session, opening: Opening, plan: Plan, *, images: Path | None) -> Result:
    """Return the document that a device gives.

    Raises:
        ConfigError: as `words`.
        DeviceError: no edgemed there, or an answer that is none.
        EdgemedError: the device's own refusal, of its class.
    """
    line = remote.command(session.store, *words(opening, plan, store=session.store, images=images))
    limit_s = _PATIENCE_S + 60.0 * plan.minutes
    answer = await session.run(line, limit_s=limit_s, limit_bytes=_LIMIT_BYTES)
    if remote.is_older(answer):
        raise DeviceError(f"{session.place}: its edgemed has no 'benchmark'; install this one there")
    if answer.code not in _JUDGED or not answer.stdout.strip():
        remote.require_success(answer, what="benchmark", place=session.place)
    try:
        return document.parse(answer.stdout, source=session.place)
    except ConfigError as err:
        raise DeviceError(f"{err}; is the edgemed there another one?") from err


async def measured_all(
    entries: Sequence[Entry],
    opener: Callable[[Entry], AbstractAsyncContextManager[Session]],
    opening: Opening,
    plan: Plan,
    *,
    images: Path | None,
    done: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Return what came of each device, one after the other; one that fails stops none.

    Args:
        entries: of an inventory.
        opener: opens the way to one.
        opening: what to open there; each device counts as the one its entry says.
        plan: the scenario, and how much of it.
        images: a path on the devices.
        done: told of each.
    """
    outcomes = []
    for entry in entries:
        own = msgspec.structs.replace(opening, target=entry.device)
        try:
            async with opener(entry) as session:
                result, error = await measured(session, own, plan, images=images), None
        except EdgemedError as err:
            result, error = None, str(err)
        outcomes.append(Outcome(name=entry.name, device=entry.device, result=result, error=error))
        done(outcomes[-1])
    return outcomes
