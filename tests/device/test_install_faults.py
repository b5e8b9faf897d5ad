"""Faults at every step of an install: the process lives on, and clears up on a disk that works again."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgemed.device import contents, install
from edgemed.device import store as stores
from edgemed.device.store import Store
from edgemed.errors import DeviceError
from tests.device import made
from tests.device.power import Disk


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def disk(place: Path) -> Disk:
    return made.new_disk(place)


@pytest.fixture
def store(place: Path, disk: Disk) -> Store:
    return made.store(place, disk)


def put(store: Store, release: int, *, tentative: int | None = None) -> None:
    install.install(store, made.write(store.path.parent, release), tentative=tentative, check=made.healthy)


def active(store: Store) -> int | None:
    found = contents.read(store).active
    return None if found is None else made.release(found.bundle)


FAULTS: dict[str, Callable[[], BaseException]] = {
    "Ctrl-C": KeyboardInterrupt,
    "disk full": lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
}


def steps_of_an_install(place: Path) -> int:
    disk = made.new_disk(place)
    store = made.store(place, disk)
    put(store, 1)
    before = disk.steps
    put(store, 2)
    return disk.steps - before


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("tentative", [None, 4], ids=["commit", "trial"])
def test_fault_at_any_step_leaves_the_old_bundle_or_the_new_one(name: str, tentative: int | None, place: Path) -> None:
    steps = steps_of_an_install(place)
    assert steps == 17
    outcomes = set()
    for number in range(steps):
        disk = made.new_disk(place)
        store = made.store(place, disk)
        put(store, 1)
        first = disk.steps

        def fault(step: int, failing: int = first + number) -> None:
            if step == failing:
                raise FAULTS[name]()

        disk.fault = fault
        with pytest.raises(BaseException) as caught:
            put(store, 2, tentative=tentative)
        disk.fault = lambda _: None

        assert isinstance(caught.value, KeyboardInterrupt if name == "Ctrl-C" else DeviceError)
        found = contents.read(store)
        assert found.warnings == ()
        assert found.active is not None
        outcomes.add(made.release(found.active.bundle))
        assert (found.tentative is not None) == (tentative is not None and made.release(found.active.bundle) == 2)
        assert not any(path.name == stores.INCOMING for path in disk.tree())
        if found.tentative is None:
            put(store, 2)
            assert active(store) == 2
    assert outcomes == {1, 2}


def test_disk_that_is_full_after_any_byte_leaves_the_old_bundle_or_the_new_one(place: Path) -> None:
    outcomes = []
    for room in [*range(0, 4096, 193), 1 << 20]:
        disk = made.new_disk(place)
        store = made.store(place, disk)
        put(store, 1)
        disk.room_bytes = room
        try:
            put(store, 2)
        except DeviceError as err:
            assert str(err).endswith("cannot be written: No space left on device; make room and try again")
        disk.room_bytes = 1 << 40
        outcomes.append(active(store))
        put(store, 2)
        assert active(store) == 2
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {1, 2}


def test_message_of_a_full_disk(store: Store, disk: Disk) -> None:
    disk.room_bytes = 1000
    with pytest.raises(DeviceError) as caught:
        put(store, 1)

    assert str(caught.value) == (
        f"{store.file('a', stores.INCOMING)}: cannot be written: No space left on device; make room and try again"
    )
