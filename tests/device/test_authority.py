from __future__ import annotations

from pathlib import Path

import pytest

from edgemed import files, schema
from edgemed.bundle import overlay, roles
from edgemed.bundle import root as roots
from edgemed.bundle.keys import PrivateKey
from edgemed.device import authority, contents, install, switch
from edgemed.device.store import Store
from edgemed.errors import BundleError, EdgemedError, RollbackError
from tests.bundle import tiny
from tests.device import made
from tests.device.power import Disk


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return made.new_disk(tmp_path / "store")


@pytest.fixture
def store(tmp_path: Path, disk: Disk) -> Store:
    store = made.store(tmp_path / "store", disk)
    install.install(store, made.write(tmp_path, 1), check=made.healthy)
    return store


def written(store: Store, version: int, key: PrivateKey = tiny.KEY) -> Path:
    """Write an overlay of the active bundle with this decision version."""
    active = contents.read(store).active
    assert active is not None
    document = schema.encode_json({"model": files.sha256(tiny.MODEL), "version": version})
    path = store.path.parent / f"{version}.dsse"
    path.write_bytes(overlay.encode(active.bundle, document, private_keys=[key]))
    return path


def version_in_force(store: Store) -> int:
    return overlay.decision_version(switch.decided(store, switch.start(store)))


def test_overlay_is_in_force_at_every_start(store: Store) -> None:
    authority.overlay(store, written(store, 2))
    authority.overlay(store, written(store, 3))

    assert version_in_force(store) == 3
    assert store.state().decisions == {files.sha256(tiny.MODEL): 3}


def test_older_overlay_is_refused(store: Store) -> None:
    authority.overlay(store, written(store, 3))

    with pytest.raises(RollbackError):
        authority.overlay(store, written(store, 2))
    assert version_in_force(store) == 3


def test_overlay_that_was_taken_away_is_missed(store: Store, disk: Disk) -> None:
    authority.overlay(store, written(store, 2))
    (path,) = (path for path in disk.tree() if path.suffix == ".dsse")
    disk.remove(path)

    with pytest.raises(RollbackError) as caught:
        version_in_force(store)
    assert str(caught.value) == (
        "tiny: decision version 1 lies below 2, which this device has seen; "
        "put the newer overlay back, or install a newer bundle"
    )


def test_strangers_overlay_changes_nothing(store: Store, disk: Disk) -> None:
    before = disk.tree()

    with pytest.raises(BundleError):
        authority.overlay(store, written(store, 2, tiny.STRANGER))
    assert disk.tree() == before


def test_power_cut_anywhere_leaves_the_old_thresholds_or_the_new_ones(store: Store, disk: Disk) -> None:
    fresh = Disk.of(disk.tree())
    on = made.store(store.path, fresh)
    authority.overlay(on, written(on, 2))
    versions = set()

    for _, tree in fresh.cuts():
        versions.add(version_in_force(made.store(store.path, Disk.of(tree))))

    assert versions == {1, 2}


def test_root_signed_by_a_key_of_the_store_takes_over(store: Store, disk: Disk, tmp_path: Path) -> None:
    every = {role: [tiny.OTHER.public] for role in roots.Role}
    payload = roots.payload_of(version=1, keys=every, thresholds=dict.fromkeys(roots.Role, 1))
    path = tmp_path / "root.json"
    path.write_bytes(roles.encode(payload, [tiny.KEY, tiny.OTHER]))

    newer = authority.trust(store, path)

    assert (newer.root.version, store.trust().root.version) == (1, 1)
    assert authority.trust(store, path).raw == newer.raw
    with pytest.raises(EdgemedError) as caught:
        switch.start(store)  # the old key's bundle runs no more
    assert caught.value.exit_code == 5


def test_root_of_a_stranger_changes_nothing(store: Store, disk: Disk, tmp_path: Path) -> None:
    path = tmp_path / "root.json"
    path.write_bytes(b"{}")
    before = disk.tree()

    with pytest.raises(BundleError):
        authority.trust(store, path)
    assert disk.tree() == before
