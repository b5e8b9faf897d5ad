"""Where a bundle goes: ``ssh://user@host:port/store`` or a folder.

address = address.parse("ssh://unit@10.0.0.7/var/lib/edgemed", "jetson-orin-nano")
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from edgemed import targets
from edgemed.errors import ConfigError

__all__ = ["DirectoryAddress", "SshAddress", "parse"]

_FORM = "ssh://[USER@]HOST[:PORT][/STORE] or a folder"
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9._-]+)?")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+-]*")


@dataclass(frozen=True, kw_only=True)
class SshAddress:
    """An account on a device and the store there.

    Attributes:
        user: None leaves it to the user's SSH configuration.
        port: None leaves it to the user's SSH configuration.
        store: absolute path on the device.
    """

    user: str | None
    host: str
    port: int | None
    store: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port is not None else ""
        return f"ssh://{user}{host}{port}{self.store}"


@dataclass(frozen=True, kw_only=True)
class DirectoryAddress:
    """A folder on this machine, such as a mounted stick."""

    folder: Path

    def __str__(self) -> str:
        return str(self.folder)


def parse(text: str, device: str) -> SshAddress | DirectoryAddress:
    """Return an address, with what it leaves out taken from the target's defaults.

    Args:
        text: as the user wrote it.
        device: id of the target that gives the store's path, the user and the port where the text has none; its file
            is read then only.

    Raises:
        ConfigError: empty, another scheme, a password in it, no host, a port out of range, or no store path known.
    """
    if not text:
        raise ConfigError(f"--to: expected {_FORM}, got an empty text")
    scheme, separator, _ = text.partition("://")
    if not separator:
        return DirectoryAddress(folder=Path(text))
    if scheme != "ssh":
        raise ConfigError(f"--to: expected {_FORM}, got the scheme {scheme!r}")
    return _ssh(text, device)


def _ssh(text: str, device: str) -> SshAddress:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as err:
        raise ConfigError(f"--to: expected {_FORM}, got {text!r}: {err}") from err
    if parts.password is not None:
        # The text itself is not repeated: it would carry the password into logs.
        raise ConfigError("--to: expected no password in the address; use a key, or type it when asked")
    host = parts.hostname or ""
    user = unquote(parts.username) if parts.username else None
    if not _HOST.fullmatch(host) or (user is not None and not _USER.fullmatch(user)) or parts.query or parts.fragment:
        raise ConfigError(f"--to: expected {_FORM}, got {text!r}")
    if port == 0:
        raise ConfigError(f"--to: expected a port from 1 to 65535, got 0 in {text!r}")
    return SshAddress(
        user=user or targets.load(device).transport.user,
        host=host,
        port=port if port is not None else _port(device),
        store=_store(unquote(parts.path).rstrip("/"), device, text),
    )


def _port(device: str) -> int | None:
    """Return the device's own port; 22 is what SSH takes anyway, unless the user's configuration knows better."""
    port = targets.load(device).transport.port
    return None if port == 22 else port


def _store(path: str, device: str, text: str) -> str:
    store = path or targets.load(device).store.path
    if store is None:
        raise ConfigError(
            f"--to: {device} has no store path of its own; write it after the host, as in {text.rstrip('/')}"
            "/var/lib/edgemed"
        )
    if ".." in store.split("/") or not store.isprintable():
        raise ConfigError(f"--to: expected an absolute store path without '..', got {store!r}")
    return store
