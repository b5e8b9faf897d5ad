"""Where a command gets the passphrase of a private key: from a file, or from the person at the terminal."""

from __future__ import annotations

import sys
from pathlib import Path

from edgemed.errors import ConfigError

__all__ = ["ask_existing", "ask_new", "from_file"]

_LIMIT_BYTES = 1024


def from_file(path: Path) -> bytes:
    """Return the first line of a file, without its line end.

    Raises:
        ConfigError: the file cannot be read, is larger than 1024 bytes, or its first line is empty.
    """
    from edgemed import files

    line = files.read_bounded(path, limit_bytes=_LIMIT_BYTES, error=ConfigError).split(b"\n", 1)[0].rstrip(b"\r")
    if not line:
        raise ConfigError(f"{path}: expected a passphrase on the first line, got an empty one")
    return line


def ask_existing(source: Path) -> bytes:
    """Return the passphrase of a key file, typed at the terminal.

    Raises:
        ConfigError: there is no terminal to ask at.
    """
    if not sys.stdin.isatty():
        raise ConfigError(f"{source}: is encrypted and there is no terminal to ask at; give --passphrase-file FILE")
    return _typed(f"Passphrase of {source}: ")


def ask_new(source: Path) -> bytes:
    """Return a passphrase for a new key, typed twice at the terminal.

    Raises:
        ConfigError: there is no terminal to ask at, nothing was typed, or the two differ.
    """
    if not sys.stdin.isatty():
        raise ConfigError(
            f"{source}: needs a passphrase and there is no terminal to ask at; "
            "give --passphrase-file FILE, or --no-passphrase for a key that is not encrypted"
        )
    first = _typed(f"New passphrase for {source}: ")
    if not first:
        raise ConfigError(f"{source}: expected a passphrase, got none; --no-passphrase leaves a key unencrypted")
    if _typed("The same again: ") != first:
        raise ConfigError(f"{source}: the two passphrases differ; nothing was written")
    return first


def _typed(prompt: str) -> bytes:
    import getpass

    return getpass.getpass(prompt, stream=sys.stderr).encode()
