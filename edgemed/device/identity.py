"""Who a device is: an Ed25519 key pair that signs for it, and an X25519 key pair that files are encrypted to.

Rules: both are made on the device and stay there, the private halves in files of mode 0600 in a folder of mode 0700,
without a passphrase, for nobody is there to type one; the device's id is the key id of its Ed25519 key.

    identity.make(DISK, folder)
    print(identity.read(DISK, folder).device_id)

Source: RFC 8032 (Ed25519), RFC 7748 (X25519), RFC 8410 (their PEM forms).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgemed.bundle import keys
from edgemed.bundle.keys import PublicKey
from edgemed.device import filesystem
from edgemed.device.filesystem import Filesystem
from edgemed.errors import DeviceError

__all__ = ["ENCRYPTION", "SIGNING", "Identity", "make", "read"]

SIGNING = "ed25519"
ENCRYPTION = "x25519"
_LIMIT_BYTES = 16 << 10


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The public halves."""

    signing: PublicKey
    encryption: bytes

    @property
    def device_id(self) -> str:
        """SHA-256 of the 32 bytes of the Ed25519 key, 64 hex digits."""
        return self.signing.keyid


def make(fs: Filesystem, folder: Path) -> Identity:
    """Make the key pairs that are not there yet, and return the public halves.

    Raises:
        DeviceError: the folder cannot be written, or a key there is damaged.
    """
    filesystem.make_folder(fs, folder, mode=0o700)
    for name, (private, public) in {SIGNING: _signing(), ENCRYPTION: _encryption()}.items():
        # The public half is written last: where it is, the private half is whole.
        if f"{name}.pub" not in fs.names(folder):
            filesystem.replace(fs, folder / f"{name}.key", private, mode=0o600)
            filesystem.replace(fs, folder / f"{name}.pub", public)
    return read(fs, folder)


def read(fs: Filesystem, folder: Path) -> Identity:
    """Return the public halves; only the user who owns the store may.

    Raises:
        DeviceError: a file is missing, unreadable, or no key.
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    path = folder / f"{ENCRYPTION}.pub"
    signing = keys.parse_public(_read(fs, folder / f"{SIGNING}.pub"), source=str(folder / f"{SIGNING}.pub"))
    try:
        encryption = load_pem_public_key(_read(fs, path))
    except ValueError as err:
        raise DeviceError(f"{path}: expected a public key in PEM form, got something else") from err
    if not isinstance(encryption, X25519PublicKey):
        raise DeviceError(f"{path}: expected an X25519 public key, got another kind")
    return Identity(signing=signing, encryption=encryption.public_bytes_raw())


def _signing() -> tuple[bytes, bytes]:
    key = keys.generate()
    return keys.encode_private(key, passphrase=None), keys.encode_public(key.public)


def _encryption() -> tuple[bytes, bytes]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    key = X25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private, public


def _read(fs: Filesystem, path: Path) -> bytes:
    try:
        return fs.read(path, limit_bytes=_LIMIT_BYTES)
    except OSError as err:
        raise DeviceError(f"{path}: cannot be read: {err.strerror or err}; ask as the store's owner") from err
