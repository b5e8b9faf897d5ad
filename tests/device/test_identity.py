from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from edgemed.bundle import keys
from edgemed.device import identity
from edgemed.device.filesystem import DISK
from edgemed.errors import DeviceError


def test_bech32_is_that_of_the_standard() -> None:
    # BIP 173, "Test vectors": all zeros after the prefix.
    assert identity.bech32("abcdef", bytes(20)) == "abcdef1" + "q" * 32 + identity.bech32("abcdef", bytes(20))[-6:]
    # The same, with a known checksum: data 00443214c74254b635cf84653a56d7c675be77df, one of its vectors.
    raw = bytes.fromhex("00443214c74254b635cf84653a56d7c675be77df")
    assert identity.bech32("abcdef", raw) == "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw"


def test_keys_are_made_once(tmp_path: Path) -> None:
    first = identity.make(DISK, tmp_path / "identity")

    assert identity.make(DISK, tmp_path / "identity") == first
    private = keys.parse_private((tmp_path / "identity" / "signing.key").read_bytes(), passphrase=None, source="")
    assert private.public == first.signing
    assert first.device_id == first.signing.keyid


def test_age_reads_the_key_and_finds_the_same_recipient(tmp_path: Path) -> None:
    pyrage = pytest.importorskip("pyrage")
    made = identity.make(DISK, tmp_path / "identity")
    lines = (tmp_path / "identity" / "encryption.key").read_text().splitlines()

    assert lines[0] == f"# public key: {made.recipient}"
    assert str(pyrage.x25519.Identity.from_str(lines[1]).to_public()) == made.recipient


def test_recipient_is_the_public_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = identity.make(DISK, tmp_path / "identity")
    secret = (tmp_path / "identity" / "encryption.key").read_text().splitlines()[1]
    alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    bits = "".join(f"{alphabet.index(char):05b}" for char in secret.lower().removeprefix("age-secret-key-1")[:-6])
    raw = int(bits[:256], 2).to_bytes(32, "big")

    public = X25519PrivateKey.from_private_bytes(raw).public_key().public_bytes_raw()
    assert identity.bech32("age", public) == made.recipient


def test_missing_identity_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeviceError) as caught:
        identity.read(DISK, tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/signing.pub: cannot be read: No such file or directory; ask as the store's owner"
    )
