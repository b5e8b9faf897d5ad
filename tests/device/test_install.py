from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import pytest

from edgemed import files
from edgemed.device import contents, install, lock, switch
from edgemed.device import store as stores
from edgemed.device.install import Result
from edgemed.device.state import Event
from edgemed.device.store import Store
from edgemed.errors import (
    BundleError,
    ConfigError,
    DeviceError,
    EdgemedError,
    InstallError,
    RollbackError,
    SignatureError,
    TargetMismatchError,
)
from tests.bundle import tiny
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


def put(store: Store, release: int, **options: object) -> install.Installed:
    """Install a release of the tiny bundle."""
    check = options.pop("check", made.healthy)
    path = made.write(store.path.parent, release, **options.pop("made", {}))  # type: ignore[arg-type]
    return install.install(store, path, check=check, **options)  # type: ignore[arg-type]


def active(store: Store) -> int | None:
    found = contents.read(store).active
    return None if found is None else made.release(found.bundle)


def events(store: Store) -> list[tuple[str, int]]:
    return [(entry.event.value, entry.release) for entry in store.state().history]


def test_first_bundle_goes_into_slot_a(store: Store) -> None:
    done = put(store, 1)

    assert (done.result, done.active.slot, done.previous, done.health) == (Result.INSTALLED, "a", None, made.HEALTHY)
    assert (active(store), events(store), store.state().floors) == (1, [("installed", 1)], {"tiny": 1})


def test_slots_take_turns_and_the_file_is_kept_as_it_came(store: Store, disk: Disk) -> None:
    slots = [put(store, release).active.slot for release in (1, 2, 3)]

    assert slots == ["a", "b", "a"]
    assert disk.tree()[store.file("a")] == made.raw(3)
    assert disk.tree()[store.file("b")] == made.raw(2)
    assert store.file("a", stores.INCOMING) not in disk.tree()


def test_active_bundle_again_changes_nothing(store: Store, disk: Disk) -> None:
    put(store, 1)
    before = disk.tree()

    done = put(store, 1, check=made.failing)

    assert (done.result, done.health, disk.tree()) == (Result.UNCHANGED, None, before)


def test_trial_is_in_force_until_it_is_committed(store: Store) -> None:
    put(store, 1)

    done = put(store, 2, tentative=3)

    found = contents.read(store)
    assert done.result is Result.TENTATIVE
    assert found.tentative is not None
    assert (active(store), found.tentative.starts_left, found.floor("tiny")) == (2, 3, 1)


def test_floors_are_of_each_name(store: Store) -> None:
    put(store, 5)

    assert put(store, 1, made={"name": "other"}).result is Result.INSTALLED
    assert contents.read(store).floor("tiny") == 5


REFUSED = {
    "stranger's signature": (
        {"key": tiny.STRANGER},
        {},
        SignatureError,
        f"signed by {tiny.STRANGER.public.keyid[:16]}, expected a signature by a trusted key: "
        f"{tiny.KEY.public.keyid[:16]}; if you trust its maker, give the maker's key with --trust KEY.pub",
    ),
    "another target": (
        {"target": "raspberry-pi-4"},
        {},
        TargetMismatchError,
        f"tiny 9.0.0: expected a target among raspberry-pi-4, got {made.TARGET!r}",
    ),
    "a newer edgemed": (
        {"minimum_runtime": "9.1.0"},
        {},
        BundleError,
        "tiny 9.0.0: needs edgemed 9.1.0 or newer, this is 0.1.0; upgrade edgemed",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_names_the_file_and_changes_nothing(name: str, store: Store, disk: Disk) -> None:
    options, how, error, message = REFUSED[name]
    put(store, 1)
    before = disk.tree()

    with pytest.raises(EdgemedError) as caught:
        put(store, 9, made=options, **how)

    path = store.path.parent / "tiny-9.edgemed"
    assert (type(caught.value), str(caught.value)) == (error, f"{path}: {message}")
    assert disk.tree() == before


def test_release_below_the_floor_is_refused(store: Store, disk: Disk) -> None:
    put(store, 4)
    before = disk.tree()

    with pytest.raises(RollbackError) as caught:
        put(store, 3)

    assert str(caught.value) == "tiny 3.0.0: release 3 lies below the floor 4; use a newer bundle"
    assert disk.tree() == before


def test_bundle_that_would_not_open_with_the_stores_overlays_is_refused(store: Store) -> None:
    put(store, 1)
    seen = {files.sha256(tiny.MODEL): 7}  # thresholds of version 7 were in force, and their overlay is gone
    store.write_state(msgspec.structs.replace(store.state(), decisions=seen))

    with pytest.raises(RollbackError) as caught:
        put(store, 2)

    assert str(caught.value) == (
        "tiny: decision version 1 lies below 7, which this device has seen; "
        "put the newer overlay back, or install a newer bundle"
    )
    assert store.current() == "a"


def test_floor_outlives_a_rollback(store: Store) -> None:
    put(store, 1)
    put(store, 5)
    switch.rollback(store)

    with pytest.raises(RollbackError, match=r"^tiny 4\.0\.0: release 4 lies below the floor 5; use a newer bundle$"):
        put(store, 4)
    assert active(store) == 1


@pytest.mark.parametrize("garbage", [b"", b"PK\3\4", b"{}" * 100], ids=["empty", "zip start", "json"])
def test_what_is_no_bundle_is_refused(garbage: bytes, store: Store, disk: Disk) -> None:
    path = store.path.parent / "a.edgemed"
    path.write_bytes(garbage)
    before = disk.tree()

    with pytest.raises(BundleError):
        install.install(store, path, check=made.healthy)
    assert disk.tree() == before


def test_missing_file_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        install.install(store, tmp_path / "none.edgemed", check=made.healthy)

    assert str(caught.value) == (
        f"{tmp_path}/none.edgemed: cannot be read: No such file or directory; check the path and its permissions"
    )


def test_folder_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        install.install(store, tmp_path, check=made.healthy)

    assert str(caught.value) == f"{tmp_path}: is a folder, expected an .edgemed file; name the file in it"


def test_path_that_cannot_be_looked_at_is_named(store: Store, tmp_path: Path) -> None:
    path = tmp_path / ("a" * 300)

    with pytest.raises(BundleError) as caught:
        install.install(store, path, check=made.healthy)

    assert str(caught.value) == f"{path}: cannot be read: File name too long; check the path and its permissions"


def test_second_install_at_once_is_refused(store: Store) -> None:
    with lock.held(store.path), pytest.raises(DeviceError) as caught:
        put(store, 1)

    assert str(caught.value) == (f"{store.path}: another edgemed is changing this store; try again when it has ended")
    assert put(store, 1).result is Result.INSTALLED


def test_trial_in_an_empty_store_is_refused(store: Store) -> None:
    with pytest.raises(ConfigError) as caught:
        put(store, 1, tentative=2)

    assert str(caught.value) == (
        f"{store.path}: holds no bundle to go back to; install the first one without --tentative"
    )


def test_install_over_a_trial_is_refused(store: Store) -> None:
    put(store, 1)
    put(store, 2, tentative=2)

    with pytest.raises(DeviceError) as caught:
        put(store, 3)

    assert str(caught.value) == (
        f"{store.path}: tiny 2.0.0 is tentative; keep it with 'edgemed device commit' or leave it with "
        "'edgemed device rollback' first"
    )


def test_disk_too_small_is_refused_before_anything_is_written(store: Store, disk: Disk) -> None:
    before = disk.tree()
    disk.free_bytes = lambda _: 1000  # type: ignore[method-assign]  # the disk's own answer
    size = len(made.raw(1))

    with pytest.raises(DeviceError) as caught:
        put(store, 1)

    assert str(caught.value) == (
        f"{store.path}: 1000 bytes are free, expected at least {size + install.MARGIN_BYTES} "
        f"({size} for the bundle); make room and try again"
    )
    assert disk.tree() == before


def test_store_of_another_machine_is_refused(place: Path) -> None:
    other = "jetson-orin-nano" if made.TARGET == "generic-x86-64" else "generic-x86-64"
    arch = "aarch64" if other == "jetson-orin-nano" else "x86-64"
    disk = made.new_disk(place)
    disk.write(place / "target", f"{other}\n".encode(), mode=0o644)
    store = made.store(place, disk)

    with pytest.raises(TargetMismatchError) as caught:
        install.install(store, made.write(place.parent, 1))

    assert str(caught.value) == (
        f"{place}: is the store of a {other} ({arch}), this machine is {made.TARGET.removeprefix('generic-')}; "
        "install on the device itself, or write an install folder with 'edgemed flash BUNDLE --to DIR'"
    )


def test_failed_health_check_keeps_active_and_previous(store: Store, disk: Disk) -> None:
    put(store, 1)
    put(store, 2)

    with pytest.raises(InstallError) as caught:
        put(store, 3, check=made.failing)

    assert str(caught.value) == (
        "tiny 3.0.0: golden vectors outside the tolerance; rolled back, tiny 2.0.0 stays active"
    )
    found = contents.read(store)
    assert found.active is not None
    assert found.previous is not None
    assert (made.release(found.active.bundle), made.release(found.previous.bundle)) == (2, 1)
    last = store.state().history[-1]
    assert (last.event, last.reason, store.state().attempt) == (
        Event.FAILED,
        "golden vectors outside the tolerance",
        None,
    )
    assert not any(path.name == stores.INCOMING for path in disk.tree())


def test_failed_first_install_leaves_the_store_empty(store: Store) -> None:
    with pytest.raises(InstallError) as caught:
        put(store, 1, check=made.failing)

    assert str(caught.value) == "tiny 1.0.0: golden vectors outside the tolerance; rolled back, no bundle is active"
    assert active(store) is None


def test_slow_bundle_is_a_warning_and_under_strict_latency_a_refusal(store: Store) -> None:
    slow = msgspec.structs.replace(made.HEALTHY, slow=("infer: 20 of 20 samples above 14 ms",))
    done = put(store, 1, check=lambda *_: slow)

    with pytest.raises(InstallError) as caught:
        put(store, 2, check=lambda *_: slow, strict_latency=True)

    assert done.health == slow
    assert str(caught.value) == (
        "tiny 2.0.0: too slow on this unit: infer: 20 of 20 samples above 14 ms; rolled back, tiny 1.0.0 stays active"
    )


CLOCKS = {
    "1970": [datetime(1970, 1, 1, tzinfo=timezone.utc)] * 4,
    "jumping": [datetime(year, 1, 1, tzinfo=timezone.utc) for year in (2026, 2001, 2099, 1970)],
}


@pytest.mark.parametrize("name", CLOCKS)
def test_clock_orders_nothing(name: str, place: Path, disk: Disk) -> None:
    times: Iterator[datetime] = iter(CLOCKS[name])
    store = made.store(place, disk, clock=lambda: next(times))
    put(store, 1)
    put(store, 2)
    switch.rollback(store)
    put(store, 3)

    history = store.state().history
    assert [entry.number for entry in history] == [1, 2, 3, 4]
    assert [entry.event.value for entry in history] == ["installed", "installed", "rolled-back", "installed"]
    assert history[0].at == CLOCKS[name][0].strftime("%Y-%m-%dT%H:%M:%SZ")
    assert active(store) == 3


def test_interrupted_install_is_in_the_history_of_the_next_change(store: Store, disk: Disk) -> None:
    put(store, 1)

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        put(store, 2, check=cut)
    unfinished = store.state().attempt
    put(store, 3)

    assert unfinished is not None
    assert (unfinished.release, unfinished.count) == (2, 1)
    assert events(store) == [("installed", 1), ("interrupted", 2), ("installed", 3)]


def test_attempts_of_one_bundle_are_counted(store: Store) -> None:
    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            put(store, 2, check=cut)

    attempt = store.state().attempt
    assert attempt is not None
    assert attempt.count == 3
