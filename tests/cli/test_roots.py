from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from edgemed.bundle import dsse, keys, roles, trust, trusted
from edgemed.bundle.root import Role, payload_of
from edgemed.cli import main
from tests.bundle import rooted, tiny

ROOT = Path(__file__).resolve().parents[2]
NAMES = {"root": rooted.ROOT, "next": rooted.NEXT_ROOT, "limit": rooted.THRESHOLD}
RELEASE = ("a", "b", "c")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test a user of its own, the keys of all roles, and a bundle that one release key has signed."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    for name, key in {**NAMES, **dict(zip(RELEASE, rooted.RELEASE, strict=True))}.items():
        keys.write_new(tmp_path / f"{name}.key", key, passphrase=None)
    (tmp_path / "a.edgemed").write_bytes(tiny.build(private_keys=rooted.RELEASE[:1]))
    return tmp_path


def ran(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def made(capsys: pytest.CaptureFixture[str]) -> None:
    release = [word for name in RELEASE for word in ("--release-key", f"{name}.pub")]
    words = ["--release-needed", "2", "--threshold-key", "limit.pub", "--out", "root-1.json"]
    assert ran(capsys, "keys", "root", "new", "--key", "root.key", *release, *words)[0] == 0


def test_new_root_is_the_one_of_the_library(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(capsys)

    assert (home / "root-1.json").read_bytes() == rooted.first()


def test_root_of_one_key_needs_nothing_else(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran(capsys, "keys", "root", "new", "--key", "root.key", "--out", "root.json", "--json")

    document = json.loads(out)
    keyid = rooted.ROOT.public.keyid
    alone = {"keyids": [keyid], "threshold": 1}
    assert (code, err) == (0, "")
    assert list(document) == ["schema_version", "path", "root", "signed_by"]
    assert document["root"]["roles"] == {"root": alone, "release": alone, "threshold": alone}
    assert document["signed_by"] == [keyid]


def test_root_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    made(capsys)

    code, out, _ = ran(capsys, "keys", "root", "show", "root-1.json")

    release = "".join(f"            {keyid}\n" for keyid in sorted(key.public.keyid for key in rooted.RELEASE))
    assert code == 0
    assert out == (
        "root        root-1.json, version 1\n"
        f"root        1 of 1\n            {rooted.ROOT.public.keyid}\n"
        f"release     2 of 3\n{release}"
        f"threshold   1 of 1\n            {rooted.THRESHOLD.public.keyid}\n"
        f"revocation  0\nsigned by   {rooted.ROOT.public.keyid}\n"
    )


def test_root_that_lacks_signatures_is_shown_to_those_who_will_sign(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signer = rooted.RELEASE[0]
    (home / "root-1.json").write_bytes(rooted.first(signers=[signer]))

    code, out, err = ran(capsys, "keys", "root", "show", "root-1.json")

    assert code == 0
    assert out.endswith(f"signed by   {signer.public.keyid}\n")
    assert err == (
        f"not yet enough signatures: root-1.json: signed by {signer.public.keyid[:16]}, expected 1 of the root keys "
        f"of root 1 {rooted.ROOT.public.keyid[:16]}, got 0; have it signed by those that are missing: "
        "'edgemed keys root sign root-1.json'\n"
    )


def test_root_that_was_altered_is_not_shown(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sealed = dsse.parse(rooted.first(), kind=roles.PAYLOAD_TYPE, source="x")
    other = payload_of(version=2, keys=rooted.KEYS, thresholds=rooted.NEEDED)
    (home / "root-1.json").write_bytes(dsse.with_signatures(replace(sealed, payload=other), []))

    code, out, err = ran(capsys, "keys", "root", "show", "root-1.json")

    assert (code, out) == (5, "")
    assert err.endswith("is invalid, the document was altered; get it again\n")


def test_bundle_verifies_once_enough_have_signed(capsys: pytest.CaptureFixture[str]) -> None:
    made(capsys)
    words = ("bundle", "verify", "a.edgemed", "--trust", "root-1.json")

    code, _, err = ran(capsys, *words)
    ids = ", ".join(sorted(key.public.keyid[:16] for key in rooted.RELEASE))
    assert code == 5
    assert err == (
        f"edgemed: a.edgemed: signed by {rooted.RELEASE[0].public.keyid[:16]}, expected 2 of the release keys "
        f"of root 1 {ids}, got 1; have it signed by those that are missing\n"
    )

    assert ran(capsys, "bundle", "sign", "a.edgemed", "--key", "b.key", "--out", "a.edgemed")[0] == 0
    assert ran(capsys, *words)[0] == 0


def test_info_says_when_signatures_are_too_few(capsys: pytest.CaptureFixture[str]) -> None:
    made(capsys)

    _, out, _ = ran(capsys, "bundle", "info", "a.edgemed", "--trust", "root-1.json")

    assert out.splitlines()[0].split(None, 1)[1] == (
        f"NO: too few signatures for your trust root, which counts {rooted.RELEASE[0].public.keyid}"
    )


def test_rotation_needs_the_old_and_the_new_root_key(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(capsys)
    words = ("keys", "rotate", "root-1.json", "--root-key", "next.pub", "--key", "root.key", "--out", "root-2.json")

    code, _, err = ran(capsys, *words)
    assert code == 0
    assert err == (
        f"not yet enough signatures: root-2.json: signed by {rooted.ROOT.public.keyid[:16]}, expected 1 of the root "
        f"keys of root 2 {rooted.NEXT_ROOT.public.keyid[:16]}, got 0; have it signed by those that are missing: "
        "'edgemed keys root sign root-2.json'\n"
    )

    signed = ran(capsys, "keys", "root", "sign", "root-2.json", "--key", "next.key", "--out", "root-2.json")
    assert (signed[0], signed[2]) == (0, "")
    raw = (home / "root-2.json").read_bytes()
    newer = roles.rotated(trusted.read_root(home / "root-1.json"), raw, source="root-2.json")
    assert newer.requirement(Role.ROOT).keys == (rooted.NEXT_ROOT.public,)
    assert newer.requirement(Role.RELEASE).threshold == 2


def test_revoked_key_counts_for_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(capsys)
    (home / "two.edgemed").write_bytes(tiny.build(private_keys=rooted.RELEASE[:2]))

    code, out, _ = ran(capsys, "keys", "revoke", "root-1.json", "a.pub", "--key", "root.key", "--out", "root-2.json")

    assert code == 0
    assert f"revoked     {rooted.RELEASE[0].public.keyid}\nrevocation  1\n" in out
    assert ran(capsys, "bundle", "verify", "two.edgemed", "--trust", "root-1.json")[0] == 0
    assert ran(capsys, "bundle", "verify", "two.edgemed", "--trust", "root-2.json")[0] == 5


def test_key_is_revoked_and_replaced_in_one_step_by_its_id(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(capsys)
    keyid = rooted.RELEASE[2].public.keyid
    release = [word for name in ("a", "b", "next") for word in ("--release-key", f"{name}.pub")]

    words = ["--revoke", keyid[:16], *release, "--key", "root.key", "--out", "root-2.json"]
    assert ran(capsys, "keys", "rotate", "root-1.json", *words)[0] == 0

    root = trusted.read_root(home / "root-2.json").root
    assert root.revoked == (keyid,)
    assert rooted.NEXT_ROOT.public in root.public(Role.RELEASE)


REFUSED = {
    "more than there are": (
        ("root", "new", "--key", "root.key", "--release-needed", "2", "--out", "x.json"),
        2,
        "trust root: roles.release: 2 must sign, but 1 of its keys are not revoked",
    ),
    "a key that signs twice": (
        ("root", "new", "--key", "root.key", "--key", "root.key", "--out", "x.json"),
        2,
        "--key: a key repeats; give each once",
    ),
    "no root": (
        ("revoke", "a.edgemed", "a.pub", "--key", "root.key", "--out", "x.json"),
        5,
        "a.edgemed: expected JSON, got bytes that are not: JSON is malformed: invalid character (byte 0)",
    ),
}


@pytest.mark.parametrize(("words", "code", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_with_a_reason(
    home: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, message: str
) -> None:
    assert ran(capsys, "keys", *words) == (code, "", f"edgemed: {message}\n")
    assert not (home / "x.json").exists()


def visible(pid: int) -> bytes:
    """Return what ``ps`` shows of a process."""
    return b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))


def test_passphrase_is_in_no_argument_that_other_users_can_see(home: Path) -> None:
    keys.write_new(home / "locked.key", tiny.KEY, passphrase=b"open sesame")
    leader, follower = pty.openpty()
    words = ["keys", "root", "new", "--key", "locked.key", "--out", "root.json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "edgemed", *words],
        stdin=follower,
        stdout=subprocess.PIPE,
        stderr=follower,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    os.close(follower)
    shown = b""
    try:
        while b"Passphrase of locked.key: " not in shown:
            shown += os.read(leader, 1024)
        seen = visible(process.pid)
        os.write(leader, b"open sesame\n")
        while process.poll() is None:
            with contextlib.suppress(OSError):  # it ended between the two questions
                seen += visible(process.pid)
            time.sleep(0.02)
        out = process.communicate()[0]
    finally:
        process.kill()
        process.wait()
        os.close(leader)
    assert process.returncode == 0
    assert b"open sesame" not in seen + shown + out
    assert b"locked.key" in seen
    assert trusted.read_root(home / "root.json").requirement(Role.ROOT).keys == (tiny.KEY.public,)


def test_no_option_takes_a_passphrase(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (("keys", "new"), ("keys", "root", "new"), ("keys", "rotate"), ("bundle", "sign")):
        _, out, _ = ran(capsys, *command, "--help")
        named = {word for word in out.split() if word.startswith("--") and "passphrase" in word}
        assert named <= {"--passphrase-file", "--no-passphrase"}


def test_shipped_style_keys_still_trust_alone(home: Path) -> None:
    assert trust.open_bundle(home / "a.edgemed", keys=[rooted.RELEASE[0].public]).manifest.name == "tiny"
