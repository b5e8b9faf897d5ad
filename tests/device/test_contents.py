"""What is damaged in a store, and what runs in spite of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgemed.device import contents, install, switch
from edgemed.device.contents import Contents
from edgemed.device.store import Store
from edgemed.errors import DeviceError, EdgemedError
from tests.device import made
from tests.device.power import Disk


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return made.new_disk(tmp_path / "store")


@pytest.fixture
def store(tmp_path: Path, disk: Disk) -> Store:
    """Return a store with release 1 in slot a and release 2, active, in slot b."""
    store = made.store(tmp_path / "store", disk)
    for release in (1, 2):
        install.install(store, made.write(tmp_path, release), check=made.healthy)
    return store


def releases(found: Contents) -> tuple[int | None, int | None]:
    return tuple(None if one is None else made.release(one.bundle) for one in (found.active, found.previous))  # type: ignore[return-value]  # two of them


def spoil(disk: Disk, path: Path, raw: bytes) -> None:
    disk.write(path, raw, mode=0o644)


def flipped(raw: bytes) -> bytes:
    return raw[:700] + bytes([raw[700] ^ 1]) + raw[701:]


def test_sound_store_has_no_warning(store: Store) -> None:
    found = contents.read(store)

    assert (releases(found), found.warnings, found.inactive()) == ((2, 1), (), "a")


def test_damaged_active_slot_gives_way_to_the_previous_bundle(store: Store, disk: Disk) -> None:
    spoil(disk, store.file("b"), flipped(made.raw(2)))

    found = contents.read(store)

    assert releases(found) == (1, None)
    (said,) = found.warnings
    assert said.startswith(f"{store.file('b')}: ")
    assert said.endswith("; the previous bundle tiny 1.0.0 runs in its place; install a bundle again")
    assert releases(switch.start(store)) == (1, None)


def test_empty_active_slot_gives_way_too(store: Store, disk: Disk) -> None:
    disk.remove(store.file("b"))

    found = contents.read(store)

    assert (releases(found), found.warnings) == (
        (1, None),
        (f"{store.file('b')}: is missing; the previous bundle tiny 1.0.0 runs in its place; install a bundle again",),
    )


def test_damage_is_repaired_by_an_install(store: Store, disk: Disk, tmp_path: Path) -> None:
    spoil(disk, store.file("b"), b"")

    install.install(store, made.write(tmp_path, 2), check=made.healthy)

    found = contents.read(store)
    assert (releases(found), found.warnings) == ((2, 1), ())


def test_damaged_previous_bundle_is_said(store: Store, disk: Disk) -> None:
    spoil(disk, store.file("a"), flipped(made.raw(1)))

    found = contents.read(store)

    assert releases(found) == (2, None)
    (said,) = found.warnings
    assert said.startswith(f"{store.file('a')}: ")
    assert said.endswith("; there is nothing to go back to until another bundle is installed")


def test_rejected_bundle_does_not_stand_in(store: Store, disk: Disk) -> None:
    switch.rollback(store)
    spoil(disk, store.file("a"), b"")

    found = contents.read(store)

    assert releases(found) == (None, None)
    (said,) = found.warnings
    assert said.endswith("; no other bundle is fit to run; install a bundle again")


def test_two_damaged_slots_open_nothing_and_say_so(store: Store, disk: Disk) -> None:
    for slot in ("a", "b"):
        spoil(disk, store.file(slot), b"junk")  # type: ignore[arg-type]  # a slot's name

    with pytest.raises(EdgemedError) as caught:
        switch.start(store)

    assert (caught.value.exit_code, str(caught.value)) == (
        5,
        f"{store.file('b')}: archive: expected a ZIP that starts with a member, got something else; is it "
        "an .edgemed file?; no other bundle is fit to run: install a bundle again",
    )


@pytest.mark.parametrize("line", [None, b"", b"c\n", b"\xff" * 9], ids=["missing", "empty", "c", "noise"])
def test_damaged_pointer_leads_to_the_newest_committed_bundle(line: bytes | None, store: Store, disk: Disk) -> None:
    path = store.path / "current"
    disk.remove(path) if line is None else spoil(disk, path, line)

    found = contents.read(store)

    assert (releases(found), found.warnings) == (
        (2, 1),
        (
            f"{path}: expected a or b, got neither; the newest bundle that was committed, tiny 2.0.0, runs; "
            "make it so with 'edgemed device commit'",
        ),
    )
    switch.commit(store)
    assert contents.read(store).warnings == ()
    assert disk.tree()[path] == b"b\n"


STATES = {
    "missing": (None, "cannot be read: No such file or directory; check the device's disk"),
    "empty": (b"", "expected JSON, got bytes that are not: Input data was truncated"),
    "another form": (b"{}", "schema: required key is missing"),
    "newer": (b'{"schema":2}', "schema: invalid enum value 2, value 2"),
}


@pytest.mark.parametrize("name", STATES)
def test_damaged_state_is_made_good_from_the_slots(name: str, store: Store, disk: Disk, tmp_path: Path) -> None:
    raw, reason = STATES[name]
    path = store.path / "state.json"
    disk.remove(path) if raw is None else spoil(disk, path, raw)

    found = contents.read(store)

    assert (releases(found), found.floor("tiny")) == ((2, 1), 2)
    assert found.warnings == (
        f"{path}: {reason}; what the slots hold counts, the history is lost, and a tentative bundle counts as "
        "committed",
    )
    install.install(store, made.write(tmp_path, 3), check=made.healthy)
    assert contents.read(store).warnings == ()
    assert store.state().floors == {"tiny": 3}


def test_history_of_a_damaged_state_is_refused(store: Store, disk: Disk) -> None:
    spoil(disk, store.path / "state.json", b"[]")

    with pytest.raises(DeviceError, match=r"state\.json: expected `object`, got `array`$"):
        store.state()


def test_bundle_whose_key_is_trusted_no_more_does_not_run(store: Store, disk: Disk) -> None:
    from edgemed.bundle import keys
    from tests.bundle import tiny

    (old,) = (path for path in disk.tree() if path.parent.name == "trust")
    disk.remove(old)
    spoil(disk, store.path / "trust" / "other.pub", keys.encode_public(tiny.OTHER.public))

    with pytest.raises(EdgemedError) as caught:
        switch.start(store)

    assert caught.value.exit_code == 5
    assert str(caught.value).startswith(f"{store.file('b')}: signed by {tiny.KEY.public.keyid[:16]}, expected a ")
