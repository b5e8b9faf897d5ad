"""Where the records of a device store lie, and the key that signs them.

if places.is_wanted(store):
    log = AuditLog.open(store / places.AUDIT, places.signing_key(store))
"""

from __future__ import annotations

from pathlib import Path

from edgemed import files
from edgemed.bundle import keys
from edgemed.bundle.keys import PrivateKey
from edgemed.errors import DeviceError

__all__ = ["AUDIT", "QUEUES", "RECORDS", "RESULTS", "is_wanted", "pseudonym_key", "signing_key"]

RECORDS = "records"
AUDIT = f"{RECORDS}/audit"
QUEUES = f"{RECORDS}/queues"
RESULTS = f"{RECORDS}/results.sqlite3"


def is_wanted(store: Path) -> bool:
    """Tell whether a store keeps records when nobody says: where it has a folder for them."""
    return (store / RECORDS).is_dir()


def pseudonym_key(store: Path) -> Path:
    """Return where the key for pseudonyms lies: apart from the records, which may be copied without it."""
    return store / "identity" / "records.key"


def signing_key(store: Path) -> PrivateKey:
    """Return the key by which the device signs its audit log.

    Raises:
        DeviceError: this user may not read it, or it is missing.
        ConfigError: it is damaged.
    """
    path = store / "identity" / "signing.key"
    raw = files.read_bounded(path, limit_bytes=keys.KEY_LIMIT_BYTES, error=DeviceError)
    return keys.parse_private(raw, passphrase=None, source=str(path))
