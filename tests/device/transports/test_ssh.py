"""edgemed.device.transports.ssh against OpenSSH's server on loopback."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgemed.device.transports import DeviceState, ssh
from edgemed.device.transports.login import SshOptions
from edgemed.errors import BundleError, DeviceError, InstallError
from tests.device import fakes, sshd
from tests.device.sshd import HOST, Server, Wire
from tests.device.transports.over_ssh import CARGO, flashed, flashing, options, refusal, to

LARGE = fakes.cargo(padding=1 << 20)
SIZE = LARGE.upload.size_bytes


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return fakes.write_store(tmp_path / "store", CARGO)


def test_bundle_arrives_and_the_inbox_is_empty_again(server: Server, store: Path) -> None:
    report = flashed(CARGO, server, store)
    assert report.result == "installed"
    assert report.installed is not None
    assert report.installed.document["slot"] == "a"
    assert (store / "installed").read_bytes() == CARGO.upload.raw
    assert names(store / "inbox") == []


def test_one_process_on_the_device_does_it_all(server: Server, store: Path) -> None:
    assert flashed(CARGO, server, store).result == "installed"
    assert (store / "answers" / "asked").read_text("utf-8").split() == ["receive"]


def test_device_whose_edgemed_is_older_is_asked_in_two_commands(server: Server, store: Path) -> None:
    (store / "answers" / "older").touch()
    assert flashed(CARGO, server, store).result == "installed"
    assert (store / "answers" / "asked").read_text("utf-8").split() == ["receive", "status", "install"]


def test_process_that_ends_before_the_upload_has_arrived(server: Server, store: Path) -> None:
    (store / "answers" / "ends").touch()
    assert refusal(server, store) == (
        "ADDRESS: 'edgemed device install' was ended before it answered; run the same command again"
    )


def test_plan_of_a_dry_run_writes_nothing(server: Server, store: Path) -> None:
    async def drawn() -> DeviceState:
        async with ssh.connected(to(server.url(store)), options(server)) as session:
            return await session.probe(CARGO.upload)

    assert asyncio.run(drawn()) == DeviceState(
        place=server.url(store),
        target=fakes.TARGET,
        runtime="0.1.0",
        active=None,
        release_floors={"tiny": 1},
        free_bytes=1 << 30,
        received_bytes=0,
    )
    assert names(store) == ["answers", "format.json", "inbox"]


@pytest.mark.parametrize("tenth", range(10))
def test_upload_that_is_cut_off_goes_on_where_it_ended(server: Server, store: Path, tenth: int) -> None:
    # 8 KiB is the handshake and the questions; then the upload's tenths.
    lost = pytest.raises(DeviceError, match=rf"the connection was lost after \d+ of {SIZE} bytes had arrived: ")
    with Wire(server.port, limit_bytes=(8 << 10) + tenth * SIZE // 10) as wire, lost:
        flashed(LARGE, server, store, port=wire.port)
    parts = [path.stat().st_size for path in (store / "inbox").iterdir()]
    assert not (store / "installed").exists()
    report = flashed(LARGE, server, store)
    assert report.plan.offset == SIZE - report.plan.send_bytes == sum(parts) >= tenth * SIZE // 10 - (256 << 10)
    assert (store / "installed").read_bytes() == LARGE.upload.raw


@pytest.mark.parametrize("left", ["zeros", "other-bytes", "too-long"])
def test_upload_whose_bytes_a_power_cut_has_changed_starts_anew(server: Server, store: Path, left: str) -> None:
    raw = LARGE.upload.raw
    parts = {"zeros": bytes(1000), "other-bytes": b"x" + raw[1:1000], "too-long": raw + b"x"}
    (store / "inbox" / f"{LARGE.upload.sha256}.upload").write_bytes(parts[left])
    report = flashed(LARGE, server, store)
    assert report.plan.offset == 0
    assert (store / "installed").read_bytes() == raw


def test_complete_upload_is_not_sent_again(server: Server, store: Path) -> None:
    (store / "inbox" / f"{LARGE.upload.sha256}.upload").write_bytes(LARGE.upload.raw)
    assert flashed(LARGE, server, store).plan.send_bytes == 0


def test_connection_refused(server: Server, store: Path) -> None:
    port = sshd.free_port()
    with pytest.raises(DeviceError) as caught:
        flashed(CARGO, server, store, port=port)
    assert str(caught.value) == (
        f"{server.url(store, port=port)}: connection refused; is its SSH server running, and is the port right?"
    )


def test_host_that_takes_the_call_and_never_answers(server: Server, store: Path) -> None:
    with socket.create_server((HOST, 0)) as silent:
        port = silent.getsockname()[1]
        how = SshOptions(known_hosts=server.known_hosts, identity=server.identity, connect_limit_s=0.3)
        with pytest.raises(DeviceError) as caught:
            flashed(CARGO, server, store, port=port, how=how)
    assert str(caught.value) == (
        f"{server.url(store, port=port)}: no answer within 0.3 s; is the device on, and in this network?"
    )


def test_server_that_speaks_another_protocol(server: Server, store: Path) -> None:
    with socket.create_server((HOST, 0)) as web:
        port = web.getsockname()[1]
        thread = threading.Thread(target=_answer_once, args=(web,))
        thread.start()
        with pytest.raises(DeviceError, match=r": no SSH connection: .*; is that an SSH server\?$"):
            flashed(CARGO, server, store, port=port)
        thread.join(5)


def _answer_once(web: socket.socket) -> None:
    client, _ = web.accept()
    with client:
        client.recv(100)
        client.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n" + b"x" * 70000)


def test_name_that_nobody_knows(server: Server) -> None:
    how = SshOptions(known_hosts=server.known_hosts, identity=server.identity)
    with pytest.raises(DeviceError) as caught:
        asyncio.run(flashing(CARGO, to("ssh://ward.invalid/srv/e"), how, fakes.Progress()))
    assert str(caught.value).startswith("ssh://ward.invalid/srv/e: the host's name cannot be resolved: ")
    assert str(caught.value).endswith("; check its spelling, or give its IP address")


def test_device_without_edgemed(store: Path, tmp_path: Path) -> None:
    pytest.importorskip("asyncssh")
    with sshd.running(tmp_path / "etc", environment={"PATH": "/usr/bin:/bin", "HOME": "/nowhere"}) as bare:
        assert refusal(bare, store) == (
            "ADDRESS: has no edgemed that can be run; install it with --bootstrap --wheelhouse DIR "
            "(made by 'edgemed bundle wheelhouse')"
        )


def test_device_without_a_store(server: Server, tmp_path: Path) -> None:
    assert refusal(server, tmp_path) == "ADDRESS: STORE: no device store"


def test_device_with_an_older_runtime(server: Server, store: Path) -> None:
    goods = fakes.cargo(minimum_runtime="7.0.0")
    assert refusal(server, store, goods) == (
        "ADDRESS: runs edgemed 0.1.0, tiny 1.0.0 needs 7.0.0 or newer; upgrade it with --bootstrap --wheelhouse DIR"
    )
    assert names(store / "inbox") == []


def test_answer_that_is_no_document(server: Server, store: Path) -> None:
    (store / "answers" / "install").write_text("done!", "utf-8")
    assert refusal(server, store) == (
        "ADDRESS: 'edgemed device install --json' printed 'done!', expected one JSON document: JSON is malformed: "
        "invalid character (byte 0); does its login shell print something, or is its edgemed another one?"
    )


OUTCOMES = {
    "refused": ("echo 'edgemed: not signed by a key of this store' >&2; exit 5", BundleError, False),
    "rolled-back": ("echo 'edgemed: golden vectors differ' >&2; exit 7", InstallError, False),
    "busy": ("echo 'edgemed: another installation is under way' >&2; exit 6", DeviceError, True),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_refusal_of_the_device_keeps_its_class_and_words(server: Server, store: Path, name: str) -> None:
    script, error, kept = OUTCOMES[name]
    (store / "answers" / "script").write_text(script, "utf-8")
    with pytest.raises(error) as caught:
        flashed(CARGO, server, store)
    assert type(caught.value) is error
    assert str(caught.value) == f"{server.url(store)}: {script.split(': ')[1].split(chr(39))[0]}"
    # What was refused is of no more use; a device that was busy gets it without a second upload.
    assert bool(names(store / "inbox")) is kept


def test_inbox_that_is_missing(server: Server, store: Path) -> None:
    (store / "inbox").rmdir()
    name = f"STORE/inbox/{CARGO.upload.sha256}.upload"
    assert refusal(server, store) == (f"ADDRESS: {name} cannot be written: No such file; does this user own the store?")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Return a way to mount a store's inbox on a file system of its own."""
    place = tmp_path / "store" / "inbox"

    def mounted(how: str) -> Path:
        store = fakes.write_store(tmp_path / "store", LARGE)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", how, "none", place], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("mounting a small file system needs root")
        return store

    yield mounted
    subprocess.run(["umount", place], capture_output=True, check=False)


def test_disk_that_fills_up_under_way(server: Server, small_disk: Callable[[str], Path]) -> None:
    store = small_disk("size=512k")
    assert refusal(server, store, LARGE) == (
        f"ADDRESS: its disk is full: 0 bytes are free, {SIZE - (512 << 10)} more are needed in STORE/inbox; "
        "make space, then run the same command again: it goes on from there"
    )
    subprocess.run(["mount", "-o", "remount,size=4m", store / "inbox"], check=True)
    assert flashed(LARGE, server, store).plan.offset == 512 << 10


def test_read_only_store(server: Server, small_disk: Callable[[str], Path]) -> None:
    assert refusal(server, small_disk("ro"), LARGE) == (
        "ADDRESS: STORE/inbox is on a read-only file system; mount it writable, then run this again"
    )


class Cancelling(fakes.Progress):
    """Does what Ctrl-C does to an event loop: cancels the work, when something was said."""

    def __init__(self, when: str) -> None:
        super().__init__()
        self.when = when

    def advance(self, count: int = 1) -> None:
        super().advance(count)
        if self.when == "sending" and count:
            asyncio.current_task().cancel()  # type: ignore[union-attr]  # there is one

    def note(self, text: str) -> None:
        if self.when == "installing":
            asyncio.get_running_loop().call_later(0.3, asyncio.current_task().cancel)  # type: ignore[union-attr]


@pytest.mark.parametrize("when", ["connecting", "asking", "sending", "installing"])
def test_ctrl_c_leaves_what_the_same_command_goes_on_with(server: Server, store: Path, when: str) -> None:
    marks = store / "marks"
    marks.mkdir()
    (store / "answers" / "script").write_text(f"sleep 1; touch {marks}/ended\n", "utf-8")

    status = store / "answers" / "status"
    answer = status.read_bytes()
    if when == "asking":
        # A pipe that nobody writes into: the device never answers.
        status.unlink()
        os.mkfifo(status)

    async def interrupted() -> None:
        place, how = to(server.url(store)), options(server)
        work = asyncio.ensure_future(flashing(LARGE, place, how, Cancelling(when)))
        if when in ("connecting", "asking"):
            asyncio.get_running_loop().call_later(0.01 if when == "connecting" else 0.5, work.cancel)
        await work

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(interrupted())
    assert not (marks / "ended").exists()
    (store / "answers" / "script").unlink()
    if when == "asking":
        # The device's command still waits for the pipe; opening it for both ends what would wait for ever.
        os.close(os.open(status, os.O_RDWR | os.O_NONBLOCK))
    status.unlink()
    status.write_bytes(answer)
    report = flashed(LARGE, server, store)
    assert report.result == "installed"
    least = {"sending": 256 << 10, "installing": SIZE}.get(when, 0)
    assert least <= report.plan.offset <= (SIZE if least else 0)
    assert (store / "installed").read_bytes() == LARGE.upload.raw


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
