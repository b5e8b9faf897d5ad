"""Who a device is: an Ed25519 key pair that signs for it, and an X25519 key pair that bundles are encrypted to.

    STORE/identity/signing.key     PEM, PKCS#8            STORE/identity/signing.pub     PEM
    STORE/identity/encryption.key  as age-keygen writes   STORE/identity/encryption.pub  age1...

Rules: both are made on the device and stay there, the private halves in files of mode 0600 in a folder of mode 0700,
without a passphrase, for nobody is there to type one; the device's id is the key id of its Ed25519 key. The age form is
written here, so that a device without the library for it has a key to be encrypted to all the same.

    made = identity.make(DISK, folder)
    print(made.device_id, made.recipient)

Source: RFC 8032 (Ed25519), RFC 7748 (X25519), https://age-encryption.org/v1 and BIP 173 (Bech32) for age's text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgemed.bundle import keys
from edgemed.bundle.keys import PublicKey
from edgemed.device import filesystem
from edgemed.device.filesystem import Filesystem
from edgemed.errors import ConfigError, DeviceError

__all__ = ["ENCRYPTION", "SIGNING", "Identity", "bech32", "known", "make", "read"]

SIGNING = "signing"
ENCRYPTION = "encryption"
_LIMIT_BYTES = 16 << 10

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"  # BIP 173, "Bech32"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)  # BIP 173, "Checksum"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The public halves; ``recipient`` is what bundles are encrypted to, ``age1`` and 58 more characters."""

    signing: PublicKey
    recipient: str

    @property
    def device_id(self) -> str:
        """SHA-256 of the 32 bytes of the Ed25519 key, 64 hex digits."""
        return self.signing.keyid


def make(fs: Filesystem, folder: Path) -> Identity:
    """Make the key pairs that are not there yet, and return the public halves.

    Raises:
        DeviceError: the folder cannot be written, or a key there cannot be read.
        ConfigError: a key there is damaged.
    """
    filesystem.make_folder(fs, folder, mode=0o700)
    makers: dict[str, Callable[[], tuple[bytes, bytes]]] = {SIGNING: _signing, ENCRYPTION: _encryption}
    for name, pair in makers.items():
        # The public half is written last: where it is, the private half is whole.
        if f"{name}.pub" not in fs.names(folder):
            private, public = pair()
            filesystem.replace(fs, folder / f"{name}.key", private, mode=0o600)
            filesystem.replace(fs, folder / f"{name}.pub", public)
    return read(fs, folder)


def read(fs: Filesystem, folder: Path) -> Identity:
    """Return the public halves; only the user who owns the store may.

    Raises:
        DeviceError: a file is missing or cannot be read.
        ConfigError: the signing key is none.
    """
    signing = keys.parse_public(_read(fs, folder / f"{SIGNING}.pub"), source=str(folder / f"{SIGNING}.pub"))
    recipient = _read(fs, folder / f"{ENCRYPTION}.pub").decode("ascii", "replace").strip()
    return Identity(signing=signing, recipient=recipient)


def known(fs: Filesystem, folder: Path) -> Identity | None:
    """Return the public halves; None where this user may not read the keys, or they are damaged."""
    try:
        return read(fs, folder)
    except (ConfigError, DeviceError):
        return None


def bech32(prefix: str, raw: bytes) -> str:
    """Return bytes as Bech32 text, lower case; BIP 173 with no limit on the length, as age has it."""
    bits = int.from_bytes(raw, "big") << (-8 * len(raw) % 5)
    count = (8 * len(raw) + 4) // 5
    values = [bits >> 5 * place & 31 for place in reversed(range(count))]
    expanded = [ord(char) >> 5 for char in prefix] + [0] + [ord(char) & 31 for char in prefix]
    checksum = _polymod([*expanded, *values, 0, 0, 0, 0, 0, 0]) ^ 1
    values += [checksum >> 5 * place & 31 for place in reversed(range(6))]
    return f"{prefix}1" + "".join(_ALPHABET[value] for value in values)


def _polymod(values: list[int]) -> int:
    """Return the checksum's remainder, BIP 173."""
    remainder = 1
    for value in values:
        top = remainder >> 25
        remainder = (remainder & 0x1FFFFFF) << 5 ^ value
        for place, generator in enumerate(_GENERATOR):
            remainder ^= generator if top >> place & 1 else 0
    return remainder


def _signing() -> tuple[bytes, bytes]:
    key = keys.generate()
    return keys.encode_private(key, passphrase=None), keys.encode_public(key.public)


def _encryption() -> tuple[bytes, bytes]:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    key = X25519PrivateKey.generate()
    recipient = bech32("age", key.public_key().public_bytes_raw())
    secret = bech32("age-secret-key-", key.private_bytes_raw()).upper()
    return f"# public key: {recipient}\n{secret}\n".encode(), f"{recipient}\n".encode()


def _read(fs: Filesystem, path: Path) -> bytes:
    try:
        return fs.read(path, limit_bytes=_LIMIT_BYTES)
    except OSError as err:
        raise DeviceError(f"{path}: cannot be read: {err.strerror or err}; ask as the store's owner") from err
