"""Flashing what only its device can read: what the workstation says of it, and what it leaves to the device."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgemed.bundle import encryption
from edgemed.device import contents, flash, fleet, importing, journal, plan, provision
from edgemed.device.fleet import Rollout
from edgemed.device.inventory import Entry, Inventory
from edgemed.device.plan import Cargo
from edgemed.device.store import Store
from edgemed.device.transports import DeviceState, Installed, Installing, Upload, directory
from edgemed.errors import BundleError, DeviceError
from tests.bundle import aged, tiny
from tests.device import fakes, made

STATE = DeviceState(
    place="ssh://unit@ward",
    target=fakes.TARGET,
    runtime="0.1.0",
    active=None,
    release_floors={"tiny": 9},
    free_bytes=1 << 30,
    opens_encrypted=True,
)


def written(path: Path, *recipients: str, raw: bytes | None = None) -> Path:
    path.write_bytes(encryption.encrypt(tiny.build() if raw is None else raw, recipients))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path / "tiny-1.0.0.edgemed.age", aged.write_key(tmp_path / "one.key"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return provision.init(tmp_path / "store", target=made.TARGET, trust=made.TRUST).store


def recipient(store: Store) -> str:
    return encryption.read_recipient(store.path / "identity" / "encryption.pub")


def drawn(cargo: Cargo, **changes: object) -> plan.Plan:
    state = dataclasses.replace(STATE, **changes)  # type: ignore[arg-type]  # fields of the state
    return plan.plan(cargo, state, device=fakes.TARGET, how=Installing())


def test_plan_says_what_can_be_known_and_what_cannot(path: Path) -> None:
    size = path.stat().st_size

    assert drawn(flash.cargo(path)).lines() == [
        ("device", "generic-x86-64 at ssh://unit@ward"),
        ("bundle", "tiny-1.0.0.edgemed.age, encrypted to 1 device"),
        ("digest", "the device alone can tell what is in it"),
        ("replaces", "nothing, the store is empty"),
        ("send", f"{size} bytes; 1073741824 are free there"),
        ("then", "health check on the device, then commit, or back to what ran before"),
    ]


def test_device_without_the_library_is_refused_before_the_first_byte(path: Path) -> None:
    with pytest.raises(DeviceError) as caught:
        drawn(flash.cargo(path), opens_encrypted=False)
    assert str(caught.value) == (
        "ssh://unit@ward: its edgemed has no library for encrypted bundles; install the extra 'encryption' there, or "
        "collect its wheels with --extra encryption and run this with --bootstrap"
    )


def test_device_that_does_not_say_whether_it_opens_them_is_tried(path: Path) -> None:
    assert drawn(flash.cargo(path), opens_encrypted=None).send_bytes == path.stat().st_size


def test_room_is_asked_for_as_for_any_bundle(path: Path) -> None:
    size = path.stat().st_size
    with pytest.raises(DeviceError) as caught:
        drawn(flash.cargo(path), free_bytes=size)
    assert str(caught.value) == (
        f"ssh://unit@ward: {size} bytes are free, {2 * size + (1 << 20)} are needed (2 of {size} bytes and room for "
        "state); make space there"
    )


def test_file_that_ends_inside_its_header_is_refused_at_home(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(BundleError) as caught:
        flash.cargo(path)
    assert str(caught.value) == (
        f"{path}: is an encrypted file that ends inside its header; it was cut short, get it again"
    )


def test_answer_of_the_device_stands_for_what_nobody_else_can_read(path: Path) -> None:
    class Opening(fakes.MemoryDevice):
        async def install(self, upload: Upload, how: Installing) -> Installed:
            return Installed(result="installed", digest="sha256:" + "7" * 64, document={})

    work = flash.flash(flash.cargo(path), Opening(), device=fakes.TARGET, how=Installing(), progress=fakes.Progress())
    report = asyncio.run(work)
    assert report.installed is not None
    assert (report.result, report.installed.digest) == ("installed", "sha256:" + "7" * 64)


@pytest.mark.parametrize(
    ("name", "kept"),
    [("tiny-1.0.0.edgemed.age", True), ("ward 3.age", False), ("Tiny.edgemed.age", False), ("x.edgemed", False)],
)
def test_name_that_no_stick_takes_gives_way_to_the_digest(path: Path, name: str, kept: bool) -> None:
    renamed = path.rename(path.with_name(name))
    digest = hashlib.sha256(renamed.read_bytes()).hexdigest()
    assert flash.cargo(renamed).upload.name == (name if kept else f"{digest[:16]}.edgemed.age")


def test_stick_takes_it_and_its_device_installs_it(store: Store, tmp_path: Path) -> None:
    pytest.importorskip("pyrage", reason="needs the encryption extra")
    path = written(tmp_path / "tiny-3.0.0.edgemed.age", recipient(store), raw=made.raw(3))
    stick = prepared(tmp_path / "stick", path)
    document, _ = directory.read(stick)

    assert (document.name, document.version, document.digest) == (None, None, None)
    assert importing.bring(store, stick, check=made.healthy).installed.result.value == "installed"
    active = contents.read(store).active
    assert active is not None
    assert made.release(active.bundle) == 3
    assert encryption.is_encrypted(store.file(active.slot).read_bytes())


def test_stick_for_another_device_changes_nothing(store: Store, path: Path, tmp_path: Path) -> None:
    stick = prepared(tmp_path / "stick", path)
    with pytest.raises(BundleError) as caught:
        importing.bring(store, stick, check=made.healthy)
    assert str(caught.value) == (
        f"{stick / path.name}: cannot be decrypted with this device's key: it is encrypted to other devices, or was "
        "altered; encrypt the bundle to this device's .pub and get it again"
    )
    assert (contents.read(store).active, store.state().events) == (None, 0)


def prepared(stick: Path, bundle: Path) -> Path:
    """Write an install folder with a bundle file."""
    stick.mkdir()
    session = directory.Session(stick, device=made.TARGET)
    work = flash.flash(flash.cargo(bundle), session, device=made.TARGET, how=Installing(), progress=fakes.Progress())
    assert asyncio.run(work).result == "prepared"
    return stick


def test_fleet_larger_than_the_number_of_keys_is_refused_before_anything_is_asked(path: Path, tmp_path: Path) -> None:
    devices = tuple(Entry(name=f"d{n}", device=fakes.TARGET, to=f"ssh://d{n}/s") for n in range(2))
    asked: list[str] = []

    @contextlib.asynccontextmanager
    async def opened(entry: Entry) -> AsyncIterator[fakes.MemoryDevice]:
        asked.append(entry.name)
        yield fakes.MemoryDevice()

    cargo = flash.cargo(path)
    book = journal.begin(tmp_path / "journal", cargo.fingerprint)
    work = fleet.roll_out(
        cargo,
        Inventory(schema=1, devices=devices),
        opener=opened,
        rollout=Rollout(),
        how=Installing(),
        journal=book,
        watcher=Unwatched(),
    )
    with pytest.raises(BundleError) as caught:
        asyncio.run(work)
    assert str(caught.value) == (
        "tiny-1.0.0.edgemed.age, encrypted to 1 device: the inventory has 2 devices; encrypt it to the key of each "
        "(edgemed bundle encrypt --to PUB, repeated)"
    )
    assert asked == []


class Unwatched:
    def done(self, outcome: journal.Outcome, count: int, total: int) -> None:
        raise AssertionError(f"{outcome.name}: nothing was to be done")
