"""Trust as files: named on a command line, or in the folder of a device.

Rules: a folder holds ``root.json``, or else plain keys (``*.pub``); a root beside keys is the one that counts.

    trust = trusted.from_files([Path("root.json")])
    for name, raw in trusted.contents(trust).items():
        ...
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgemed import files
from edgemed.bundle import keys, roles
from edgemed.bundle.roles import ROOT_LIMIT_BYTES, Trust
from edgemed.errors import BundleError, ConfigError

__all__ = ["ROOT", "contents", "from_files", "read_root"]

ROOT = "root.json"


def from_files(paths: Sequence[Path]) -> Trust:
    """Return the trust in files that a person named: one trust root, or public keys.

    Raises:
        SignatureError: no file, or a root whose signatures do not suffice.
        BundleError: a root that breaks a rule.
        ConfigError: a file cannot be read or is neither, or a root is given beside other files.
    """
    read = {path: files.read_bounded(path, limit_bytes=ROOT_LIMIT_BYTES, error=ConfigError) for path in paths}
    roots = [path for path, raw in read.items() if raw.startswith(b"{")]
    if roots and len(paths) > 1:
        raise ConfigError(f"{roots[0]}: a trust root stands alone; leave the other keys away, or put them into a root")
    if roots:
        return roles.parse(read[roots[0]], source=str(roots[0]))
    return roles.of_keys([keys.parse_public(raw, source=str(path)) for path, raw in read.items()])


def read_root(path: Path) -> Trust:
    """Return the trust root in a file, as `edgemed.bundle.roles.parse`.

    Raises:
        BundleError: as `roles.parse`, or the file cannot be read.
    """
    return roles.parse(files.read_bounded(path, limit_bytes=ROOT_LIMIT_BYTES, error=BundleError), source=str(path))


def contents(trust: Trust) -> dict[str, bytes]:
    """Return the files of a folder that holds this trust, by name."""
    if trust.raw is not None:
        return {ROOT: trust.raw}
    return {f"{key.keyid[:16]}.pub": keys.encode_public(key) for key in trust.root.every_key}
