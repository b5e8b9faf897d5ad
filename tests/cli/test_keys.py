from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from edgemed.bundle import keys, trust
from edgemed.cli import main
from tests.bundle import tiny

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test a user of its own and a working folder."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ran(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_new_key_is_written_and_trusted(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran(capsys, "keys", "new", "my.key", "--no-passphrase", "--json")

    document = json.loads(out)
    public = keys.read_public(home / "my.pub")
    assert (code, err) == (0, "")
    assert document == {
        "schema_version": 1,
        "keyid": public.keyid,
        "private": "my.key",
        "public": "my.pub",
        "trusted": str(home / "config" / "edgemed" / "trusted" / f"{public.keyid[:16]}.pub"),
    }
    assert trust.user_keys() == (public,)
    assert stat.S_IMODE((home / "my.key").stat().st_mode) == 0o600


def test_new_key_is_shown_with_a_word_of_care(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran(capsys, "keys", "new", "my.key", "--no-passphrase", "--no-trust")

    keyid = keys.read_public(Path("my.pub")).keyid
    assert code == 0
    assert out == (
        f"keyid         {keyid}\nprivate       my.key (keep it secret)\npublic        my.pub\ntrusted here  no\n"
    )


def test_new_key_is_not_trusted_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    ran(capsys, "keys", "new", "my.key", "--no-passphrase", "--no-trust")

    assert trust.user_keys() == ()


def test_passphrase_file_locks_the_key(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "pass").write_text("open sesame\nsecond line")

    assert ran(capsys, "keys", "new", "my.key", "--passphrase-file", "pass")[0] == 0

    raw = (home / "my.key").read_bytes()
    assert keys.is_encrypted(raw)
    opened = keys.parse_private(raw, passphrase=b"open sesame", source="my.key")
    assert opened.public == keys.read_public(home / "my.pub")


REFUSED = {
    "no terminal": (
        ("my.key",),
        "my.key: needs a passphrase and there is no terminal to ask at; "
        "give --passphrase-file FILE, or --no-passphrase for a key that is not encrypted",
    ),
    "both options": (
        ("my.key", "--no-passphrase", "--passphrase-file", "pass"),
        "--no-passphrase and --passphrase-file exclude each other; give one of them",
    ),
    "empty passphrase": (
        ("my.key", "--passphrase-file", "empty"),
        "empty: expected a passphrase on the first line, got an empty one",
    ),
    "missing passphrase file": (
        ("my.key", "--passphrase-file", "nowhere"),
        "nowhere: cannot be read: No such file or directory; check the path and its permissions",
    ),
    "key exists": (
        ("older.key", "--no-passphrase"),
        "older.key: exists already; keys are never overwritten, choose another name",
    ),
}


@pytest.mark.parametrize(("words", "message"), REFUSED.values(), ids=REFUSED)
def test_new_key_is_refused_with_a_reason(
    home: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    for name, content in {"pass": "x", "empty": "\n", "older.key": "older"}.items():
        (home / name).write_text(content)

    assert ran(capsys, "keys", "new", *words) == (2, "", f"edgemed: {message}\n")

    assert (home / "older.key").read_text() == "older"
    assert not (home / "my.key").exists()
    assert trust.user_keys() == ()


def test_failed_trust_leaves_nothing_in_the_way_of_a_retry(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "config").write_text("not a folder")

    code, out, err = ran(capsys, "keys", "new", "my.key", "--no-passphrase")

    assert (code, out) == (2, "")
    assert "cannot be written: Not a directory; " in err
    assert err.endswith("or leave your trusted keys alone with --no-trust; no key was written\n")
    assert not (home / "my.key").exists()
    assert not (home / "my.pub").exists()
    assert ran(capsys, "keys", "new", "my.key", "--no-passphrase", "--no-trust")[0] == 0


def test_place_is_checked_before_a_passphrase_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = ran(capsys, "keys", "new", ".")

    assert (code, err) == (
        2,
        "edgemed: .: expected a file to write the private key to, as in my.key, got a folder\n",
    )


TYPED = {
    "the same twice": ([b"open sesame", b"open sesame"], 0, b"open sesame"),
    "two that differ": ([b"one", b"two"], 2, None),
    "none": ([b""], 2, None),
}


@pytest.mark.parametrize(("answers", "code", "passphrase"), TYPED.values(), ids=TYPED)
def test_passphrase_is_asked_for_at_a_terminal(
    home: Path, answers: list[bytes], code: int, passphrase: bytes | None
) -> None:
    assert answered(answers, "keys", "new", str(home / "my.key"), "--no-trust") == code

    assert (home / "my.key").exists() == (passphrase is not None)
    if passphrase is not None:
        assert keys.parse_private((home / "my.key").read_bytes(), passphrase=passphrase, source="my.key")


def answered(answers: list[bytes], *words: str) -> int:
    """Run edgemed at a terminal, type one answer after each prompt, and return its exit code."""
    ours, theirs = pty.openpty()
    code = "import sys; from edgemed.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *words]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    ) as running:
        assert running.stderr is not None
        for answer in answers:
            prompt = b""
            while not prompt.endswith(b": "):
                byte = running.stderr.read(1)
                assert byte, f"ended instead of asking: {prompt!r}"
                prompt += byte
            os.write(ours, answer + b"\n")
        running.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    return running.returncode


def test_trusted_key_is_listed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "maker.pub").write_bytes(keys.encode_public(tiny.KEY.public))
    folder = home / "config" / "edgemed" / "trusted"
    keyid = tiny.KEY.public.keyid

    assert ran(capsys, "keys", "trust", "maker.pub") == (0, f"{keyid}  trusted, as {folder}/{keyid[:16]}.pub\n", "")
    assert ran(capsys, "keys", "list") == (0, f"{keyid}  in {folder}\n", "")
    assert json.loads(ran(capsys, "keys", "list", "--json")[1]) == {
        "schema_version": 1,
        "folder": str(folder),
        "trusted": [keyid],
    }


def test_trusting_as_json_tells_the_files(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "maker.pub").write_bytes(keys.encode_public(tiny.KEY.public))

    _, out, _ = ran(capsys, "keys", "trust", "maker.pub", "--json")

    keyid = tiny.KEY.public.keyid
    path = home / "config" / "edgemed" / "trusted" / f"{keyid[:16]}.pub"
    assert json.loads(out) == {"schema_version": 1, "trusted": [{"keyid": keyid, "path": str(path)}]}


def test_empty_list_says_what_to_do(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = home / "config" / "edgemed" / "trusted"

    assert ran(capsys, "keys", "list") == (
        0,
        "",
        f"no trusted keys in {folder}; add one with 'edgemed keys trust FILE.pub'\n",
    )


def test_one_bad_file_leaves_the_trusted_keys_as_they_were(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "maker.pub").write_bytes(keys.encode_public(tiny.KEY.public))
    (home / "bad.pub").write_bytes(b"bad")

    assert ran(capsys, "keys", "trust", "maker.pub", "bad.pub") == (
        2,
        "",
        "edgemed: bad.pub: expected a public key in PEM form, got something else\n",
    )
    assert trust.user_keys() == ()
