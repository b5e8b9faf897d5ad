"""edgemed.device.transports.login: whom a server and a user are taken for, against OpenSSH's server on loopback."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edgemed.device.transports.login import SshOptions
from edgemed.errors import ConfigError
from tests.device import fakes, sshd
from tests.device.sshd import Server
from tests.device.transports.over_ssh import CARGO, flashed, refusal


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return fakes.write_store(tmp_path / "store", CARGO)


def test_unknown_host_key(server: Server, store: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    how = SshOptions(known_hosts=empty, identity=server.identity)
    assert refusal(server, store, how=how) == (
        f"ADDRESS: the host key ssh-ed25519 {fingerprint(server.host_key)} is not in {empty}; nothing was sent. "
        "Compare it with the device itself (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub there), then add it: "
        f"ssh-keyscan -p {server.port} 127.0.0.1"
    )


def test_changed_host_key(server: Server, store: Path, tmp_path: Path) -> None:
    known_hosts = sshd.known(tmp_path / "known", server.identity, server.port)
    assert refusal(server, store, how=SshOptions(known_hosts=known_hosts, identity=server.identity)) == (
        f"ADDRESS: the host key has changed: expected {fingerprint(server.identity)} as {known_hosts} says, got "
        f"ssh-ed25519 {fingerprint(server.host_key)}; either the device was set up anew or somebody sits in between. "
        "Nothing was sent. Compare with the device itself before you remove the old key (ssh-keygen -R)"
    )


def test_configuration_that_turns_the_host_key_check_off_has_no_say(
    server: Server, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("StrictHostKeyChecking no\nUserKnownHostsFile none\n", "utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "is not in" in refusal(server, store, how=SshOptions(identity=server.identity))


def test_key_that_the_device_does_not_know(server: Server, store: Path, tmp_path: Path) -> None:
    how = SshOptions(known_hosts=server.known_hosts, identity=sshd.key(tmp_path / "stranger"))
    assert refusal(server, store, how=how) == DENIED


def test_wrong_password_is_asked_once(server: Server, store: Path, tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return "not the password"

    stranger = sshd.key(tmp_path / "stranger")
    how = SshOptions(known_hosts=server.known_hosts, identity=stranger, ask=ask)
    assert refusal(server, store, how=how) == DENIED
    assert asked == [f"Password for {server.url(store)}: "]


DENIED = "ADDRESS: permission denied; no key (agent, ~/.ssh, or --identity KEY) and no password was accepted"


def test_identity_that_is_no_key(server: Server, store: Path, tmp_path: Path) -> None:
    path = tmp_path / "key"
    for raw, message in (
        (None, "cannot be read: No such file or directory; check the path"),
        ("text", "expected an SSH private key, got something else"),
    ):
        if raw is not None:
            path.write_text(raw, "utf-8")
        with pytest.raises(ConfigError) as caught:
            flashed(CARGO, server, store, how=SshOptions(known_hosts=server.known_hosts, identity=path))
        assert str(caught.value) == f"--identity: {path}: {message}"


def test_encrypted_identity_needs_its_passphrase(server: Server, store: Path, tmp_path: Path) -> None:
    path = tmp_path / "user"
    path.write_bytes(server.identity.read_bytes())
    path.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "open sesame", "-f", path], check=True, capture_output=True)
    given = {"nobody": None, "wrong": lambda _: "open barley", "right": lambda _: "open sesame"}
    found = {}
    for name, ask in given.items():
        try:
            how = SshOptions(known_hosts=server.known_hosts, identity=path, ask=ask)
            found[name] = flashed(CARGO, server, store, how=how).result
        except ConfigError as err:
            found[name] = str(err)
    assert found == {
        "nobody": f"--identity: {path}: is encrypted and there is nobody to ask; add it to an agent (ssh-add)",
        "wrong": f"--identity: {path}: the passphrase is wrong, or the file is damaged",
        "right": "installed",
    }


def test_missing_known_hosts_file(server: Server, store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        flashed(CARGO, server, store, how=SshOptions(known_hosts=tmp_path / "none", identity=server.identity))
    assert str(caught.value) == (
        f"--known-hosts: {tmp_path / 'none'}: cannot be read: No such file or directory; check the path"
    )


def fingerprint(path: Path) -> str:
    public = path.with_suffix(".pub")
    return subprocess.run(["ssh-keygen", "-lf", public], check=True, capture_output=True, text=True).stdout.split()[1]
