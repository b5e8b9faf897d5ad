"""The real disk: the helpers, and what it refuses."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgemed.device import filesystem, install, provision
from edgemed.device.filesystem import DISK
from edgemed.errors import DeviceError
from tests.device import made


def test_file_is_replaced_whole_and_nothing_stays_behind(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    for raw in (b"old", b"new"):
        filesystem.replace(DISK, path, raw, mode=0o600)

    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o600)
    assert [one.name for one in tmp_path.iterdir()] == ["state.json"]


def test_link_in_the_place_of_a_temporary_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"keep")
    (tmp_path / ".state.json.new").symlink_to("precious")

    with pytest.raises(DeviceError, match=r"state\.json: cannot be written: Too many levels of symbolic links; "):
        filesystem.replace(DISK, tmp_path / "state.json", b"new")
    filesystem.replace(DISK, tmp_path / "state.json", b"new")  # it was cleared away

    assert (tmp_path / "precious").read_bytes() == b"keep"


def test_discarding_what_is_not_there_is_no_fault(tmp_path: Path) -> None:
    filesystem.discard(DISK, tmp_path / "none")


def test_missing_folder_is_worded(tmp_path: Path) -> None:
    with pytest.raises(DeviceError) as caught:
        filesystem.add(DISK, tmp_path / "none" / "x", b"")
    assert str(caught.value) == (
        f"{tmp_path}/none/x: cannot be written: No such file or directory; check the device's disk"
    )


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of 2 MiB in memory, mounted, or skip."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", place], check=False, capture_output=True)
    if done.returncode != 0:
        pytest.skip("this environment lets nobody mount")
    yield place
    subprocess.run(["umount", place], check=True)


def test_disk_that_fills_while_installing_keeps_the_old_bundle(mount: Path, tmp_path: Path) -> None:
    store = provision.init(mount / "store", target=made.TARGET, trust=made.TRUST).store
    install.install(store, made.write(tmp_path, 1), check=made.healthy)

    def filling(*_: object) -> object:
        with (mount / "films").open("wb", buffering=0) as stream, pytest.raises(OSError, match="No space left"):
            while True:
                stream.write(bytes(4096))
        return made.HEALTHY

    with pytest.raises(DeviceError) as caught:
        install.install(store, made.write(tmp_path, 2), tentative=3, check=filling)  # type: ignore[arg-type]

    assert str(caught.value) == (
        f"{store.path}/state.json: cannot be written: No space left on device; make room and try again"
    )
    held = store.held("a")
    assert held is not None
    assert (store.current(), made.release(held.bundle)) == ("a", 1)
    (mount / "films").unlink()
    assert install.install(store, made.write(tmp_path, 2), check=made.healthy).active.slot == "b"


def test_disk_too_small_is_refused(mount: Path, tmp_path: Path) -> None:
    store = provision.init(mount / "store", target=made.TARGET, trust=made.TRUST).store
    (mount / "films").write_bytes(bytes(1536 << 10))

    with pytest.raises(DeviceError, match=r" bytes are free, expected at least \d+ \(\d+ for the bundle\); make room"):
        install.install(store, made.write(tmp_path, 1), check=made.healthy)


def test_read_only_store_is_refused_and_still_read(mount: Path, tmp_path: Path) -> None:
    store = provision.init(mount / "store", target=made.TARGET, trust=made.TRUST).store
    install.install(store, made.write(tmp_path, 1), check=made.healthy)
    subprocess.run(["mount", "-o", "remount,ro", mount], check=True)

    with pytest.raises(DeviceError) as caught:
        install.install(store, made.write(tmp_path, 2), check=made.healthy)

    assert str(caught.value) == (
        f"{store.path}/lock: cannot be opened: Read-only file system; a store is changed by a user who may write it, "
        "on a file system that is mounted for writing"
    )
    assert store.held("a") is not None
