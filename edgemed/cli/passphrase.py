"""Where a command gets a private key and its passphrase: from a file, or from the person at the terminal.

Rules: a passphrase is no option and no environment variable, which other users of the machine could read.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed.errors import ConfigError

if TYPE_CHECKING:
    from edgemed.bundle.keys import PrivateKey

__all__ = ["ask_existing", "ask_new", "from_file", "private_key", "private_keys"]

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


def private_key(path: Path, passphrase_file: Path | None) -> PrivateKey:
    """Return the private key in a file, asking for its passphrase only where it has one.

    Raises:
        ConfigError: no private key, or no way to its passphrase.
    """
    from edgemed import files
    from edgemed.bundle import keys

    raw = files.read_bounded(path, limit_bytes=keys.KEY_LIMIT_BYTES, error=ConfigError)
    secret = None
    if keys.is_encrypted(raw):
        secret = from_file(passphrase_file) if passphrase_file else ask_existing(path)
    return keys.parse_private(raw, passphrase=secret, source=str(path))


def private_keys(paths: Sequence[Path], passphrase_file: Path | None) -> list[PrivateKey]:
    """Return the private keys in several files; a passphrase file is for all of them.

    Raises:
        ConfigError: as `private_key`, or a key repeats.
    """
    found = [private_key(path, passphrase_file) for path in paths]
    if len({key.public.keyid for key in found}) != len(found):
        raise ConfigError("--key: a key repeats; give each once")
    return found


def _typed(prompt: str) -> bytes:
    import getpass

    return getpass.getpass(prompt, stream=sys.stderr).encode()
