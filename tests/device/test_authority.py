from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edgemed import files, schema
from edgemed.bundle import archive, overlay, trust
from edgemed.bundle.keys import PrivateKey
from edgemed.bundle.root import Role
from edgemed.device import authority, contents, install, provision, switch
from edgemed.device.store import Store
from edgemed.errors import BundleError, DeviceError, RollbackError, SignatureError
from tests.bundle import rooted, tiny
from tests.device import made
from tests.device.power import Disk
from tests.runtime import tiny as screening

TRUST = rooted.trust()
A, B, C = rooted.RELEASE
MODEL = screening.model()


def decision(version: int, **changes: Any) -> bytes:
    tree = schema.to_builtins(screening.rule(MODEL))
    return schema.encode_json({**tree, "version": version, **changes})


def bundle(release: int, keys: Sequence[PrivateKey], *, version: int = 3) -> bytes:
    members = {**tiny.MEMBERS, "model/int8.tflite": MODEL, "decision.json": decision(version)}
    artifact = tiny.described(made.TARGET)
    return archive.build(artifact, members, version=f"{release}.0.0", release=release, private_keys=keys)


BUNDLE = trust.verify(bundle(1, [A, B]), trust=TRUST)


def overlaid(version: int, key: PrivateKey = rooted.THRESHOLD, **changes: Any) -> bytes:
    return overlay.encode(BUNDLE, decision(version, **changes), private_keys=[key])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store on a disk in memory, under a trust root, with a bundle that two release keys have signed."""
    path = tmp_path / "store"
    disk = Disk.of({path.parent: None})
    path.mkdir()
    provision.init(path, target=made.TARGET, trust=TRUST, fs=disk)
    opened = made.store(path, disk)
    (tmp_path / "a.edgemed").write_bytes(bundle(1, [A, B]))
    install.install(opened, tmp_path / "a.edgemed", check=made.healthy)
    return made.store(path, Disk.of(disk.tree()))


def written(store: Store, raw: bytes) -> Path:
    path = store.path.parent / "given"
    path.write_bytes(raw)
    return path


def disk(store: Store) -> Disk:
    assert isinstance(store.fs, Disk)
    return store.fs


def test_next_root_is_taken_and_the_bundle_runs_on(store: Store) -> None:
    path = written(store, rooted.following(TRUST, revoke=[C.public.keyid]))

    newer = authority.replace_root(store, path)

    assert newer.root.version == 2
    assert store.trust() == newer
    assert contents.read(store).active is not None


def test_the_same_root_again_changes_nothing(store: Store) -> None:
    before = disk(store).tree()

    assert authority.replace_root(store, written(store, rooted.first())) == TRUST
    assert disk(store).tree() == before


def test_root_by_which_nothing_would_run_is_refused(store: Store) -> None:
    path = written(store, rooted.following(TRUST, revoke=[A.public.keyid]))
    before = disk(store).tree()

    with pytest.raises(DeviceError) as caught:
        authority.replace_root(store, path)

    signed = ", ".join(
        key.public.keyid[:16] + (" (revoked)" if key is A else "")
        for key in sorted((A, B), key=lambda key: key.public.keyid)
    )
    left = ", ".join(sorted(key.public.keyid[:16] for key in (B, C)))
    assert str(caught.value) == (
        f"{path}: by this root tiny 1.0.0 would not be trusted any more, and nothing would run: signed by {signed}, "
        f"expected 2 of the release keys of root 2 {left}, got 1; have it signed by those that are missing; install "
        "a bundle first that both roots trust, or stop this one with --may-stop"
    )
    assert disk(store).tree() == before


def test_stolen_key_is_stopped_on_purpose(store: Store, tmp_path: Path) -> None:
    authority.replace_root(store, written(store, rooted.following(TRUST, revoke=[A.public.keyid])), may_stop=True)

    assert contents.read(store).active is None

    (tmp_path / "b.edgemed").write_bytes(bundle(2, [B, C]))
    install.install(store, tmp_path / "b.edgemed", check=made.healthy)
    active = contents.read(store).active
    assert active is not None
    assert active.bundle.manifest.release == 2


def test_older_root_does_not_come_back(store: Store) -> None:
    authority.replace_root(store, written(store, rooted.following(TRUST)))
    before = disk(store).tree()

    with pytest.raises(RollbackError):
        authority.replace_root(store, written(store, rooted.first()))

    assert disk(store).tree() == before


def test_overlay_decides_from_then_on(store: Store) -> None:
    decided = authority.add_overlay(store, written(store, overlaid(4)))

    assert decided.overlay is not None
    assert decided.overlay.version == 4
    again = switch.decided(store, contents.read(store))
    assert (again.overlay, again.members["decision.json"]) == (decided.overlay, decision(4))


def test_overlay_that_was_taken_away_is_missed(store: Store) -> None:
    authority.add_overlay(store, written(store, overlaid(4)))
    for name in store.overlays():
        store.fs.remove(store.path / "overlays" / name)

    with pytest.raises(RollbackError) as caught:
        switch.decided(store, contents.read(store))

    assert str(caught.value) == (
        "tiny: decision version 3 lies below 4, which this device has seen; "
        "put the newer overlay back, or install a newer bundle"
    )


REFUSED = {
    "not signed by a threshold key": (
        overlaid(4, rooted.ROOT),
        SignatureError,
        f"signed by {rooted.ROOT.public.keyid[:16]}, expected 1 of the threshold keys of root 1 "
        f"{rooted.THRESHOLD.public.keyid[:16]}, got 0; have it signed by those that are missing",
    ),
    "seen before": (
        overlaid(5),
        RollbackError,
        "decision version: expected more than 5, which this device has seen, got 5",
    ),
}


@pytest.mark.parametrize(("raw", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_overlay_is_refused_and_nothing_changes(
    store: Store, raw: bytes, error: type[BundleError], message: str
) -> None:
    authority.add_overlay(store, written(store, overlaid(5)))
    before = disk(store).tree()
    path = written(store, raw)

    with pytest.raises(BundleError) as caught:
        authority.add_overlay(store, path)

    assert type(caught.value) is error
    assert str(caught.value) == f"{path}: {message}"
    assert disk(store).tree() == before


def test_overlay_whose_document_no_runtime_reads_is_refused(store: Store) -> None:
    before = disk(store).tree()

    with pytest.raises(BundleError) as caught:
        authority.add_overlay(store, written(store, overlaid(4, activ="rule-out")))

    assert str(caught.value) == "decision.json: activ: unknown key; did you mean 'active'?"
    assert disk(store).tree() == before


def test_cut_while_a_root_is_replaced_leaves_one_of_the_two(store: Store) -> None:
    authority.replace_root(store, written(store, rooted.following(TRUST, keys={Role.THRESHOLD: [C.public]})))

    versions = {made.store(store.path, Disk.of(tree)).trust().root.version for _, tree in disk(store).cuts()}

    assert versions == {1, 2}


def test_cut_while_an_overlay_is_added_leaves_thresholds_in_force(store: Store) -> None:
    authority.add_overlay(store, written(store, overlaid(4)))

    versions = set()
    for _, tree in disk(store).cuts():
        cut = made.store(store.path, Disk.of(tree))
        versions.add(overlay.decision_version(switch.decided(cut, contents.read(cut))))

    assert versions == {3, 4}


def test_file_of_an_overlay_is_named_by_its_digest(store: Store) -> None:
    raw = overlaid(4)

    authority.add_overlay(store, written(store, raw))

    assert store.overlays() == {f"{files.sha256(raw)[7:23]}.dsse": raw}
