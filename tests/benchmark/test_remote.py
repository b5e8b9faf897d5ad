from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from edgemed.benchmark import document, remote
from edgemed.benchmark.scenario import Plan, Scenario
from edgemed.benchmark.subject import Opening
from edgemed.device.inventory import Entry
from edgemed.device.transports.remote import Answer
from edgemed.errors import ConfigError, DeviceError, TargetMismatchError
from tests.benchmark import made

PLAN = Plan(scenario=Scenario.SINGLE, samples=1000)
OPENING = Opening(target="raspberry-pi-5")


class FakeSession:
    """A device that answers what it is told, and remembers what it was asked."""

    place, store = "ssh://unit@10.0.0.7/var/lib/edgemed", "/var/lib/edgemed"

    def __init__(self, answer: Answer) -> None:
        self.answer, self.lines = answer, list[str]()

    async def run(self, line: str, *, limit_s: float, limit_bytes: int) -> Answer:
        self.lines.append(line)
        return self.answer


def answered(*, code: int | None = 0, stdout: bytes = b"", stderr: bytes = b"") -> FakeSession:
    return FakeSession(Answer(code=code, stdout=stdout, stderr=stderr))


@pytest.fixture
def raw(rng: np.random.Generator) -> bytes:
    return document.encode(made.result(made.columns(rng, 50)))


@pytest.mark.parametrize("code", [0, 3, 9])
def test_document_comes_back_whatever_its_verdict(code: int, raw: bytes) -> None:
    session = answered(code=code, stdout=raw)
    result = asyncio.run(remote.measured(session, OPENING, PLAN, images=None))
    assert document.encode(result) == raw
    assert (
        "edgemed benchmark --store /var/lib/edgemed --scenario single --device raspberry-pi-5 --samples 1000 --json"
        in session.lines[0]
    )


def test_words_carry_what_the_scenario_needs() -> None:
    plan = Plan(scenario=Scenario.STREAM, samples=90, rate_hz=15.0)
    opening = Opening(bundle="chest-xray", threads=2, fallback=True)
    assert remote.words(opening, plan, store="/s", images=Path("/data/a b.png")) == (
        "benchmark", "chest-xray", "--scenario", "stream", "--samples", "90", "--rate", "15.0", "--input",
        "/data/a b.png", "--threads", "2", "--fallback", "--json",
    )  # fmt: skip


def test_file_of_this_machine_is_refused() -> None:
    with pytest.raises(ConfigError) as refused:
        remote.words(Opening(bundle="my.edgemed"), PLAN, store="/s", images=None)
    assert str(refused.value) == (
        "BUNDLE: expected none, for the active bundle of the device, or one that ships with edgemed "
        "(breast-ultrasound, chest-xray), got 'my.edgemed'; flash it first, then leave it away"
    )


def test_refusal_of_the_device_keeps_its_class_and_words() -> None:
    session = answered(code=4, stderr=b"edgemed: coral-usb: its accelerator does not compute here\n")
    with pytest.raises(TargetMismatchError) as refused:
        asyncio.run(remote.measured(session, OPENING, PLAN, images=None))
    assert str(refused.value) == f"{session.place}: coral-usb: its accelerator does not compute here"


def test_older_edgemed_is_told() -> None:
    session = answered(code=2, stderr=b"Error: No such command 'benchmark'.\n")
    with pytest.raises(DeviceError) as refused:
        asyncio.run(remote.measured(session, OPENING, PLAN, images=None))
    assert str(refused.value) == f"{session.place}: its edgemed has no 'benchmark'; install this one there"


def test_answer_that_is_no_document_is_told() -> None:
    session = answered(stdout=b'{"schema_version": 1, "kind": "prediction"}')
    with pytest.raises(DeviceError) as refused:
        asyncio.run(remote.measured(session, OPENING, PLAN, images=None))
    assert str(refused.value) == (
        f"{session.place}: kind: expected 'measurement', got 'prediction'; give what 'edgemed benchmark --save' wrote; "
        "is the edgemed there another one?"
    )


def test_device_that_fails_stops_no_other(raw: bytes) -> None:
    sessions = {"ward-1": answered(code=None), "ward-2": answered(stdout=raw)}

    @contextlib.asynccontextmanager
    async def opener(entry: Entry) -> AsyncIterator[FakeSession]:
        yield sessions[entry.name]

    entries = [Entry(name=name, device="raspberry-pi-5", to=f"ssh://{name}/s") for name in sessions]
    told: list[str] = []
    outcomes = asyncio.run(
        remote.measured_all(entries, opener, Opening(), PLAN, images=None, done=lambda one: told.append(one.name))
    )
    assert told == ["ward-1", "ward-2"]
    assert outcomes[0].error == (
        f"{FakeSession.place}: 'edgemed benchmark' was ended before it answered; run the same command again"
    )
    assert outcomes[1].result is not None
    assert "--device raspberry-pi-5" in sessions["ward-2"].lines[0]
