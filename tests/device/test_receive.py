"""``edgemed device receive``: the protocol, and that no process stays behind."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgemed.device import contents, order, provision, receive
from edgemed.device.order import Order
from edgemed.device.store import Store
from edgemed.errors import BundleError, ConfigError, InstallError
from tests.device import made
from tests.device.test_health import bundle

RECEIVE = [sys.executable, "-m", "edgemed", "device", "receive", "--store"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return provision.init(tmp_path / "store", target=made.TARGET, trust=made.TRUST).store


def received(store: Store, line: bytes) -> list[dict[str, Any]]:
    """Return the documents that answer one line of stdin."""
    answers = io.BytesIO()
    receive.receive(str(store.path), io.BytesIO(line), answers)
    return [msgspec.json.decode(one) for one in answers.getvalue().splitlines()]


def ordered(path: Path, **options: Any) -> bytes:
    return order.encode(Order(path=str(path), **options))


def test_status_then_install(store: Store, tmp_path: Path) -> None:
    status, done = received(store, ordered(bundle(tmp_path)))

    assert (status["schema_version"], status["target"], status["active"]) == (1, made.TARGET, None)
    assert list(done) == ["schema_version", "result", "device", "bundle", "slot", "previous", "health"]
    assert (done["result"], done["slot"], done["health"]["golden"]) == ("installed", "a", "within")
    active = contents.read(store).active
    assert active is not None
    assert active.bundle.digest == done["bundle"]["digest"]


@pytest.mark.parametrize("line", [b"", b'{"path":"/half/a/li'], ids=["nothing", "half-a-line"])
def test_end_of_input_is_nothing_to_do(store: Store, line: bytes) -> None:
    (status,) = received(store, line)

    assert status["events"] == 0
    assert store.current() is None


ORDERS = {
    "no-json": (
        b"install!\n",
        "order: expected JSON, got bytes that are not: JSON is malformed: invalid character (byte 0)",
    ),
    "no-path": (b"{}\n", "order: path: required key is missing"),
    "unknown-key": (b'{"path":"a","tentativ":1}\n', "order: tentativ: unknown key; did you mean 'tentative'?"),
    "trial-of-none": (b'{"path":"a","tentative":0}\n', "order: tentative: expected `int` >= 1, value 0"),
    "nul-in-path": (
        b'{"path":"a\\u0000b"}\n',
        "order: path: expected `str` matching regex '^[^\\\\x00]+\\\\Z', value 'a\\x00b'",
    ),
    "too-long": (
        b'{"path":"' + b"a" * order.LIMIT_BYTES + b'"}\n',
        "order: expected JSON, got bytes that are not: Input data was truncated",
    ),
}


@pytest.mark.parametrize("name", ORDERS)
def test_line_that_is_no_order_is_refused(store: Store, name: str) -> None:
    line, message = ORDERS[name]
    with pytest.raises(ConfigError) as caught:
        received(store, line)
    assert str(caught.value) == message
    assert store.current() is None


def test_options_of_an_order_count(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        received(store, ordered(bundle(tmp_path), tentative=3))
    assert str(caught.value) == (
        f"{store.path}: holds no bundle to go back to; install the first one without --tentative"
    )


def test_program_ends_with_the_words_and_the_exit_code_of_install(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "none.edgemed"
    done = subprocess.run([*RECEIVE, store.path], input=ordered(path), capture_output=True, check=False, timeout=60)

    assert done.returncode == BundleError.exit_code
    assert done.stderr.decode() == (
        f"edgemed: {path}: cannot be read: No such file or directory; check the path and its permissions\n"
    )
    assert len(done.stdout.splitlines()) == 1


def test_wrong_bundle_is_rolled_back(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InstallError) as caught:
        received(store, ordered(bundle(tmp_path, wrong=True)))
    assert str(caught.value).endswith("; rolled back, no bundle is active")
    assert store.current() is None


def test_folder_without_a_store(tmp_path: Path) -> None:
    done = subprocess.run([*RECEIVE, tmp_path], input=b"", capture_output=True, check=False, timeout=60)

    assert (done.returncode, done.stdout) == (ConfigError.exit_code, b"")
    assert done.stderr.decode() == (
        f"edgemed: {tmp_path}: no device store here; make one with 'edgemed device init --store {tmp_path}'\n"
    )


def test_health_process_that_is_killed_while_it_waits_is_a_failure(store: Store, tmp_path: Path) -> None:
    path = bundle(tmp_path)
    with waiting(store) as program:
        (child,) = children(program.pid)
        os.kill(child, signal.SIGKILL)
        out, err = program.communicate(ordered(path), timeout=60)

    assert (program.returncode, out) == (InstallError.exit_code, b"")
    assert err.decode() == (
        "edgemed: tiny 1.2.3: the health check was ended by SIGKILL; rolled back, no bundle is active\n"
    )
    assert store.current() is None


@pytest.mark.parametrize("end", ["end of input", "kill"])
def test_lost_connection_leaves_no_process(store: Store, end: str) -> None:
    with waiting(store) as program:
        (child,) = children(program.pid)
        if end == "kill":
            program.kill()
        program.communicate(timeout=60)

    assert program.returncode == (0 if end == "end of input" else -signal.SIGKILL)
    assert until(lambda: not is_running(child))
    assert store.current() is None


def waiting(store: Store) -> subprocess.Popen[bytes]:
    """Return the program once it has said the status and waits for an order."""
    words = [*RECEIVE, str(store.path)]
    program = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert program.stdout is not None
    assert msgspec.json.decode(program.stdout.readline())["store"] == str(store.path)
    return program


def children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()))


def is_running(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text("ascii")
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(holds: Callable[[], bool], *, limit_s: float = 30.0) -> bool:
    end = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
