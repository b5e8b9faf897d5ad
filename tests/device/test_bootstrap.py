"""edgemed.device.bootstrap: edgemed onto a device that has none, over a real SSH session, without a network."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgemed import targets
from edgemed.cli import main
from edgemed.device import bootstrap
from edgemed.device.bootstrap import Bootstrapped
from edgemed.device.transports import address, ssh
from edgemed.device.transports.address import SshAddress
from edgemed.device.transports.login import SshOptions
from edgemed.errors import ConfigError, DeviceError, EdgemedError, TargetMismatchError
from tests.device import fakes, sshd, wheels
from tests.device.sshd import Server


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return an sshd of a device with this Python and no edgemed; ``python3`` answers from a file if there is one."""
    pytest.importorskip("asyncssh")
    folder = tmp_path_factory.mktemp("bare")
    program = folder / "bin" / "python3"
    program.parent.mkdir()
    answer = folder / "etc" / "python3.json"
    program.write_text(f'#!/bin/sh\n[ -f {answer} ] && exec cat {answer}\nexec {sys.executable} "$@"\n', "utf-8")
    program.chmod(0o755)
    with sshd.running(
        folder / "etc", environment={"PATH": f"{program.parent}:/usr/bin:/bin", "HOME": "/nowhere"}
    ) as found:
        yield found


def provisioned(server: Server, store: Path, kit: bootstrap.Kit) -> Bootstrapped:
    async def work() -> Bootstrapped:
        place = address.parse(server.url(store), fakes.TARGET)
        assert isinstance(place, SshAddress)
        options = SshOptions(known_hosts=server.known_hosts, identity=server.identity)
        async with ssh.connected(place, options) as session:
            return await bootstrap.bootstrap(session, kit, target=fakes.TARGET, progress=fakes.Progress())

    return asyncio.run(work())


def bootstrapped(
    server: Server, store: Path, house: Path, *, trust: tuple[bytes, ...] = (), service: str | None = None, **how: Any
) -> Bootstrapped:
    kit = bootstrap.Kit(houses={house: wheels.house(house, **how)}, trust=trust, service=service)
    return provisioned(server, store, kit)


def test_device_gets_an_environment_and_a_store_and_keeps_them(bare: Server, tmp_path: Path) -> None:
    store, house = tmp_path / "store", tmp_path / "house"
    house.mkdir()
    done = bootstrapped(bare, store, house, trust=(b"a key", b"another"), service="/srv/images")
    assert done == Bootstrapped(
        runtime="0.2.0",
        is_new=True,
        store_made=True,
        service=SERVICE,
    )
    assert (store / "format.json").read_text("utf-8") == "['a key', 'another']"
    # Nothing is left of what it was made from, and the program runs where the link leads.
    assert sorted(path.name for path in store.iterdir()) == ["format.json", "runtime", "runtimes"]
    assert (store / "runtime" / "bin" / "edgemed").exists()
    again = bootstrapped(bare, store, house)
    assert (again.is_new, again.store_made, again.service) == (False, False, None)


# Where the tests run as root on a machine with systemd, the wheelhouse's edgemed has no such command.
SERVICE = (
    "not installed: the device has no systemd"
    if shutil.which("systemctl", path="/usr/bin:/bin") is None
    else "not installed: this edgemed has no 'watch' command"
)
FITTING = {
    "python": wheels.PYTHON,
    "machine": "x86_64",
    "venv": True,
    "free_bytes": 1 << 30,
    "writable": True,
    "place": "/srv",
    "store": False,
    "runtime": None,
}
REFUSALS: dict[str, tuple[dict[str, object], type[EdgemedError], str]] = {
    "other-python": (
        {"python": "3.9"},
        TargetMismatchError,
        f"ADDRESS: has Python 3.9 on x86-64, the wheelhouse is for Python {wheels.PYTHON} on x86-64; collect another "
        "one (edgemed bundle wheelhouse --python 3.9)",
    ),
    "other-architecture": (
        {"machine": "aarch64"},
        TargetMismatchError,
        f"ADDRESS: has Python {wheels.PYTHON} on aarch64, the wheelhouse is for Python {wheels.PYTHON} on x86-64; "
        f"collect another one (edgemed bundle wheelhouse --python {wheels.PYTHON})",
    ),
    "no-venv": (
        {"venv": False},
        DeviceError,
        "ADDRESS: its Python has no venv; install its package (Debian, Ubuntu: python3-venv) there first",
    ),
    "no-right": (
        {"writable": False},
        DeviceError,
        "ADDRESS: /srv cannot be written by this user; use another account, or make STORE there first and give it to "
        "this one",
    ),
    "no-room": (
        {"free_bytes": 10},
        DeviceError,
        "ADDRESS: 10 bytes are free, NEEDED are needed for edgemed and what it needs; make space there",
    ),
}


@pytest.mark.skipif(targets.architecture() != "x86-64", reason="the messages are those of an x86-64 wheelhouse")
@pytest.mark.parametrize("name", REFUSALS)
def test_what_does_not_fit_is_refused_before_the_first_byte(bare: Server, tmp_path: Path, name: str) -> None:
    changes, error, message = REFUSALS[name]
    answer = bare.folder / "python3.json"
    answer.write_text(json.dumps({**FITTING, **changes}), "utf-8")
    store = tmp_path / "store"
    try:
        with pytest.raises(error) as caught:
            bootstrapped(bare, store, tmp_path)
    finally:
        answer.unlink()
    needed = 5 * next(tmp_path.glob("*.whl")).stat().st_size
    said = str(caught.value).replace(bare.url(store), "ADDRESS").replace(str(store), "STORE")
    assert said.replace(f"{needed} are", "NEEDED are") == message
    assert not store.exists()


def test_step_that_fails_leaves_what_ran_before(bare: Server, tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / "runtimes" / "old").mkdir(parents=True)
    (store / "runtime").symlink_to("runtimes/old")
    # A file where the folder of the new environment goes.
    (store / "wheelhouse").mkdir()
    (store / "wheelhouse" / "x").mkdir()
    with pytest.raises(
        DeviceError, match=r": looking at the wheels there ended with exit code 1: .*; look at the device$"
    ):
        bootstrapped(bare, store, tmp_path)
    assert (store / "runtime").readlink() == Path("runtimes/old")


def test_unit_is_filled_in_and_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    text = bootstrap.unit("/var/lib/edgemed", "unit", "/srv/images")
    assert ("ExecStart=/var/lib/edgemed/runtime/bin/edgemed watch /srv/images --store /var/lib/edgemed\n") in text
    assert "User=unit\nExecStart" in text
    assert "PrivateNetwork=yes\n" in text
    assert "@" not in text.replace("@system-service", "").replace("@privileged", "")
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed: the unit was compared, not verified")
    path = tmp_path / "edgemed-watch.service"
    text = bootstrap.unit("/usr", "root", "/dev/video0")
    path.write_text(text.replace("/usr/runtime/bin/edgemed", sys.executable), "utf-8")
    done = subprocess.run([program, "verify", path], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "edgemed-watch" in line]) == (0, [])


def test_unit_has_the_group_of_a_camera_and_the_network_of_an_address_only_where_it_needs_them() -> None:
    camera, address = (bootstrap.unit("/s", "unit", source) for source in ("/dev/video0", "rtsp://probe/1"))
    assert "SupplementaryGroups=video\n" in camera
    assert "PrivateNetwork=yes\n" in camera
    assert "SupplementaryGroups" not in address
    assert "PrivateNetwork" not in address
    assert "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\n" in address


def test_command_of_the_unit_is_one_that_edgemed_takes(capsys: pytest.CaptureFixture[str]) -> None:
    line = next(
        one for one in bootstrap.unit("/no/store", "unit", "/no/images").splitlines() if one.startswith("ExecStart=")
    )
    assert main(line.split()[1:]) == 2
    assert "/no/images" in capsys.readouterr().err  # the source is looked for: the words were understood


@pytest.mark.parametrize("store", ["/srv/my store", "/srv/100%", '/srv/"x"', "/srv/ü"])
def test_value_that_a_unit_file_does_not_take_is_refused(store: str) -> None:
    for values in ((store, "/srv/images"), ("/srv/store", store)):
        with pytest.raises(ConfigError) as caught:
            bootstrap.unit(values[0], "unit", values[1])
        assert str(caught.value) == (
            f"--service: {store!r} has characters that a unit file does not take; use another one"
        )


SOURCES = {
    "pipe": (
        "-",
        "--service: expected what 'edgemed watch' is to watch there, an absolute path or an address, got '-'",
    ),
    "relative": (
        "images",
        "--service: expected what 'edgemed watch' is to watch there, an absolute path or an address, got 'images'",
    ),
    "temporary": ("/tmp/images", "--service: /tmp/images: the unit has a /tmp of its own; use another folder"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_source_that_a_unit_cannot_watch_is_refused(name: str) -> None:
    source, message = SOURCES[name]
    with pytest.raises(ConfigError) as caught:
        bootstrap.require_source(source)
    assert str(caught.value) == message


def test_device_takes_the_wheelhouse_that_fits_it(bare: Server, tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    for folder in (mine, other):
        folder.mkdir()
    houses = {other: wheels.house(other, python="3.9"), mine: wheels.house(mine)}
    done = provisioned(bare, tmp_path / "store", bootstrap.Kit(houses=houses))
    assert str(done) == "edgemed 0.2.0 installed, store made"
