"""Ed25519 keys as values and as PEM files.

Rules: a private key is written once, mode 0600, and never over another file; it is encrypted unless the caller says
in so many words that there is no passphrase; a key's bytes are in no message and no ``repr``.

    key = keys.generate()
    keys.write_new(Path("my.key"), key, passphrase=b"...")
    key = keys.parse_private(raw, passphrase=b"...", source="my.key")

Source: RFC 8032 (Ed25519), RFC 8410 (its PEM forms: PKCS#8 and SubjectPublicKeyInfo).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgemed import files
from edgemed.errors import ConfigError

__all__ = [
    "KEY_LIMIT_BYTES",
    "PrivateKey",
    "PublicKey",
    "encode_private",
    "encode_public",
    "generate",
    "is_encrypted",
    "parse_private",
    "parse_public",
    "read_public",
    "require_new",
    "write_new",
]

KEY_LIMIT_BYTES = 16 << 10
_RAW_BYTES = 32  # RFC 8032, section 5.1.5: both halves
_SPKI = bytes.fromhex("302a300506032b6570032100")  # what stands before them in a public key; RFC 8410, section 10.1


@dataclass(frozen=True, kw_only=True)
class PublicKey:
    """The 32 bytes that check a signature."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != _RAW_BYTES:
            raise ValueError(f"raw: expected {_RAW_BYTES} bytes, got {len(self.raw)}")

    @property
    def keyid(self) -> str:
        """SHA-256 of the 32 bytes, 64 lower-case hex digits."""
        return hashlib.sha256(self.raw).hexdigest()


@dataclass(frozen=True, kw_only=True)
class PrivateKey:
    """The 32 bytes that make signatures; hidden from ``repr``."""

    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.seed) != _RAW_BYTES:
            raise ValueError(f"seed: expected {_RAW_BYTES} bytes, got {len(self.seed)}")

    @property
    def public(self) -> PublicKey:
        """The half that others may have."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return PublicKey(raw=Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw())


def generate() -> PrivateKey:
    """Return a new key from the system's random source."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return PrivateKey(seed=Ed25519PrivateKey.generate().private_bytes_raw())


def encode_public(key: PublicKey) -> bytes:
    """Return a public key as PEM SubjectPublicKeyInfo."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(key.raw).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def encode_private(key: PrivateKey, *, passphrase: bytes | None) -> bytes:
    """Return a private key as PEM PKCS#8, encrypted under the passphrase; None leaves it readable by any reader."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        encryption = serialization.BestAvailableEncryption(passphrase)
    return Ed25519PrivateKey.from_private_bytes(key.seed).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def parse_public(raw: bytes, *, source: str) -> PublicKey:
    """Return the public key of a PEM file.

    Raises:
        ConfigError: not PEM, another kind of key, or a private key given by mistake.
    """
    if (plain := _plain_public(raw)) is not None:
        return PublicKey(raw=plain)

    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if b"PRIVATE KEY" in raw:
        raise ConfigError(
            f"{source}: expected a public key, got a private one; give its .pub file and keep this one secret"
        )
    try:
        key = load_pem_public_key(raw)
    except (ValueError, UnsupportedAlgorithm) as err:
        raise ConfigError(f"{source}: expected a public key in PEM form, got something else") from err
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(
            f"{source}: expected an Ed25519 public key, got another kind; make one with 'edgemed keys new'"
        )
    return PublicKey(raw=key.public_bytes_raw())


def _plain_public(raw: bytes) -> bytes | None:
    """Return the 32 bytes of a file exactly as `encode_public` writes it; None for any other, which is parsed.

    Every start reads such a file, and cryptography's parser imports OpenSSH's formats with it. Source: RFC 8410, 4.
    """
    lines = raw.split(b"\n")
    if len(lines) != 4 or (lines[0], *lines[2:]) != (b"-----BEGIN PUBLIC KEY-----", b"-----END PUBLIC KEY-----", b""):
        return None
    try:
        found = base64.b64decode(lines[1], validate=True)
    except ValueError:
        return None
    is_plain = len(found) == len(_SPKI) + _RAW_BYTES and found.startswith(_SPKI) and base64.b64encode(found) == lines[1]
    return found[len(_SPKI) :] if is_plain else None


def read_public(path: Path) -> PublicKey:
    """Return the public key of a PEM file on disk.

    Raises:
        ConfigError: as `parse_public`, or the file cannot be read.
    """
    return parse_public(files.read_bounded(path, limit_bytes=KEY_LIMIT_BYTES, error=ConfigError), source=str(path))


def is_encrypted(raw: bytes) -> bool:
    """Tell whether a PEM private key needs a passphrase."""
    return b"BEGIN ENCRYPTED PRIVATE KEY" in raw


def parse_private(raw: bytes, *, passphrase: bytes | None, source: str) -> PrivateKey:
    """Return the private key of a PEM file; a passphrase is used only where the file is encrypted.

    Raises:
        ConfigError: not PEM, another kind of key, or a passphrase that is missing or wrong.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    encrypted = is_encrypted(raw)
    if encrypted and passphrase is None:
        raise ConfigError(f"{source}: is encrypted; its passphrase is needed")
    try:
        key = load_pem_private_key(raw, password=passphrase if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as err:
        wrong = "the passphrase is wrong, or the file is damaged" if encrypted else "expected a private key in PEM form"
        raise ConfigError(f"{source}: {wrong}") from err
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(
            f"{source}: expected an Ed25519 private key, got another kind; make one with 'edgemed keys new'"
        )
    return PrivateKey(seed=key.private_bytes_raw())


def require_new(path: Path) -> Path:
    """Return where the public half of a new private key goes, after a look at both places.

    Raises:
        ConfigError: ``path`` is a folder or ends in ``.pub``, or either file exists already.
    """
    if _is(path, Path.is_dir):  # also the empty path, which has no name to put .pub after
        raise ConfigError(f"{path}: expected a file to write the private key to, as in my.key, got a folder")
    public = path.with_suffix(".pub")
    if public == path:
        raise ConfigError(f"{path}: .pub is the public half's name; give the private key another, as in my.key")
    for place in (path, public):
        if _is(place, Path.exists):
            raise ConfigError(f"{place}: exists already; keys are never overwritten, choose another name")
    return public


def write_new(path: Path, key: PrivateKey, *, passphrase: bytes | None) -> Path:
    """Write a private key to ``path`` (mode 0600) and its public half beside it, and return the ``.pub`` path.

    Raises:
        ConfigError: as `require_new`, or the folder cannot be written.
    """
    public = require_new(path)
    _create(path, encode_private(key, passphrase=passphrase), mode=0o600)
    try:
        _create(public, encode_public(key.public), mode=0o644)
    except BaseException:
        path.unlink()
        raise
    return public


def _is(path: Path, question: Callable[[Path], bool]) -> bool:
    """Ask the file system; a place that cannot be looked at is refused when it is written."""
    try:
        return question(path)
    except OSError:
        return False


def _create(path: Path, raw: bytes, *, mode: int) -> None:
    """Write a file that did not exist; on failure nothing stays behind."""
    try:
        # O_EXCL: the check for an older file and the creation are one step, and no link is followed.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as err:
        raise ConfigError(f"{path}: exists already; keys are never overwritten, choose another name") from err
    except OSError as err:
        raise ConfigError(f"{path}: cannot be written: {err.strerror or err}; choose another place") from err
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        raise
