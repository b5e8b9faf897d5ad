from __future__ import annotations

import stat
from pathlib import Path

import pytest

from edgemed import shipped
from edgemed.bundle import roles
from edgemed.device import contents, provision
from edgemed.device import store as stores
from edgemed.errors import ConfigError, DeviceError
from tests.bundle import tiny
from tests.device import made
from tests.device.power import Disk


def init(path: Path, **options: object) -> provision.Made:
    return provision.init(path, **{"target": made.TARGET, "trust": made.TRUST, **options})  # type: ignore[arg-type]


def test_new_store_is_empty_and_its_layout_is_the_documented_one(tmp_path: Path) -> None:
    new = init(tmp_path / "deep" / "store")

    names = sorted(str(path.relative_to(new.store.path)) for path in new.store.path.rglob("*"))
    assert names == [
        "format.json",
        "identity",
        "identity/encryption.key",
        "identity/encryption.pub",
        "identity/signing.key",
        "identity/signing.pub",
        "inbox",
        "lock",
        "overlays",
        "records",
        "slots",
        "slots/a",
        "slots/b",
        "state.json",
        "target",
        "trust",
        f"trust/{tiny.KEY.public.keyid[:16]}.pub",
    ]
    assert (new.is_new, new.store.target, contents.read(new.store).active) == (True, made.TARGET, None)
    assert (new.store.path / "format.json").read_text() == '{"schema":1}\n'


def test_private_keys_are_the_owners_alone(tmp_path: Path) -> None:
    folder = init(tmp_path / "store").store.path / "identity"

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes == {
        "identity": 0o700,
        "signing.key": 0o600,
        "signing.pub": 0o644,
        "encryption.key": 0o600,
        "encryption.pub": 0o644,
    }


def test_same_init_again_keeps_everything(tmp_path: Path) -> None:
    first = init(tmp_path / "store")
    second = init(tmp_path / "store")

    assert (second.is_new, second.identity, second.trust.root) == (False, first.identity, first.trust.root)


def test_init_without_a_word_keeps_target_and_trust(tmp_path: Path) -> None:
    init(tmp_path / "store", target="raspberry-pi-4")

    again = provision.init(tmp_path / "store")

    assert (again.is_new, again.store.target, again.trust.root) == (False, "raspberry-pi-4", made.TRUST.root)


def test_new_store_without_a_word_is_generic_and_trusts_the_demo_key(tmp_path: Path) -> None:
    new = provision.init(tmp_path / "store")

    keys = [key.keyid for key in new.trust.root.every_key]
    assert (new.store.target, keys) == (made.TARGET, [shipped.demo_key().keyid])


DIFFERENT = {
    "target": (
        {"target": "raspberry-pi-4"},
        f"is a store for target {made.TARGET}, expected raspberry-pi-4; choose another folder, or leave --target away",
    ),
    "trust": (
        {"trust": roles.of_keys([tiny.OTHER.public])},
        "is a store that trusts other keys; leave --trust away to keep them, or make a store in another folder",
    ),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_another_init_over_a_store_is_refused(name: str, tmp_path: Path) -> None:
    options, message = DIFFERENT[name]
    init(tmp_path / "store")

    with pytest.raises(ConfigError) as caught:
        init(tmp_path / "store", **options)
    assert str(caught.value) == f"{tmp_path / 'store'}: {message}"


def test_unknown_target_is_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^target: expected one of .*, got 'jetson-orin'; did you mean 'jetson-orin"):
        init(tmp_path / "store", target="jetson-orin")
    assert list(tmp_path.iterdir()) == []


def test_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("years of work")

    with pytest.raises(ConfigError) as caught:
        init(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: holds thesis.doc, which is of no store; choose an empty folder with --store"
    )


def test_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")

    with pytest.raises(DeviceError) as caught:
        init(tmp_path / "store")
    assert str(caught.value) == (
        f"{tmp_path / 'store'}: cannot be made: File exists; choose another folder with --store"
    )


def test_power_cut_anywhere_leaves_no_store_or_a_whole_one_and_init_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "store"
    path.mkdir()
    disk = Disk.of({tmp_path: None})
    init(path, fs=disk)
    cuts = {frozenset(tree.items()): tree for _, tree in disk.cuts()}
    whole = 0
    for tree in cuts.values():
        after = Disk.of(tree)
        try:
            store = stores.open_store(path, fs=after)
        except ConfigError as err:
            assert str(err) == f"{path}: no device store here; make one with 'edgemed device init --store {path}'"
        else:
            whole += 1
            assert (store.target, contents.read(store).warnings) == (made.TARGET, ())
        again = init(path, fs=after)
        assert contents.read(again.store).warnings == ()
        assert again.store.trust().root == made.TRUST.root
    assert 0 < whole < len(cuts)
