"""``edgemed flash``: from the command line to a device, with OpenSSH's server and edgemed itself at the other end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgemed.cli import main
from edgemed.device import bootstrap
from tests.bundle import aged
from tests.device import fakes, sshd, wheels
from tests.device.sshd import Server, Wire

ROOT = Path(__file__).resolve().parents[2]
CARGO = fakes.cargo(padding=0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return an sshd on whose PATH this very edgemed is."""
    pytest.importorskip("asyncssh")
    folder = tmp_path_factory.mktemp("real")
    program = folder / "bin" / "edgemed"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m edgemed "$@"\n', "utf-8")
    program.chmod(0o755)
    python = program.with_name("python3")
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', "utf-8")
    python.chmod(0o755)
    environment = {"PATH": f"{program.parent}:/usr/bin:/bin", "HOME": "/nowhere"}
    with sshd.running(folder / "etc", environment=environment) as found:
        yield found


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store"
    assert main(["device", "init", "--store", str(path), "--target", fakes.TARGET]) == 0
    return path


def line(server: Server, store: Path, *words: str, port: int | None = None) -> list[str]:
    known_hosts = server.known_hosts
    if port is not None:
        known_hosts = sshd.known(server.folder / f"known_hosts.{port}", server.host_key, port)
    way = ["--known-hosts", str(known_hosts), "--identity", str(server.identity)]
    return ["flash", "chest-xray", "--device", fakes.TARGET, "--to", server.url(store, port=port), *way, *words]


def test_shipped_bundle_is_installed_and_the_second_time_unchanged(
    server: Server, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(line(server, store, "--dry-run", "--json")) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert (plan["action"], plan["send_bytes"] > 1_000_000, list((store / "inbox").iterdir())) == ("install", True, [])
    assert main(line(server, store, "--json")) == 0
    done = json.loads(capsys.readouterr().out)
    assert list(done) == ["schema_version", "result", "plan", "device"]
    assert (done["result"], done["device"]["health"]["golden"]) == ("installed", "within")
    assert (store / "slots" / "a" / "bundle.edgemed").is_file()
    assert list((store / "inbox").iterdir()) == []
    assert main(line(server, store)) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "result  unchanged"


def test_store_for_another_device_is_refused_before_the_first_byte(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    assert main(["device", "init", "--store", str(store), "--target", "raspberry-pi-4"]) == 0
    capsys.readouterr()
    assert main(line(server, store)) == 4
    assert capsys.readouterr().err == (
        f"edgemed: {server.url(store)}: its store was made for 'raspberry-pi-4', expected 'generic-x86-64' as "
        "--device says; is this the right device?\n"
    )
    assert list((store / "inbox").iterdir()) == []


def test_two_installs_at_once_the_second_is_told_to_wait(
    server: Server, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import fcntl

    with (store / "lock").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        capsys.readouterr()
        assert main(line(server, store)) == 6
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"edgemed: {server.url(store)}: ")
    assert len(list((store / "inbox").iterdir())) == 1


def test_store_of_a_newer_edgemed_is_left_alone(
    server: Server, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (store / "format.json").write_text('{"schema":2}', "utf-8")
    capsys.readouterr()
    assert main(line(server, store)) == 6
    assert capsys.readouterr().err.startswith(f"edgemed: {server.url(store)}: {store}")
    assert list((store / "inbox").iterdir()) == []


def test_ctrl_c_while_sending_ends_with_130_and_the_same_command_goes_on(
    server: Server, store: Path, interruptible: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with Wire(server.port, limit_bytes=None, pause_after=300 << 10) as wire:
        words = line(server, store, port=wire.port)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        program = subprocess.Popen(
            [sys.executable, "-m", "edgemed", *words], stderr=subprocess.PIPE, text=True, env=environment
        )
        for _ in range(600):
            if wire.paused.is_set():
                break
            time.sleep(0.05)
        program.send_signal(signal.SIGINT)
        wire.resume.set()
        _, said = program.communicate(timeout=30)
    assert (program.returncode, said.splitlines()[-1]) == (130, "edgemed: interrupted")
    assert not (store / "current").exists()
    capsys.readouterr()
    assert main(line(server, store, "--dry-run", "--json")) == 0
    assert json.loads(capsys.readouterr().out)["plan"]["offset"] > 0


def test_ctrl_c_before_the_command_has_begun_is_one_line_too(interruptible: None) -> None:
    code = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'typer': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "from edgemed.__main__ import main\n"
        "sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "edgemed: interrupted\n")


def encrypted(folder: Path, public: Path) -> Path:
    """Write the shipped bundle, encrypted to one device by the command for that."""
    path = folder / "chest-xray-1.0.0.edgemed.age"
    assert main(["bundle", "encrypt", "chest-xray", "--to", str(public), "--out", str(path)]) == 0
    return path


def test_encrypted_bundle_is_installed_by_the_device_it_is_for(
    server: Server, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyrage")
    path = encrypted(tmp_path, store / "identity" / "encryption.pub")
    words = line(server, store)
    words[1] = str(path)
    capsys.readouterr()
    assert main([*words, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert (plan["action"], plan["digest"], plan["release"], plan["send_bytes"]) == (
        *("install", None, None),
        path.stat().st_size,
    )
    assert main([*words, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["result"], done["device"]["bundle"]["name"]) == ("installed", "chest-xray")
    assert (store / "slots" / "a" / "bundle.edgemed").read_bytes() == path.read_bytes()
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"] == "unchanged"


def test_bundle_encrypted_to_another_device_changes_nothing(
    server: Server, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    aged.write_key(tmp_path / "other.key")
    words = line(server, store)
    words[1] = str(encrypted(tmp_path, tmp_path / "other.pub"))
    capsys.readouterr()
    assert main(words) == 5
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"edgemed: {server.url(store)}: {store}/inbox/")
    assert said.endswith(
        ".upload: cannot be decrypted with this device's key: it is encrypted to other devices, or was altered; "
        "encrypt the bundle to this device's .pub and get it again"
    )
    assert not (store / "current").exists()
    assert json.loads((store / "state.json").read_bytes())["events"] == 0
    assert list((store / "inbox").iterdir()) == []


USAGE = {
    "nothing": ([], "flash: expected --device ID and --to ADDRESS, or --inventory FILE"),
    "no-address": (["--device", "coral-usb"], "flash: expected --device ID and --to ADDRESS, or --inventory FILE"),
    "unknown-device": (
        ["--device", "raspbery-pi-4", "--to", "/x"],
        "target: expected one of coral-dev-board, coral-usb, generic-aarch64, generic-x86-64, jetson-nano, "
        "jetson-orin-nano, jetson-xavier-nx, raspberry-pi-4, raspberry-pi-5, got 'raspbery-pi-4'; did you mean "
        "'raspberry-pi-4'?",
    ),
    "both": (
        ["--inventory", "f.yaml", "--to", "/x", "--device", "coral-usb"],
        "--inventory: expected without --device and --to, which the inventory has for each device",
    ),
    "fleet-options-alone": (
        ["--resume", "--canary", "2", "--device", "coral-usb", "--to", "ssh://a/s"],
        "--canary and --resume: expected with --inventory only",
    ),
    "bootstrap-without-wheels": (
        ["--bootstrap", "--device", "coral-usb", "--to", "ssh://a/s"],
        "--bootstrap: expected with --wheelhouse DIR; make it with 'edgemed bundle wheelhouse'",
    ),
    "bootstrap-of-a-folder": (
        ["--bootstrap", "--wheelhouse", "w", "--device", "coral-usb", "--to", "/x"],
        "--bootstrap: expected --to ssh://..., got '/x': a folder runs nothing",
    ),
    "bootstrap-dry": (
        ["--bootstrap", "--wheelhouse", "w", "--dry-run", "--device", "coral-usb", "--to", "ssh://a/s"],
        "--bootstrap: expected without --dry-run; it writes to the device",
    ),
    "service-alone": (
        ["--service", "/srv/images", "--device", "coral-usb", "--to", "ssh://a/s"],
        "--service: expected with --bootstrap only",
    ),
    "wheels-that-are-none": (
        ["--bootstrap", "--wheelhouse", "/nowhere", "--device", "coral-usb", "--to", "ssh://a/s"],
        "--wheelhouse: /nowhere: has no wheelhouse.json; make it with 'edgemed bundle wheelhouse'",
    ),
}


@pytest.mark.parametrize("name", USAGE)
def test_options_that_do_not_go_together(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, message = USAGE[name]
    assert main(["flash", "chest-xray", *words]) == 2
    assert capsys.readouterr().err == f"edgemed: {message}\n"


def test_stick_is_written_and_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flash", "chest-xray", "--device", "raspberry-pi-4", "--to", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["result"], document["device"]["file"]) == ("prepared", "chest-xray-1.1.0.edgemed")


def inventory(folder: Path, stores: list[str]) -> Path:
    path = folder / "fleet.yaml"
    entries = (f"  - {{name: d{n}, device: {fakes.TARGET}, to: '{to}'}}\n" for n, to in enumerate(stores))
    path.write_text("schema: 1\ndevices:\n" + "".join(entries), "utf-8")
    return path


def test_fleet_is_flashed_and_what_failed_is_tried_again(
    server: Server, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    path = inventory(tmp_path, [server.url(store), server.url(other)])
    way = ["--known-hosts", str(server.known_hosts), "--identity", str(server.identity), "--max-failures", "0.5"]
    words = ["flash", "chest-xray", "--inventory", str(path), *way, "--json"]
    capsys.readouterr()
    assert main(words) == 6
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert (document["succeeded"], document["failed"], document["stopped"]) == (1, 1, None)
    assert [one["result"] for one in document["outcomes"]] == ["installed", "failed"]
    assert shown.err.splitlines()[-1] == (
        f"edgemed: 1 of 2 devices failed: d1; see {tmp_path / 'fleet.chest-xray-1.1.0.journal'}; "
        "the same command with --resume goes on from here"
    )
    assert main(["device", "init", "--store", str(other), "--target", fakes.TARGET]) == 0
    capsys.readouterr()
    assert main([*words[:-1], "--resume"]) == 0
    table = capsys.readouterr().out
    assert "d1" in table
    assert "succeeded  2" in table


def test_plans_of_a_fleet_are_drawn_and_nothing_is_written(
    server: Server, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = inventory(tmp_path, [server.url(store), server.url(tmp_path / "other")])
    way = ["--known-hosts", str(server.known_hosts), "--identity", str(server.identity)]
    capsys.readouterr()
    assert main(["flash", "chest-xray", "--inventory", str(path), *way, "--dry-run", "--json"]) == 6
    shown = capsys.readouterr()
    plans = [one["plan"] and one["plan"]["action"] for one in json.loads(shown.out)["devices"]]
    assert plans == ["install", None]
    assert shown.err == "edgemed: 1 of 2 devices cannot be flashed as they are\n"
    assert list((store / "inbox").iterdir()) == []
    assert not (tmp_path / "fleet.chest-xray-1.1.0.journal").exists()


def test_devices_of_a_fleet_are_provisioned_first(
    server: Server, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "house"
    folder.mkdir()
    house = wheels.house(folder)
    # This environment is there already: making one takes pip seconds, and `tests/device/test_bootstrap.py` does.
    made = store / "runtimes" / bootstrap.environment(house) / "bin"
    made.mkdir(parents=True)
    (made / "edgemed").symlink_to(server.folder.parent / "bin" / "edgemed")
    (store / "runtime").symlink_to(made.parent)
    path = inventory(tmp_path, [server.url(store)])
    way = ["--known-hosts", str(server.known_hosts), "--identity", str(server.identity), "--wheelhouse", str(folder)]
    capsys.readouterr()
    assert main(["flash", "chest-xray", "--inventory", str(path), *way, "--bootstrap", "--json"]) == 0
    shown = capsys.readouterr()
    (outcome,) = json.loads(shown.out)["outcomes"]
    assert (outcome["prepared"], outcome["result"]) == ("edgemed 0.2.0 there already, store kept", "installed")
    unit = json.loads(_status(store, capsys))["device"]
    assert (outcome["unit"], len(unit)) == (unit, 64)


def _status(store: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["device", "status", "--store", str(store), "--json"]) == 0
    return capsys.readouterr().out


def test_folder_in_a_fleet_is_not_provisioned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    house = tmp_path / "house"
    house.mkdir()
    wheels.house(house)
    path = inventory(tmp_path, [str(tmp_path / "stick")])
    assert main(["flash", "chest-xray", "--inventory", str(path), "--bootstrap", "--wheelhouse", str(house)]) == 2
    assert capsys.readouterr().err == (
        f"edgemed: d0: --bootstrap: expected --to ssh://..., got '{tmp_path / 'stick'}': a folder runs nothing\n"
    )
