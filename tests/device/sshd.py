"""OpenSSH's server on loopback, started by a test on a free port with throw-away keys, and a wire that can be cut."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running sshd and what is needed to get in."""

    port: int
    user: str
    identity: Path
    known_hosts: Path
    host_key: Path
    folder: Path

    def url(self, store: Path | str, *, port: int | None = None) -> str:
        return f"ssh://{self.user}@{HOST}:{port or self.port}{store}"


def require() -> str:
    """Return sshd's path, or skip: Debian has it in openssh-server."""
    found = shutil.which("sshd") or shutil.which("/usr/sbin/sshd")
    if found is None:
        pytest.skip("OpenSSH's server is not installed (Debian package openssh-server)")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def key(path: Path) -> Path:
    """Make a throw-away Ed25519 key pair."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True, timeout=30)
    return path


def known(path: Path, host_key: Path, *ports: int) -> Path:
    """Write a known_hosts file that vouches for a host key on these ports."""
    public = " ".join(host_key.with_suffix(".pub").read_text("utf-8").split()[:2])
    path.write_text("".join(f"[{HOST}]:{port} {public}\n" for port in ports), "utf-8")
    return path


@contextlib.contextmanager
def running(folder: Path, *, environment: Mapping[str, str]) -> Iterator[Server]:
    """Run an sshd whose sessions have this environment; it ends with the block."""
    program = require()
    folder.mkdir(parents=True, exist_ok=True)
    host_key, identity = key(folder / "host"), key(folder / "user")
    authorized = folder / "authorized_keys"
    authorized.write_text(identity.with_suffix(".pub").read_text("utf-8"), "utf-8")
    authorized.chmod(0o600)
    port = free_port()
    lines = {
        "Port": port,
        "ListenAddress": HOST,
        "HostKey": host_key,
        "PidFile": "none",
        "AuthorizedKeysFile": authorized,
        "StrictModes": "no",  # the folder of a test may lie below a world-writable one
        "UsePAM": "no",
        "PasswordAuthentication": "yes",
        "PermitRootLogin": "yes",
        "MaxStartups": "100:30:200",
        "MaxSessions": "50",
        "PrintMotd": "no",
        "Subsystem": "sftp internal-sftp",
        "SetEnv": " ".join(f'"{name}={value}"' for name, value in environment.items()),
    }
    config = folder / "sshd_config"
    config.write_text("".join(f"{name} {value}\n" for name, value in lines.items()), "utf-8")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # its privilege separation wants the folder that systemd makes
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", config], stderr=log, stdin=subprocess.DEVNULL)
        try:
            wait(port, process, folder / "log")
            yield Server(
                port=port,
                user=_user(),
                identity=identity,
                known_hosts=known(folder / "known_hosts", host_key, port),
                host_key=host_key,
                folder=folder,
            )
        finally:
            process.terminate()
            process.wait(10)


def _user() -> str:
    import getpass

    return getpass.getuser()


def wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        if process.poll() is not None:
            pytest.skip(f"sshd does not start here: {log.read_text('utf-8', 'replace').strip()[-300:]}")
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.025)
    raise TimeoutError(f"sshd did not answer on port {port}")


class Wire:
    """A TCP proxy in front of a server.

    ``limit_bytes`` to the server, and the line is cut; None lets all through. After ``pause_after`` bytes ``paused`` is
    set, and nothing goes on until ``resume`` is.
    """

    def __init__(self, target_port: int, *, limit_bytes: int | None, pause_after: int | None = None) -> None:
        self.sent = 0
        self.limit_bytes = limit_bytes
        self.pause_after = pause_after
        self.paused, self.resume = threading.Event(), threading.Event()
        self._target_port = target_port
        self._listener = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = [self._listener]
        self._start(self._accept)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._cut()
        for thread in self._threads:
            thread.join(5)

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((HOST, self._target_port))
                self._sockets += [client, server]
                self._start(self._forward, client, server)
                self._start(self._back, server, client)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(4096):
                left = len(data) if self.limit_bytes is None else self.limit_bytes - self.sent
                server.sendall(data[:left])
                self.sent += min(len(data), left)
                if left < len(data):
                    self._cut()
                if self.pause_after is not None and self.sent >= self.pause_after:
                    self.paused.set()
                    self.resume.wait(60)
            server.shutdown(socket.SHUT_WR)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)

    def _cut(self) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
