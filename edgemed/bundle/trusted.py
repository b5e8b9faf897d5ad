"""Trust as files: named on a command line, or kept in a folder of a device.

Rules: a folder holds ``root.json``, or else plain keys (``*.pub``); a root beside keys is the one that counts. A new
root takes the place of an older one in one rename, after `edgemed.bundle.roles.rotated` has accepted it.

    trust = trusted.from_files([Path("root.json")])
    trusted.write(store / "trust", trust)
    trust = trusted.apply(store / "trust", Path("root-2.json"))
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgemed import files
from edgemed.bundle import keys, roles
from edgemed.bundle.roles import ROOT_LIMIT_BYTES, Trust
from edgemed.errors import BundleError, ConfigError

__all__ = ["ROOT", "apply", "contents", "from_files", "read", "read_root", "write"]

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


def read(folder: Path) -> Trust:
    """Return the trust that a folder holds.

    Raises:
        SignatureError: it holds neither a root nor a key.
        BundleError: its root breaks a rule or cannot be read.
        ConfigError: a ``.pub`` file there is no Ed25519 public key.
    """
    root = folder / ROOT
    if root.exists():
        return read_root(root)
    return roles.of_keys([keys.read_public(path) for path in sorted(folder.glob("*.pub"))])


def contents(trust: Trust) -> dict[str, bytes]:
    """Return the files of a folder that holds this trust, by name."""
    if trust.raw is not None:
        return {ROOT: trust.raw}
    return {f"{key.keyid[:16]}.pub": keys.encode_public(key) for key in trust.root.every_key}


def write(folder: Path, trust: Trust) -> None:
    """Write the trust into an empty folder of a new device.

    Raises:
        ConfigError: the folder holds trust already, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if older := sorted(path.name for path in folder.iterdir()):
            raise ConfigError(f"{folder}: holds {older[0]} already; replace a root with 'edgemed device trust ROOT'")
        for name, raw in contents(trust).items():
            files.write_atomic(folder / name, raw)
    except OSError as err:
        raise ConfigError(f"{folder}: cannot be written: {err.strerror or err}; check its permissions") from err


def apply(folder: Path, path: Path) -> Trust:
    """Replace the root of a folder by the one in a file, and return the new trust; the same one again changes nothing.

    A folder of plain keys takes a root of version 1 that one of them has signed.

    Raises:
        BundleError: as `edgemed.bundle.roles.rotated`; the folder is unchanged.
        ConfigError: the folder cannot be written.
    """
    trust = read(folder)
    raw = files.read_bounded(path, limit_bytes=ROOT_LIMIT_BYTES, error=BundleError)
    if raw == trust.raw:
        return trust
    newer = roles.rotated(trust, raw, source=str(path))
    try:
        files.write_atomic(folder / ROOT, raw)
    except OSError as err:
        raise ConfigError(f"{folder}: cannot be written: {err.strerror or err}; check its permissions") from err
    return newer
