"""Getting into a device over SSH: host keys first, then keys, agent or password.

connection = await login.connect(address, SshOptions(known_hosts=Path("known_hosts")))
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import ctypes.util
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgemed.device.transports.address import SshAddress
from edgemed.errors import ConfigError, DeviceError, MissingDependencyError

__all__ = ["Ask", "SshOptions", "connect", "library"]

Ask = Callable[[str], str]  # question -> what a person typed

_SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")
_KEEPALIVE_S = 10
_KEEPALIVES_MISSED = 3
_LOGIN_LIMIT_S = 60  # typing a password is part of it


@dataclass(frozen=True, kw_only=True)
class SshOptions:
    """How to get in.

    Attributes:
        known_hosts: the one file of host keys; None takes the user's and the system's.
        identity: the one private key to show; None takes the agent's, the configuration's and the default ones.
        ask: gets a password or passphrase from a person; None where there is nobody.
        connect_limit_s: seconds until a device that does not answer counts as down.
    """

    known_hosts: Path | None = None
    identity: Path | None = None
    ask: Ask | None = None
    connect_limit_s: float = 15.0


def library() -> Any:
    """Return asyncssh.

    Raises:
        MissingDependencyError: it is not installed.
    """
    if "asyncssh" in sys.modules:
        return sys.modules["asyncssh"]
    try:
        with _no_compiler(), _no_certificates():
            import asyncssh
    except ImportError as err:
        raise MissingDependencyError(
            "asyncssh: not installed; flashing over SSH needs the extra 'ssh': pip install 'edgemed[ssh]'"
        ) from err
    return asyncssh


@contextlib.contextmanager
def _no_compiler() -> Iterator[None]:
    """Have libraries looked up by the loader alone: asyncssh looks for one, and ctypes runs gcc and ld for that."""
    before = ctypes.util.find_library
    ctypes.util.find_library = _loadable
    try:
        yield
    finally:
        ctypes.util.find_library = before


@contextlib.contextmanager
def _no_certificates() -> Iterator[None]:
    """Have asyncssh find no X.509: OpenSSH knows no such certificates, and they take a fifth of the import."""
    name = "cryptography.x509"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # as Python has it for a module that is not to be imported
    try:
        yield
    finally:
        del sys.modules[name]


def _loadable(name: str) -> str | None:
    try:
        ctypes.CDLL(f"lib{name}.so")
    except OSError:
        return None
    return f"lib{name}.so"


async def connect(address: SshAddress, options: SshOptions) -> Any:
    """Return an open asyncssh connection.

    Raises:
        DeviceError: unreachable, its host key is unknown or changed, or it does not let this user in.
        ConfigError: the identity or the known_hosts file cannot be used.
        MissingDependencyError: the extra ``ssh`` is not installed.
    """
    asyncssh = library()
    shown: list[Any] = []
    # `known_hosts` is always given: a configuration that turns the check off has no say here.
    given = {"known_hosts": _known_hosts(options), **_keys(options), **_of(address)}
    try:
        return await asyncssh.connect(
            address.host,
            client_factory=_witness(shown),
            password=_password(address, options),
            connect_timeout=options.connect_limit_s,
            login_timeout=_LOGIN_LIMIT_S,
            keepalive_interval=_KEEPALIVE_S,
            keepalive_count_max=_KEEPALIVES_MISSED,
            **given,
        )
    except asyncssh.HostKeyNotVerifiable as err:
        raise DeviceError(_unverified(address, options, shown)) from err
    except asyncssh.PermissionDenied as err:
        raise DeviceError(
            f"{address}: permission denied; no key (agent, ~/.ssh, or --identity KEY) and no password was accepted"
        ) from err
    except asyncssh.Error as err:
        raise DeviceError(f"{address}: no SSH connection: {err.reason}; is that an SSH server?") from err
    except (OSError, asyncio.TimeoutError) as err:
        raise DeviceError(f"{address}: {_unreachable(err, options)}") from err


def _of(address: SshAddress) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if address.port is not None:
        given["port"] = address.port
    if address.user is not None:
        given["username"] = address.user
    return given


def _witness(shown: list[Any]) -> Any:
    """Return a client that notes a host key nobody vouches for, and refuses it."""
    asyncssh = library()

    class Witness(asyncssh.SSHClient):  # type: ignore[misc, name-defined]  # asyncssh is imported here, untyped
        def validate_host_public_key(self, _host: str, _addr: str, _port: int, key: Any) -> bool:
            shown.append(key)
            return False

    return Witness


def _known_files(options: SshOptions) -> list[Path]:
    if options.known_hosts is not None:
        return [options.known_hosts]
    return [path for path in (Path.home() / ".ssh" / "known_hosts", _SYSTEM_KNOWN_HOSTS) if path.is_file()]


def _known_hosts(options: SshOptions) -> Any:
    asyncssh = library()
    files = _known_files(options)
    try:
        return asyncssh.read_known_hosts(list(map(str, files))) if files else asyncssh.import_known_hosts("")
    except OSError as err:
        raise ConfigError(f"--known-hosts: {err.filename}: cannot be read: {err.strerror}; check the path") from err
    except ValueError as err:
        names = ", ".join(map(str, files))
        raise ConfigError(f"--known-hosts: {names}: expected lines of host and key, got others: {err}") from err


def _keys(options: SshOptions) -> dict[str, Any]:
    """Return the one key to show, and then no agent's; nothing where the defaults are wanted."""
    path = options.identity
    if path is None:
        return {}
    asyncssh = library()
    try:
        return {"client_keys": [_private_key(path, options.ask)], "agent_path": None}
    except OSError as err:
        raise ConfigError(f"--identity: {path}: cannot be read: {err.strerror}; check the path") from err
    except asyncssh.KeyEncryptionError as err:
        raise ConfigError(f"--identity: {path}: the passphrase is wrong, or the file is damaged") from err
    except asyncssh.KeyImportError as err:
        raise ConfigError(f"--identity: {path}: expected an SSH private key, got something else") from err


def _private_key(path: Path, ask: Ask | None) -> Any:
    asyncssh = library()
    raw = path.read_bytes()
    try:
        return asyncssh.import_private_key(raw)
    except asyncssh.KeyImportError as err:
        if "passphrase" not in str(err).lower():
            raise
    if ask is None:
        raise ConfigError(f"--identity: {path}: is encrypted and there is nobody to ask; add it to an agent (ssh-add)")
    return asyncssh.import_private_key(raw, ask(f"Passphrase of {path}: "))


def _password(address: SshAddress, options: SshOptions) -> Callable[[], str] | None:
    """Return what asks for a password when the device wants one; it is asked once, and no key has helped before."""
    ask = options.ask
    return None if ask is None else lambda: ask(f"Password for {address}: ")


def _unverified(address: SshAddress, options: SshOptions, shown: list[Any]) -> str:
    """Say whether a host key is unknown or another one than before, and what to do."""
    port = address.port or 22
    trusted = _known_hosts(options).match(address.host, "", None if port == 22 else port)[0]
    files = " or ".join(map(str, _known_files(options))) or str(Path.home() / ".ssh" / "known_hosts")
    key = f"{shown[0].get_algorithm()} {shown[0].get_fingerprint()}" if shown else "of a kind that is not accepted"
    if trusted:
        before = ", ".join(sorted(one.get_fingerprint() for one in trusted))
        return (
            f"{address}: the host key has changed: expected {before} as {files} says, got {key}; "
            "either the device was set up anew or somebody sits in between. Nothing was sent. Compare with the device "
            f"itself before you remove the old key (ssh-keygen -R)"
        )
    where = address.host if port == 22 else f"-p {port} {address.host}"
    return (
        f"{address}: the host key {key} is not in {files}; nothing was sent. Compare it with the device itself "
        f"(ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub there), then add it: ssh-keyscan {where}"
    )


def _unreachable(err: BaseException, options: SshOptions) -> str:
    if isinstance(err, ConnectionRefusedError):
        return "connection refused; is its SSH server running, and is the port right?"
    if isinstance(err, socket.gaierror):
        return f"the host's name cannot be resolved: {err.strerror}; check its spelling, or give its IP address"
    if isinstance(err, (TimeoutError, asyncio.TimeoutError)):
        return f"no answer within {options.connect_limit_s:g} s; is the device on, and in this network?"
    return f"cannot be reached: {getattr(err, 'strerror', None) or err}; is the device on, and in this network?"
