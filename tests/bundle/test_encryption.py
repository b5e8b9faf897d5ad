from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgemed.bundle import encryption, trust
from edgemed.errors import BundleError, ConfigError, MissingDependencyError
from tests.bundle import aged, tiny

CLOSED = (
    "a.age: cannot be decrypted with this device's key: it is encrypted to other devices, or was altered; "
    "encrypt the bundle to this device's .pub and get it again"
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a folder with the key pairs of two devices."""
    for name in ("one", "two"):
        aged.write_key(tmp_path / f"{name}.key")
    return tmp_path


def encrypted(home: Path, *names: str) -> bytes:
    return encryption.encrypt(tiny.build(), [encryption.read_recipient(home / f"{name}.pub") for name in names])


def opened(raw: bytes, identity: Path | None) -> bytes:
    return encryption.opened(raw, identity=identity, source="a.age")


def test_each_device_opens_the_bundle_alone(home: Path) -> None:
    raw = encrypted(home, "one", "two")

    assert encryption.is_encrypted(raw)
    assert tiny.build() not in raw
    for name in ("one", "two"):
        bundle = trust.verify(opened(raw, home / f"{name}.key"), keys=[tiny.KEY.public])
        assert bundle.members == tiny.MEMBERS


def test_bundle_that_is_not_encrypted_stays_as_it_is() -> None:
    assert opened(tiny.build(), None) == tiny.build()


def test_another_device_cannot_open_it(home: Path) -> None:
    with pytest.raises(BundleError) as caught:
        opened(encrypted(home, "one"), home / "two.key")

    assert str(caught.value) == CLOSED


def test_machine_without_a_key_says_so(home: Path) -> None:
    with pytest.raises(BundleError) as caught:
        opened(encrypted(home, "one"), None)

    assert str(caught.value) == "a.age: is encrypted to a device's key; only that device can open it"


def test_opening_the_file_as_a_bundle_says_that_it_is_encrypted(home: Path) -> None:
    path = home / "a.age"
    path.write_bytes(encrypted(home, "one"))

    with pytest.raises(BundleError) as caught:
        trust.open_bundle(path, keys=[tiny.KEY.public])

    assert str(caught.value) == f"{path}: is encrypted to a device's key; only that device can open it"


def test_every_flipped_byte_is_refused(home: Path) -> None:
    raw = encrypted(home, "one")
    for position in range(len(raw)):
        flipped = bytearray(raw)
        flipped[position] ^= 1 << (position % 8)
        if not encryption.is_encrypted(bytes(flipped)):
            continue  # the first line makes it an encrypted file; another file is refused as no bundle
        with pytest.raises(BundleError):
            opened(bytes(flipped), home / "one.key")


def test_file_cut_short_or_continued_is_refused(home: Path) -> None:
    raw = encrypted(home, "one")
    for altered in [raw[:length] for length in range(22, len(raw), 64)] + [raw[:-1], raw + b"\0"]:
        with pytest.raises(BundleError) as caught:
            opened(altered, home / "one.key")
        assert str(caught.value) == CLOSED


def test_larger_file_is_refused_before_it_is_decrypted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = encrypted(home, "one")
    monkeypatch.setattr(encryption, "ENCRYPTED_LIMIT_BYTES", len(raw) - 1)

    with pytest.raises(BundleError) as caught:
        opened(raw, home / "one.key")

    assert str(caught.value) == f"a.age: {len(raw)} bytes are more than the {len(raw) - 1} accepted"


def test_secret_key_in_place_of_a_public_one_is_refused(home: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        encryption.read_recipient(home / "one.key")

    assert str(caught.value) == f"{home}/one.key: expected a device's public key, got a secret one; give its .pub file"


def test_signing_key_in_place_of_a_device_key_is_refused(home: Path) -> None:
    (home / "sign.pub").write_text("-----BEGIN PUBLIC KEY-----\n")

    with pytest.raises(ConfigError) as caught:
        encryption.read_recipient(home / "sign.pub")

    assert str(caught.value) == (
        f"{home}/sign.pub: expected a device's public key for encryption, as in age1..., got something else"
    )


@pytest.mark.parametrize("text", ["", "age1foo\n", "AGE-SECRET-KEY-1FOO\n"], ids=["empty", "public", "damaged"])
def test_key_file_that_holds_no_secret_key_is_refused(home: Path, text: str) -> None:
    (home / "bad.key").write_text(text)

    with pytest.raises(ConfigError) as caught:
        opened(encrypted(home, "one"), home / "bad.key")

    assert str(caught.value) == (
        f"{home}/bad.key: expected one secret key, as in AGE-SECRET-KEY-1..., got something else"
    )


def test_absent_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyrage", None)

    with pytest.raises(MissingDependencyError) as caught:
        encryption.encrypt(b"", ["age1"])

    assert str(caught.value) == (
        "pyrage: not installed; encrypted bundles need the extra 'encryption': pip install 'edgemed[encryption]'"
    )


def test_more_devices_than_a_file_holds_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        encryption.encrypt(b"", ["age1"] * 1025)

    assert str(caught.value) == "recipients: expected at most 1024 devices, got 1025; make several files"
