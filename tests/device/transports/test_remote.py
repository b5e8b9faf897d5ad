"""edgemed.device.transports.remote: quoting, and what a device may answer."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.device.transports import Active, Installing, UnansweredError, remote
from edgemed.device.transports.remote import Answer
from edgemed.errors import BundleError, ConfigError, DeviceError, EdgemedError, InstallError, TargetMismatchError

STATUS = {
    "schema_version": 1,
    "target": "jetson-nano",
    "runtime": "0.1.0",
    "release_floors": {"a": 2},
    "free_bytes": 5,
    "active": {"name": "a", "version": "1.0.0", "digest": "sha256:0", "slot": "a"},
    "a-key-of-tomorrow": True,
}


def answer(code: int | None = 0, stdout: bytes = b"", stderr: bytes = b"") -> Answer:
    return Answer(code=code, stdout=stdout, stderr=stderr)


def test_status_is_read_and_unknown_keys_are_passed_over() -> None:
    found = remote.status(answer(stdout=json.dumps(STATUS).encode()), place="ward")
    assert (found.target, found.release_floors, found.free_bytes) == ("jetson-nano", {"a": 2}, 5)
    assert found.running() == Active(name="a", version="1.0.0", digest="sha256:0")


def test_installation_keeps_the_whole_answer() -> None:
    document = {"result": "installed", "bundle": {"name": "a", "version": "1.0.0", "digest": "d"}, "slot": "b"}
    found = remote.installed(answer(stdout=json.dumps(document).encode()), place="ward")
    assert (found.result, found.digest, found.document) == ("installed", "d", document)


WHAT = "ward: 'edgemed device status --json' printed "
HINT = "does its login shell print something, or is its edgemed another one?"
BAD: dict[str, tuple[Answer, type[EdgemedError], str]] = {
    "no-edgemed": (
        answer(127, stderr=b"sh: 1: exec: edgemed: not found\n"),
        DeviceError,
        "ward: has no edgemed that can be run; install it with --bootstrap --wheelhouse DIR "
        "(made by 'edgemed bundle wheelhouse')",
    ),
    "killed": (
        answer(None),
        DeviceError,
        "ward: 'edgemed device status' was ended before it answered; run the same command again",
    ),
    "greeting": (
        answer(stdout=b"Welcome!\n{}"),
        DeviceError,
        f"{WHAT}'Welcome!\\n{{}}', expected one JSON document: JSON is malformed: invalid character (byte 0); {HINT}",
    ),
    "silence": (
        answer(),
        DeviceError,
        f"{WHAT}nothing, expected one JSON document: Input data was truncated; {HINT}",
    ),
    "other-shape": (
        answer(stdout=b'{"target": 3}'),
        DeviceError,
        f"{WHAT}'{{\"target\": 3}}', expected one JSON document: Expected `str`, got `int` - at `$.target`; {HINT}",
    ),
    "no-end": (
        answer(stdout=b"[" * ((1 << 20) + 1)),
        DeviceError,
        "ward: 'edgemed device status --json' printed more than 1048576 bytes, expected one document",
    ),
    "trace": (
        answer(1, stderr=b"Traceback\nValueError: x\n"),
        DeviceError,
        "ward: 'edgemed device status' ended with exit code 1 and 'Traceback\\nValueError: x', "
        "expected edgemed's own words; look at the device",
    ),
    "newer-store": (
        answer(6, stderr=b"edgemed: /s: schema 2\n"),
        DeviceError,
        "ward: /s: schema 2",
    ),
    "configuration": (answer(2, stderr=b"edgemed: a\n"), ConfigError, "ward: a"),
    "target": (answer(4, stderr=b"edgemed: a\n"), TargetMismatchError, "ward: a"),
    "signature": (answer(5, stderr=b"progress\nedgemed: a\n"), BundleError, "ward: a"),
    "health": (answer(7, stderr=b"edgemed: a\n"), InstallError, "ward: a"),
}


@pytest.mark.parametrize("name", BAD)
def test_answer_that_is_none_is_called_what_it_is(name: str) -> None:
    given_answer, error, message = BAD[name]
    with pytest.raises(error) as caught:
        remote.status(given_answer, place="ward")
    assert type(caught.value) is error
    assert str(caught.value) == message


@pytest.mark.parametrize("name", BAD)
def test_only_words_of_its_own_say_how_an_installation_ended(name: str) -> None:
    given_answer, error, _ = BAD[name]
    silent = name in ("killed", "greeting", "silence", "other-shape", "no-end", "trace")
    with pytest.raises(error) as caught:
        remote.installed(given_answer, place="ward")
    assert type(caught.value) is (UnansweredError if silent else error)


@given(st.binary(max_size=200), st.integers(-1, 255) | st.none(), st.binary(max_size=50))
def test_any_answer_is_a_status_or_an_error(stdout: bytes, code: int | None, stderr: bytes) -> None:
    with contextlib.suppress(EdgemedError):
        remote.status(answer(code, stdout, stderr), place="ward")


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_words_reach_the_program_as_they_are(shell: str, tmp_path: Path) -> None:
    store = tmp_path / "it's $(here)"
    program = store / "runtime" / "bin" / "edgemed"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nprintf '%s|' \"$@\"\n", "utf-8")
    program.chmod(0o755)
    line = remote.command(str(store), "device", "a b", "$HOME", "it's", "")
    done = subprocess.run([shell, "-c", line], check=True, capture_output=True, text=True, timeout=30)
    assert done.stdout == "device|a b|$HOME|it's||"


def test_edgemed_of_the_store_wins_and_that_on_path_is_next(tmp_path: Path) -> None:
    for name in ("store/runtime/bin", "bin"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "edgemed").write_text(f"#!/bin/sh\necho {name}\n", "utf-8")
        (tmp_path / name / "edgemed").chmod(0o755)
    line = remote.command(str(tmp_path / "store"), "x")
    environment = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "HOME": "/nowhere"}

    def said() -> str:
        return subprocess.run(["sh", "-c", line], check=True, capture_output=True, text=True, env=environment).stdout

    assert said() == "store/runtime/bin\n"
    (tmp_path / "store/runtime/bin/edgemed").unlink()
    assert said() == "bin\n"


def test_install_words_carry_the_options() -> None:
    assert remote.install_words("/s", "/s/inbox/x", Installing(tentative=3, strict_latency=True)) == (
        *("device", "install", "/s/inbox/x", "--store", "/s"),
        *("--tentative", "3", "--strict-latency", "--json"),
    )
