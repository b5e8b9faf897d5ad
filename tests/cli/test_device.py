"""``edgemed device`` and ``edgemed screen --store``: documents, exit codes, and a real install that is killed."""

from __future__ import annotations

import functools
import io
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgemed import __version__, schema, targets
from edgemed.bundle import archive, keys, trust
from edgemed.bundle.manifest import ArtifactDocument
from edgemed.cli import main
from edgemed.device import contents, install, lock, places
from edgemed.device import store as stores
from edgemed.runtime import backends
from tests.bundle.tiny import KEY, OTHER
from tests.device import made
from tests.runtime import tiny

ROOT = Path(__file__).resolve().parents[2]
Ran = Callable[..., tuple[int, str, str]]


@functools.cache
def bundle(release: int, *members: tuple[str, bytes]) -> bytes:
    """Return a bundle around the tiny int8 model, with golden vectors that hold here."""
    artifact = ArtifactDocument(
        name="tiny",
        task="classify",
        intended_use="tests",
        modalities=("DX",),
        body_part="CHEST",
        labels=("abnormal",),
        targets=("generic-x86-64", "generic-aarch64"),
        outputs=("logit", "evidence", "embedding"),
    )
    interpreter = backends.load(tiny.model())
    here = {
        "backend": interpreter.backend,
        "kernels": interpreter.kernels.value,
        "architecture": targets.architecture(),
    }
    rule = schema.encode_json(tiny.rule(tiny.model()))
    listed = {
        "model/int8.tflite": tiny.model(),
        "preprocessing.json": schema.encode_json(tiny.PREPROCESSING),
        "decision.json": rule,
        **tiny.golden_members(tiny.model(), interpreter, **here),
        **dict(members),
    }
    return archive.build(artifact, listed, version=f"1.{release}.0", release=release, private_keys=[KEY])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with two releases, the maker's key, and a user without a store."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.pub").write_bytes(keys.encode_public(KEY.public))
    for release in (1, 2):
        (tmp_path / f"{release}.edgemed").write_bytes(bundle(release))
    (tmp_path / "scan.png").write_bytes(tiny.png(tiny.picture()))
    return tmp_path


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Ran:
    """Return a function that runs ``edgemed`` and gives exit code, stdout, stderr."""

    def ran(*words: str) -> tuple[int, str, str]:
        code = main(words)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return ran


def put(store: Path, *releases: int) -> None:
    """Install releases without a process for the health check."""
    for release in releases:
        install.install(stores.open_store(store), Path(f"{release}.edgemed"), check=made.healthy)


def document(run: Ran, *words: str) -> dict[str, object]:
    code, out, err = run(*words, "--json")
    assert code == 0, err
    return json.loads(out)


def test_a_device_from_init_to_rollback(run: Ran, home: Path) -> None:
    store = ("--store", "S")
    new = document(run, "device", "init", *store, "--trust", "my.pub")
    assert list(new) == ["schema_version", "result", "store", "target", "device", "recipient", "trusted"]
    assert (new["result"], new["target"], new["trusted"]) == ("made", targets.generic_id(), [KEY.public.keyid])

    first = document(run, "device", "install", "1.edgemed", *store)
    assert list(first) == ["schema_version", "result", "device", "bundle", "slot", "previous", "health"]
    digest = trust.open_bundle(home / "1.edgemed", keys=[KEY.public]).digest
    one = {"name": "tiny", "version": "1.1.0", "digest": digest, "release": 1}
    assert (first["result"], first["bundle"], first["slot"], first["previous"]) == ("installed", one, "a", None)
    assert first["health"]["golden"] == "within"  # type: ignore[index]  # a dict

    second = document(run, "device", "install", "2.edgemed", *store, "--tentative", "2")
    assert (second["result"], second["slot"], second["previous"]) == ("tentative", "b", one)

    status = document(run, "device", "status", *store)
    two = {**second["bundle"], "slot": "b"}  # type: ignore[dict-item]  # a dict
    assert {key: status[key] for key in ("active", "tentative", "previous", "release_floor", "runtime", "device")} == {
        "active": two,
        "tentative": {"starts_left": 2},
        "previous": {**one, "slot": "a"},
        "release_floor": 1,
        "runtime": __version__,
        "device": new["device"],
    }
    assert status["free_bytes"] > 0  # type: ignore[operator]  # a number

    screened = document(run, "screen", "scan.png", *store)
    assert screened["bundle"]["digest"] == two["digest"]  # type: ignore[index]  # a dict
    assert document(run, "device", "status", *store)["tentative"] == {"starts_left": 1}
    assert document(run, "device", "commit", *store)["tentative"] is None
    back = document(run, "device", "rollback", *store)
    assert (back["active"], back["previous"], back["release_floor"]) == ({**one, "slot": "a"}, None, 2)
    told = document(run, "device", "history", *store)
    assert [event["event"] for event in told["history"]] == ["installed", "tentative", "committed", "rolled-back"]  # type: ignore[union-attr]  # a list


def test_words_of_every_verb(run: Ran) -> None:
    store = ("--store", "S")
    code, out, err = run("device", "init", *store)
    assert (code, out.splitlines()[0]) == (0, "store       S (made)")
    assert err == (
        "edgemed: this store takes bundles signed with the package's own demo key, which is for trying things out; "
        "name the keys of your product with --trust\n"
    )
    code, out, _ = run("device", "status", *store)
    assert (code, out.splitlines()[4:7]) == (0, ["active         none", "previous       none", "release floor  0"])
    assert run("device", "history", *store) == (0, "", "0 events in S, 0 shown\n")
    assert run("device", "rollback", *store) == (
        6,
        "",
        "edgemed: S: no bundle is active; install one with 'edgemed device install'\n",
    )


def test_store_of_the_device_needs_no_option(run: Ran, home: Path) -> None:
    assert run("device", "init", "--trust", "my.pub")[0] == 0
    put(places.found(), 1)

    assert places.found() == home / "data" / "edgemed" / "store"
    assert document(run, "screen", "scan.png")["bundle"]["version"] == "1.1.0"  # type: ignore[index]  # a dict


REFUSALS = {
    "altered": (5, "altered.edgemed: "),
    "unknown maker": (5, "stranger.edgemed: signed by "),
    "wrong golden vectors": (7, "tiny 1.3.0: model/int8.tflite on "),
    "no store": (2, "none: no device store here; make one with 'edgemed device init --store none'\n"),
    "locked": (6, "S: another edgemed is changing this store; try again when it has ended\n"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_has_its_exit_code(name: str, run: Ran, home: Path) -> None:
    code, start = REFUSALS[name]
    run("device", "init", "--store", "S", "--trust", "my.pub")
    raw = bundle(3)
    (home / "altered.edgemed").write_bytes(raw[:900] + bytes([raw[900] ^ 1]) + raw[901:])
    (home / "stranger.edgemed").write_bytes(archive_signed_by_another())
    golden = tiny.golden_members(tiny.model(), tiny.FakeInterpreter(logit_lsb=100))
    wrong = ("golden/vectors.json", golden["golden/vectors.json"])
    (home / "wrong.edgemed").write_bytes(bundle(3, wrong))
    file = {"altered": "altered", "unknown maker": "stranger", "wrong golden vectors": "wrong"}.get(name, "1")
    words = ("device", "install", f"{file}.edgemed", "--store", "none" if name == "no store" else "S", "--json")

    if name == "locked":
        with lock.held(home / "S"):
            got, out, err = run(*words)
    else:
        got, out, err = run(*words)

    assert (got, out) == (code, "")
    assert err.startswith(f"edgemed: {start}")


def archive_signed_by_another() -> bytes:
    raw = archive.read(bundle(3))
    artifact = ArtifactDocument(
        name="tiny",
        task="classify",
        intended_use="tests",
        modalities=("DX",),
        body_part="CHEST",
        labels=("abnormal",),
        targets=(targets.generic_id(),),
        outputs=("logit",),
    )
    return archive.build(artifact, dict(raw.members), version="1.0.0", release=3, private_keys=[OTHER])


CONFLICTS = {
    "bundle and store": (
        ["--bundle", "1.edgemed", "--store", "S"],
        "--store: is of no use with --bundle; give one of the two",
    ),
    "trust": (
        ["--store", "S", "--trust", "my.pub"],
        "--trust: is of no use with a store, which has its own; leave it away, or give --bundle",
    ),
    "target": (
        ["--store", "S", "--target", "raspberry-pi-5"],
        "--target: is of no use with a store, which has its own; leave it away, or give --bundle",
    ),
    "no store": (
        ["--store", "none"],
        "none: no device store here; make one with 'edgemed device init --store none'",
    ),
    "empty store": (
        ["--store", "S"],
        "S: no bundle is installed; install one with 'edgemed device install FILE --store S'",
    ),
}


@pytest.mark.parametrize("name", CONFLICTS)
def test_screen_refuses_what_does_not_go_together(name: str, run: Ran) -> None:
    words, message = CONFLICTS[name]
    run("device", "init", "--store", "S")

    assert run("screen", "scan.png", *words) == (2, "", f"edgemed: {message}\n")


def test_screening_goes_on_with_the_previous_bundle_where_the_active_is_damaged(run: Ran, home: Path) -> None:
    run("device", "init", "--store", "S", "--trust", "my.pub")
    put(home / "S", 1, 2)
    (home / "S" / "slots" / "b" / "bundle.edgemed").write_bytes(b"")

    code, out, err = run("screen", "scan.png", "--store", "S", "--json")

    assert (code, json.loads(out)["bundle"]["version"]) == (0, "1.1.0")
    assert err.splitlines()[0].endswith("; the previous bundle tiny 1.1.0 runs in its place; install a bundle again")


def test_install_that_is_killed_leaves_the_old_bundle_or_the_new_one(home: Path, run: Ran) -> None:
    run("device", "init", "--store", "S", "--trust", "my.pub")
    put(home / "S", 1)
    choose = random.Random(11)
    code = "import sys; from edgemed.cli import main; sys.exit(main())"
    words = [sys.executable, "-c", code, "device", "install", str(home / "2.edgemed"), "--store", str(home / "S")]
    for _ in range(3):
        with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as installer:
            time.sleep(choose.uniform(0.1, 1.5))
            installer.send_signal(signal.SIGKILL)
            installer.wait()
        found = contents.read(stores.open_store(home / "S"))
        assert found.warnings == ()
        assert found.active is not None
        assert found.active.bundle.manifest.release in (1, 2)

    assert run("device", "install", "2.edgemed", "--store", "S")[0] == 0
    assert document(run, "device", "status", "--store", "S")["active"]["version"] == "1.2.0"  # type: ignore[index]  # a dict


def test_receive_is_for_programs_and_says_the_status(run: Ran, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("device", "init", "--store", "S", "--trust", "my.pub")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    code, out, err = run("device", "receive", "--store", "S")

    assert (code, err, out.count("\n")) == (0, "", 1)
    assert list(json.loads(out)) == list(document(run, "device", "status", "--store", "S"))
    assert "receive" not in run("device", "--help")[1]


def test_ctrl_c_in_the_health_check_leaves_no_process_and_the_old_bundle(
    home: Path, run: Ran, interruptible: None
) -> None:
    run("device", "init", "--store", "S", "--trust", "my.pub")
    code = (
        "import functools, sys\nfrom pathlib import Path\nfrom edgemed.device import health, install, store\n"
        'child = \'import os, sys, time; open(sys.argv[1] + "/pid", "w").write(str(os.getpid())); time.sleep(60)\'\n'
        "opened = store.open_store(Path(sys.argv[1]))\n"
        "hanging = functools.partial(health.check, command=(sys.executable, '-c', child))\n"
        "try:\n    install.install(opened, Path(sys.argv[2]), check=install.own_check(opened, hanging))\n"
        "except KeyboardInterrupt:\n    sys.exit(130)"
    )
    words = [sys.executable, "-c", code, str(home / "S"), str(home / "1.edgemed")]
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True) as installer:
        pid = home / "S" / "pid"
        deadline = time.monotonic() + 60
        while not (pid.exists() and pid.read_text()) and time.monotonic() < deadline:
            time.sleep(0.02)
        installer.send_signal(signal.SIGINT)
        _, err = installer.communicate(timeout=60)

    assert (installer.returncode, err) == (130, "")
    assert not Path(f"/proc/{pid.read_text()}").exists()
    pid.unlink()
    assert not list((home / "S" / "slots").rglob("*.edgemed"))
    assert document(run, "device", "status", "--store", "S")["unfinished"]["name"] == "tiny"  # type: ignore[index]  # a dict
