from __future__ import annotations

from pathlib import Path

import pytest

from edgemed.device import contents, install, lock, switch
from edgemed.device.store import Store
from edgemed.errors import ConfigError, DeviceError
from tests.device import made
from tests.device.power import Disk


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return made.new_disk(tmp_path / "store")


@pytest.fixture
def store(tmp_path: Path, disk: Disk) -> Store:
    return made.store(tmp_path / "store", disk)


def put(store: Store, release: int, *, tentative: int | None = None) -> None:
    install.install(store, made.write(store.path.parent, release), tentative=tentative, check=made.healthy)


def started(store: Store) -> int:
    found = switch.start(store).active
    assert found is not None
    return made.release(found.bundle)


def test_start_of_a_committed_bundle_writes_nothing(store: Store, disk: Disk) -> None:
    put(store, 1)
    steps = disk.steps

    assert started(store) == 1
    assert disk.steps == steps


def test_trial_lasts_its_starts_and_then_the_previous_is_back(store: Store) -> None:
    put(store, 1)
    put(store, 2, tentative=3)

    assert [started(store) for _ in range(5)] == [2, 2, 2, 1, 1]
    assert [entry.event.value for entry in store.state().history] == ["installed", "tentative", "expired"]
    assert contents.read(store).previous is None


def test_committed_trial_stays(store: Store) -> None:
    put(store, 1)
    put(store, 2, tentative=1)
    switch.commit(store)

    assert [started(store) for _ in range(3)] == [2, 2, 2]
    assert contents.read(store).floor("tiny") == 2


def test_commit_of_a_committed_bundle_changes_nothing(store: Store, disk: Disk) -> None:
    put(store, 1)
    before = disk.tree()

    switch.commit(store)

    assert disk.tree() == before


def test_start_that_cannot_be_counted_is_refused(store: Store) -> None:
    put(store, 1)
    put(store, 2, tentative=1)

    with lock.held(store.path), pytest.raises(DeviceError) as caught:
        switch.start(store, wait_s=0.05)

    assert str(caught.value) == f"{store.path}: another edgemed is changing this store; try again when it has ended"


def test_expired_trial_without_a_previous_bundle_goes_on_and_says_so(store: Store, disk: Disk) -> None:
    put(store, 1)
    put(store, 2, tentative=1)
    started(store)
    disk.remove(store.file("a"))

    found = switch.start(store)

    assert found.active is not None
    assert made.release(found.active.bundle) == 2
    assert found.warnings == (
        "tiny 2.0.0: its starts are used up and there is no bundle to go back to; commit it or install another",
    )


def test_rollback_is_not_undone_by_another(store: Store) -> None:
    put(store, 1)
    put(store, 2)
    switch.rollback(store)

    with pytest.raises(DeviceError) as caught:
        switch.rollback(store)

    assert str(caught.value) == (
        f"{store.path}: there is no bundle to go back to from tiny 1.0.0: the other slot is empty, or holds one that "
        "failed, was rolled back or was never active; install the one you want"
    )
    put(store, 2)
    assert started(store) == 2


@pytest.mark.parametrize("verb", [switch.commit, switch.rollback], ids=["commit", "rollback"])
def test_empty_store_has_nothing_to_keep_or_leave(verb: object, store: Store) -> None:
    with pytest.raises(DeviceError) as caught:
        verb(store)  # type: ignore[operator]  # one of two functions

    assert str(caught.value) == f"{store.path}: no bundle is active; install one with 'edgemed device install'"


def test_start_of_an_empty_store_says_how_to_fill_it(store: Store) -> None:
    with pytest.raises(ConfigError) as caught:
        switch.start(store)

    assert str(caught.value) == (
        f"{store.path}: no bundle is installed; install one with 'edgemed device install FILE --store {store.path}'"
    )
