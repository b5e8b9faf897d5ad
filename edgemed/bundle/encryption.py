"""Bundles that only named devices can read: files in the age format (X25519, ChaCha20-Poly1305).

Rules: the signed bundle lies inside, whole; encryption hides it and proves nothing of who made it, so that what comes
out is verified as any other file. Every byte of an encrypted file is authenticated. Clear text is in memory alone: a
device keeps the file as it came and opens it at every load. A secret key is in no message.

    raw = encryption.encrypt(bundle, [encryption.read_recipient(Path("unit-7.pub"))])
    raw = encryption.opened(raw, identity=Path("/var/lib/edgemed/identity/encryption.key"), source="a.edgemed")

Source: https://age-encryption.org/v1. The library is pyrage, bindings to the Rust implementation: the format is the one
that the tools ``age`` and ``rage`` read and write too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgemed import files
from edgemed.bundle import keys
from edgemed.bundle.stored_zip import ARCHIVE_LIMIT_BYTES
from edgemed.errors import BundleError, ConfigError, MissingDependencyError

__all__ = [
    "ENCRYPTED_LIMIT_BYTES",
    "RECIPIENTS_LIMIT",
    "encrypt",
    "is_encrypted",
    "opened",
    "read_recipient",
    "recipients",
]

_MAGIC = b"age-encryption.org/v1\n"
_STANZA = b"\n-> X25519 "  # one for each recipient; the tools add others of random names
_HEADER_END = b"\n---"
RECIPIENTS_LIMIT = 1024
# 16 bytes for each chunk of 64 KiB, and a header with less than 256 bytes for each recipient.
ENCRYPTED_LIMIT_BYTES = ARCHIVE_LIMIT_BYTES + (ARCHIVE_LIMIT_BYTES >> 12) + 256 * (RECIPIENTS_LIMIT + 16)


def read_recipient(path: Path) -> str:
    """Return the public half in a file.

    Raises:
        ConfigError: the file cannot be read, or holds no such key.
        MissingDependencyError: pyrage is not installed.
    """
    text = _text(path)
    if "AGE-SECRET-KEY-" in text:
        raise ConfigError(f"{path}: expected a device's public key, got a secret one; give its .pub file")
    library = _library()
    try:
        return str(library.x25519.Recipient.from_str(text.strip()))
    except library.RecipientError as err:
        raise ConfigError(
            f"{path}: expected a device's public key for encryption, as in age1..., got something else"
        ) from err


def is_encrypted(raw: bytes) -> bool:
    """Tell whether a file's first bytes are those of an encrypted bundle."""
    return raw.startswith(_MAGIC)


def recipients(raw: bytes) -> int:
    """Return to how many keys an encrypted file is; whose they are it does not tell.

    Raises:
        BundleError: it ends inside its header.
    """
    end = raw.find(_HEADER_END)
    if end < 0:
        raise BundleError("is an encrypted file that ends inside its header; it was cut short, get it again")
    return raw[:end].count(_STANZA)


def encrypt(raw: bytes, recipients: Sequence[str]) -> bytes:
    """Return a bundle's bytes encrypted to devices: each of them can open it alone. No two results are alike.

    Raises:
        ValueError: no recipient.
        ConfigError: more than `RECIPIENTS_LIMIT`.
        MissingDependencyError: pyrage is not installed.
    """
    if not recipients:
        raise ValueError("recipients: expected at least one, got none")
    if len(recipients) > RECIPIENTS_LIMIT:
        raise ConfigError(
            f"recipients: expected at most {RECIPIENTS_LIMIT} devices, got {len(recipients)}; make several files"
        )
    library = _library()
    encrypted: bytes = library.encrypt(raw, [library.x25519.Recipient.from_str(one) for one in recipients])
    return encrypted


def opened(raw: bytes, *, identity: Path | None, source: str) -> bytes:
    """Return a bundle's bytes as they are, or decrypted where they are encrypted; nothing is verified by that.

    Args:
        raw: the whole file.
        identity: file of the device's secret key; None for a machine without one.
        source: the file's name, for messages.

    Raises:
        BundleError: encrypted to other devices, altered or cut short, or there is no key to open it with.
        ConfigError: the key file cannot be read or holds no key.
        MissingDependencyError: pyrage is not installed.
    """
    if not is_encrypted(raw):
        return raw
    if identity is None:
        raise BundleError(f"{source}: is encrypted to a device's key; only that device can open it")
    if len(raw) > ENCRYPTED_LIMIT_BYTES:
        raise BundleError(f"{source}: {len(raw)} bytes are more than the {ENCRYPTED_LIMIT_BYTES} accepted")
    library, secret = _library(), _secret(identity)
    try:
        clear: bytes = library.decrypt(raw, [secret])
    except library.DecryptError as err:
        raise BundleError(
            f"{source}: cannot be decrypted with this device's key: it is encrypted to other devices, or was altered; "
            "encrypt the bundle to this device's .pub and get it again"
        ) from err
    return clear


def _secret(path: Path) -> Any:
    """Return the secret key in a file of the form that ``age-keygen`` writes."""
    library = _library()
    lines = [line.strip() for line in _text(path).splitlines() if line.strip() and not line.startswith("#")]
    try:
        (line,) = lines
        return library.x25519.Identity.from_str(line)
    except (ValueError, library.IdentityError) as err:
        raise ConfigError(f"{path}: expected one secret key, as in AGE-SECRET-KEY-1..., got something else") from err


def _text(path: Path) -> str:
    return files.read_bounded(path, limit_bytes=keys.KEY_LIMIT_BYTES, error=ConfigError).decode("ascii", "replace")


def _library() -> Any:
    """Return pyrage, an extra: most devices need none."""
    try:
        import pyrage
    except ImportError as err:
        raise MissingDependencyError(
            "pyrage: not installed; encrypted bundles need the extra 'encryption': pip install 'edgemed[encryption]'"
        ) from err
    return pyrage
