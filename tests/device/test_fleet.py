"""edgemed.device.fleet: canaries, bounded parallelism, when a roll-out stops, how it goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edgemed.device import fleet, journal
from edgemed.device.fleet import FleetReport, Rollout
from edgemed.device.inventory import Entry, Inventory
from edgemed.device.journal import Journal, Outcome
from edgemed.device.transports import Installing, Transport, UnansweredError
from edgemed.errors import DeviceError, InstallError, TargetMismatchError
from tests.device import fakes

CARGO = fakes.cargo()
ROLLED_BACK = InstallError("golden vectors differ")


@dataclass
class Ward:
    """A fleet of devices in memory that counts how many are at work at once."""

    devices: dict[str, fakes.MemoryDevice]
    at_work: int = 0
    most: int = 0
    said: list[tuple[str, int, int]] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def open(self, entry: Entry) -> AsyncIterator[fakes.MemoryDevice]:
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        try:
            async with self.devices[entry.name].opened() as device:
                await asyncio.sleep(0.001)
                yield device
        finally:
            self.at_work -= 1

    def done(self, outcome: Outcome, count: int, total: int) -> None:
        self.said.append((outcome.name, count, total))

    def asked(self) -> list[str]:
        return [name for name, device in self.devices.items() if device.calls]


def ward(count: int, *, down: Collection[int] = (), bad: Collection[int] = ()) -> Ward:
    devices = {f"d{index:02}": fakes.MemoryDevice() for index in range(count)}
    for index in down:
        devices[f"d{index:02}"].fails_at = "open"
    for index in bad:
        devices[f"d{index:02}"].fails_at, devices[f"d{index:02}"].fault = "install", ROLLED_BACK
    return Ward(devices)


def listed(found: Ward) -> Inventory:
    entries = (Entry(name=name, device=fakes.TARGET, to=f"ssh://{name}/s") for name in found.devices)
    return Inventory(schema=1, devices=tuple(entries))


@pytest.fixture
def book(tmp_path: Path) -> Callable[[], Journal]:
    journal.begin(tmp_path / "journal", CARGO.upload.digest)
    return lambda: journal.resume(tmp_path / "journal", CARGO.upload.digest)


def rolled_out(found: Ward, book: Journal, rollout: Rollout = Rollout()) -> FleetReport:  # noqa: B008 - a frozen value
    return asyncio.run(
        fleet.roll_out(
            CARGO, listed(found), opener=found.open, rollout=rollout, how=Installing(), journal=book, watcher=found
        )
    )


def test_every_device_gets_the_bundle_canary_first(book: Callable[[], Journal]) -> None:
    found = ward(20)
    report = rolled_out(found, book(), Rollout(parallel=4, canary=2))
    assert (report.failed, report.untouched, report.stopped) == ((), (), None)
    assert [one.stage for one in report.outcomes] == ["canary"] * 2 + ["fleet"] * 18
    assert [one.result for one in report.outcomes] == ["installed"] * 20
    assert found.most == 4
    assert [count for _, count, total in found.said] == list(range(1, 21))


def test_devices_are_prepared_before_they_get_the_bundle_and_what_fails_there_fails(
    book: Callable[[], Journal],
) -> None:
    found = ward(4)
    found.devices["d02"].place = "no room"

    async def prepare(entry: Entry, transport: Transport) -> str:
        assert found.devices[entry.name].calls == ["open"]
        if transport.place == "no room":
            raise DeviceError("no room: make space there")
        return f"{entry.name} is ready"

    report = asyncio.run(
        fleet.roll_out(
            CARGO,
            listed(found),
            opener=found.open,
            rollout=Rollout(max_failures=0.5),
            how=Installing(),
            journal=book(),
            watcher=found,
            prepare=prepare,
        )
    )
    assert [(one.prepared, one.error) for one in report.outcomes] == [
        ("d00 is ready", None),
        ("d01 is ready", None),
        (None, "no room: make space there"),
        ("d03 is ready", None),
    ]
    assert found.devices["d02"].calls == ["open"]
    assert book().before == report.outcomes


def test_canary_stops_a_bad_release(book: Callable[[], Journal]) -> None:
    found = ward(50, bad=range(50))
    report = rolled_out(found, book(), Rollout(canary=2))
    assert report.stopped == "the canary d00 failed: golden vectors differ"
    assert len(report.untouched) == 48
    assert found.asked() == ["d00", "d01"]


def test_canary_that_is_switched_off_says_nothing_of_the_release(book: Callable[[], Journal]) -> None:
    found = ward(50, down=[0, 1, 2])
    report = rolled_out(found, book())
    assert report.stopped is None
    assert [one.name for one in report.failed] == ["d00", "d01", "d02"]
    assert [one.stage for one in report.outcomes[:5]] == ["canary"] * 4 + ["fleet"]
    assert report.outcomes[0].error == "memory: unplugged"


def test_canary_that_is_lost_while_it_installs_stops_the_roll_out(book: Callable[[], Journal]) -> None:
    found = ward(50)
    found.devices["d00"].fails_at, found.devices["d00"].fault = "install", UnansweredError("memory: unplugged")
    report = rolled_out(found, book())
    assert report.stopped == "the canary d00 failed: memory: unplugged"
    assert found.asked() == ["d00"]


def test_canary_that_is_lost_before_says_nothing_of_the_release(book: Callable[[], Journal]) -> None:
    found = ward(50)
    found.devices["d00"].fails_at = "put"
    report = rolled_out(found, book())
    assert (report.stopped, [one.name for one in report.failed]) == (None, ["d00"])


def test_roll_out_stops_when_too_many_fail(book: Callable[[], Journal]) -> None:
    found = ward(50, bad=range(10, 50))
    report = rolled_out(found, book(), Rollout(parallel=1))
    assert report.stopped == "6 of 50 devices have failed, more than the 10% that --max-failures allows"
    assert len(report.untouched) == 50 - 16


def test_devices_at_work_are_finished_when_a_roll_out_stops(book: Callable[[], Journal]) -> None:
    found = ward(50, bad=range(10, 50))
    report = rolled_out(found, book(), Rollout(parallel=8))
    assert all(device.calls[-1] == "install" for device in found.devices.values() if device.calls)
    assert len(report.failed) <= 6 + 7


def test_share_of_failures_that_is_allowed_stops_nothing(book: Callable[[], Journal]) -> None:
    report = rolled_out(ward(50, down=range(10, 15)), book(), Rollout(max_failures=0.1))
    assert (report.stopped, len(report.failed)) == (None, 5)


def test_resumption_passes_over_what_is_done_and_tries_again_what_failed(book: Callable[[], Journal]) -> None:
    found = ward(30, bad=range(10, 30))
    first = rolled_out(found, book())
    assert first.stopped is not None
    done = {one.name for one in first.outcomes if not one.failed}
    for device in found.devices.values():
        device.fails_at = None
        device.calls.clear()
    second = rolled_out(found, book())
    assert (second.failed, second.untouched, second.stopped) == ((), (), None)
    assert set(found.asked()) == set(found.devices) - done
    # A device that runs the bundle is canary enough: the stage is not gone through again.
    assert [one.stage for one in second.outcomes].count("canary") == 1


def test_inventory_with_a_device_the_bundle_does_not_admit_is_refused_whole(book: Callable[[], Journal]) -> None:
    found = ward(2)
    entries = (*listed(found).devices, Entry(name="other", device="jetson-nano", to="ssh://o/s"))
    with pytest.raises(TargetMismatchError, match=r"^other: --device: tiny 1\.0\.0 is for generic-x86-64, "):
        asyncio.run(
            fleet.roll_out(
                CARGO,
                Inventory(schema=1, devices=entries),
                opener=found.open,
                rollout=Rollout(),
                how=Installing(),
                journal=book(),
                watcher=found,
            )
        )
    assert found.asked() == []


def test_ctrl_c_keeps_what_is_done_and_closes_what_is_open(book: Callable[[], Journal]) -> None:
    found = ward(30)

    class Impatient(Ward):
        def done(self, outcome: Outcome, count: int, total: int) -> None:
            if count == 10:
                asyncio.get_running_loop().call_soon(main.cancel)

    watcher = Impatient({})
    main: asyncio.Task[FleetReport]

    async def interrupted() -> None:
        nonlocal main
        main = asyncio.ensure_future(
            fleet.roll_out(
                CARGO,
                listed(found),
                opener=found.open,
                rollout=Rollout(parallel=3),
                how=Installing(),
                journal=book(),
                watcher=watcher,
            )
        )
        await main

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(interrupted())
    assert found.at_work == 0
    assert 10 <= len(book().before) <= 13
    assert rolled_out(found, book()).failed == ()


def test_a_bug_is_no_outcome(book: Callable[[], Journal]) -> None:
    found = ward(5)
    found.devices["d03"].fails_at, found.devices["d03"].fault = "install", RuntimeError("bug")  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="bug"):
        rolled_out(found, book())
    assert found.at_work == 0


def test_plans_of_a_fleet(book: Callable[[], Journal]) -> None:
    found = ward(3, down=[1])
    drawn = asyncio.run(fleet.draw_all(CARGO, listed(found), opener=found.open, how=Installing(), parallel=2))
    assert [name for name, _ in drawn] == ["d00", "d01", "d02"]
    assert isinstance(drawn[1][1], DeviceError)
    assert all(device.received == b"" for device in found.devices.values())


@pytest.mark.parametrize("wrong", [{"parallel": 0}, {"canary": -1}, {"max_failures": 1.5}])
def test_rollout_out_of_range_is_a_mistake(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"^expected parallel >= 1, canary >= 0 and max_failures in 0\.\.1, got "):
        Rollout(**wrong)  # type: ignore[arg-type]
