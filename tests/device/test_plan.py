"""edgemed.device.plan: what is refused before the first byte, and the plan in words."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from edgemed.device import plan
from edgemed.device.plan import Action
from edgemed.device.transports import Active, DeviceState, Installing
from edgemed.errors import DeviceError, EdgemedError, RollbackError, TargetMismatchError
from tests.device import fakes

CARGO = fakes.cargo(release=3, minimum_runtime="0.2.0")
SIZE = CARGO.upload.size_bytes
STATE = DeviceState(
    place="ssh://unit@ward",
    target=fakes.TARGET,
    runtime="0.2.0",
    active=None,
    release_floors={"tiny": 3},
    free_bytes=1 << 30,
)

REFUSALS: dict[str, tuple[dict[str, Any], type[EdgemedError], str]] = {
    "store-of-another-device": (
        {"target": "raspberry-pi-4"},
        TargetMismatchError,
        "ssh://unit@ward: its store was made for 'raspberry-pi-4', expected 'generic-x86-64' as --device says; "
        "is this the right device?",
    ),
    "older-runtime": (
        {"runtime": "0.1.9"},
        DeviceError,
        "ssh://unit@ward: runs edgemed 0.1.9, tiny 1.0.0 needs 0.2.0 or newer; "
        "upgrade it with --bootstrap --wheelhouse DIR",
    ),
    "runtime-that-is-no-version": (
        {"runtime": "unknown"},
        DeviceError,
        "ssh://unit@ward: runs edgemed unknown, tiny 1.0.0 needs 0.2.0 or newer; "
        "upgrade it with --bootstrap --wheelhouse DIR",
    ),
    "older-release": (
        {"release_floors": {"tiny": 4}},
        RollbackError,
        "ssh://unit@ward: tiny 1.0.0 has release 3, the floor of the store is 4; "
        "use a newer bundle, or 'edgemed device rollback' there for the one that ran before",
    ),
    "no-room": (
        {"free_bytes": 2 * SIZE + (1 << 20) - 1},
        DeviceError,
        f"ssh://unit@ward: {2 * SIZE + (1 << 20) - 1} bytes are free, {2 * SIZE + (1 << 20)} are needed "
        f"(2 of {SIZE} bytes and room for state); make space there",
    ),
    "no-room-on-a-stick": (
        {"target": None, "runtime": None, "free_bytes": SIZE - 1},
        DeviceError,
        f"ssh://unit@ward: {SIZE - 1} bytes are free, {SIZE} are needed; make space there",
    ),
}


def drawn(how: Installing = Installing(), **changes: Any) -> plan.Plan:  # noqa: B008 - a frozen value
    return plan.plan(CARGO, dataclasses.replace(STATE, **changes), device=fakes.TARGET, how=how)


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_says_what_does_not_fit(name: str) -> None:
    changes, error, message = REFUSALS[name]
    with pytest.raises(error) as caught:
        drawn(**changes)
    assert str(caught.value) == message


def test_bundle_for_other_devices_is_refused_with_the_near_match() -> None:
    with pytest.raises(TargetMismatchError) as caught:
        plan.plan(CARGO, STATE, device="raspberry-pi-5", how=Installing())
    assert str(caught.value) == (
        "--device: tiny 1.0.0 is for generic-x86-64, raspberry-pi-4, got 'raspberry-pi-5'; did you mean "
        "'raspberry-pi-4'?; convert it for that device as well (edgemed convert --target raspberry-pi-5)"
    )


@pytest.mark.parametrize("runtime", ["0.2.0", "0.2.0.dev1", "0.10.0", "1"])
def test_runtime_that_is_new_enough_is_accepted(runtime: str) -> None:
    assert drawn(runtime=runtime).action is Action.INSTALL


def test_just_enough_room_is_enough() -> None:
    assert drawn(free_bytes=2 * SIZE + (1 << 20)).send_bytes == SIZE


def test_what_has_arrived_is_neither_sent_again_nor_needs_room_again() -> None:
    found = drawn(received_bytes=100, free_bytes=2 * SIZE + (1 << 20) - 100)
    assert (found.offset, found.send_bytes) == (100, SIZE - 100)


def test_bundle_that_runs_already_needs_nothing_whatever_floor_and_room() -> None:
    active = Active(name="tiny", version="1.0.0", digest=CARGO.upload.digest)
    found = drawn(active=active, release_floors={"tiny": 9}, free_bytes=0)
    assert (found.action, found.send_bytes) == (Action.NOTHING, 0)
    assert found.lines()[-1] == ("then", "nothing: the device runs this bundle already")


def test_plan_in_words() -> None:
    active = Active(name="tiny", version="0.9.0", digest="sha256:" + "0" * 64)
    assert drawn(active=active, received_bytes=100).lines() == [
        ("device", "generic-x86-64 at ssh://unit@ward"),
        ("bundle", "tiny 1.0.0, release 3"),
        ("digest", CARGO.upload.digest),
        ("replaces", "tiny 0.9.0"),
        ("send", f"{SIZE - 100} bytes, going on after 100 that have arrived; 1073741824 are free there"),
        ("then", "health check on the device, then commit, or back to what ran before"),
    ]


def test_plan_says_when_the_device_goes_back_by_itself() -> None:
    then = dict(drawn(Installing(tentative=3)).lines())["then"]
    assert then == "health check on the device, then tentative for 3 starts, or back to what ran before"
