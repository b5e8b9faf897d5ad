from __future__ import annotations

from pathlib import Path

import pytest

from edgemed.bundle import encryption
from edgemed.device import install, provision
from edgemed.device import store as stores
from edgemed.errors import BundleError, ConfigError, DeviceError, SignatureError
from tests.device import made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return provision.init(tmp_path / "store", target=made.TARGET, trust=made.TRUST).store.path


def test_missing_store_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        stores.open_store(tmp_path / "none")
    assert str(caught.value) == (
        f"{tmp_path}/none: no device store here; make one with 'edgemed device init --store {tmp_path}/none'"
    )


def test_path_of_a_file_is_called_that(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"")
    with pytest.raises(ConfigError) as caught:
        stores.open_store(tmp_path / "store")
    assert str(caught.value) == f"{tmp_path}/store: is a file, expected the folder of a device store; check --store"


def test_store_of_a_newer_edgemed_is_refused(path: Path) -> None:
    (path / "format.json").write_text('{"schema":2,"layout":"of the future"}')
    with pytest.raises(DeviceError) as caught:
        stores.open_store(path)
    assert str(caught.value) == (
        f"{path}/format.json: schema: expected 1, got 2; this store was made by another edgemed: "
        "use that one, or a newer one"
    )


def test_damaged_format_is_named(path: Path) -> None:
    (path / "format.json").write_text("schema 1")
    with pytest.raises(DeviceError) as caught:
        stores.open_store(path)
    assert str(caught.value).startswith(f"{path}/format.json: expected JSON, got bytes that are not: ")


def test_store_without_a_key_trusts_nobody(path: Path) -> None:
    for key in (path / "trust").iterdir():
        key.unlink()
    with pytest.raises(SignatureError, match=r"^no trusted key was given; "):
        stores.open_store(path).trust()


def test_target_that_this_edgemed_does_not_know_is_named(path: Path) -> None:
    (path / "target").write_text("toaster\n")
    with pytest.raises(ConfigError, match=r"^target: expected one of .*, got 'toaster'$"):
        install.install(stores.open_store(path), made.write(path.parent, 1))


def test_encrypted_bundle_is_kept_encrypted_and_opens_with_the_devices_key(path: Path) -> None:
    pytest.importorskip("pyrage")
    recipient = encryption.read_recipient(path / "identity" / "encryption.pub")
    raw = encryption.encrypt(made.raw(1), [recipient])
    (path.parent / "a.edgemed").write_bytes(raw)
    store = stores.open_store(path)

    done = install.install(store, path.parent / "a.edgemed", check=made.healthy)

    held = store.held("a")
    assert held is not None
    assert held.bundle.digest == done.active.bundle.digest
    assert store.file("a").read_bytes() == raw


def test_bundle_encrypted_to_another_device_is_refused(path: Path) -> None:
    pytest.importorskip("pyrage")
    other = provision.init(path.parent / "other", target=made.TARGET, trust=made.TRUST).identity
    raw = encryption.encrypt(made.raw(1), [other.recipient])
    (path.parent / "a.edgemed").write_bytes(raw)
    with pytest.raises(BundleError, match=r"a\.edgemed: cannot be decrypted with this device's key: "):
        install.install(stores.open_store(path), path.parent / "a.edgemed", check=made.healthy)
