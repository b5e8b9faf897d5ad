from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgemed import shipped
from edgemed.bundle import archive, keys, trust
from edgemed.cli import main
from tests.bundle import tiny

KEYID = tiny.KEY.public.keyid
BUILT = tiny.build(members=tiny.with_bill())
DIGEST = trust.inspect(tiny.build()).digest
BUILT_DIGEST = trust.inspect(BUILT).digest


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test a user of its own, a working folder, a key pair and an artifact folder."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    keys.write_new(tmp_path / "my.key", tiny.KEY, passphrase=None)
    keys.write_new(tmp_path / "other.key", tiny.OTHER, passphrase=None)
    keys.write_new(tmp_path / "locked.key", tiny.KEY, passphrase=b"open sesame")
    tiny.write_folder(tmp_path / "artifact")
    (tmp_path / "tiny.edgemed").write_bytes(tiny.build())
    return tmp_path


def ran(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_build_writes_the_bundle_that_the_library_builds(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran(capsys, "bundle", "build", "artifact", "--key", "my.key", "--out", "a.edgemed", "--json")

    raw = BUILT
    assert (code, err) == (0, "")
    assert (home / "a.edgemed").read_bytes() == raw
    assert json.loads(out) == {
        "schema_version": 1,
        "bundle": {"name": "tiny", "version": "1.0.0", "digest": BUILT_DIGEST},
        "path": "a.edgemed",
        "size_bytes": len(raw),
        "signed_by": [KEYID],
    }


def test_build_says_what_it_wrote(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = ran(capsys, "bundle", "build", "artifact", "--key", "my.key", "--out", "a.edgemed")

    assert out == (
        f"name       tiny\nversion    1.0.0\ndigest     {BUILT_DIGEST}\nsigned by  {KEYID}\n"
        f"written    a.edgemed, {len(BUILT)} bytes\n"
    )


def test_build_takes_version_release_and_evidence(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "bench.json").write_bytes(b"{}")
    words = ["--version", "2.1.0", "--release", "7", "--evidence", "bench.json"]

    assert ran(capsys, "bundle", "build", "artifact", "--key", "my.key", "--out", "a.edgemed", *words)[0] == 0

    bundle = trust.open_bundle(home / "a.edgemed", keys=[tiny.KEY.public])
    assert (bundle.manifest.version, bundle.manifest.release) == ("2.1.0", 7)
    assert bundle.members["evidence/bench.json"] == b"{}"


def test_build_unlocks_the_key_with_the_passphrase_file(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "pass").write_text("open sesame\n")
    words = ["--key", "locked.key", "--passphrase-file", "pass", "--out", "a.edgemed"]

    assert ran(capsys, "bundle", "build", "artifact", *words)[0] == 0

    assert (home / "a.edgemed").read_bytes() == BUILT


def test_build_puts_several_folders_of_one_model_together(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coral = tiny.described("generic-aarch64", "coral-usb")
    tiny.write_folder(home / "coral", artifact=coral, extra={"model/edgetpu.tflite": b"compiled"})

    assert ran(capsys, "bundle", "build", "artifact", "coral", "--key", "my.key", "--out", "a.edgemed")[0] == 0

    bundle = trust.open_bundle(home / "a.edgemed", keys=[tiny.KEY.public])
    assert bundle.manifest.targets == ("coral-usb", "generic-aarch64", "generic-x86-64", "raspberry-pi-4")
    assert set(bundle.members) == {*tiny.MEMBERS, "model/edgetpu.tflite", "sbom.cdx.json"}


BUILD_REFUSED = {
    "folders of two models": (
        ("artifact", "other", "--key", "my.key", "--out", "a.edgemed"),
        "other/decision.json: expected the same bytes as artifact/decision.json; convert once with every --target, "
        "or give folders of one conversion",
    ),
    "wrong passphrase": (
        ("artifact", "--key", "locked.key", "--passphrase-file", "wrong", "--out", "a.edgemed"),
        "locked.key: the passphrase is wrong, or the file is damaged",
    ),
    "no terminal": (
        ("artifact", "--key", "locked.key", "--out", "a.edgemed"),
        "locked.key: is encrypted and there is no terminal to ask at; give --passphrase-file FILE",
    ),
    "public key": (
        ("artifact", "--key", "my.pub", "--out", "a.edgemed"),
        "my.pub: expected a private key in PEM form",
    ),
    "missing key": (
        ("artifact", "--key", "no.key", "--out", "a.edgemed"),
        "no.key: cannot be read: No such file or directory; check the path and its permissions",
    ),
    "no artifact": (
        (".", "--key", "my.key", "--out", "a.edgemed"),
        "artifact.json: cannot be read: No such file or directory; check the path and its permissions",
    ),
    "no place": (
        ("artifact", "--key", "my.key", "--out", "no/a.edgemed"),
        "--out: no/a.edgemed: cannot be written: No such file or directory; choose another place",
    ),
}


@pytest.mark.parametrize(("words", "message"), BUILD_REFUSED.values(), ids=BUILD_REFUSED)
def test_build_is_refused_with_a_reason(
    home: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    (home / "wrong").write_text("guess\n")
    tiny.write_folder(home / "other", extra={"decision.json": b"{}"})

    assert ran(capsys, "bundle", "build", *words) == (2, "", f"edgemed: {message}\n")

    assert not (home / "a.edgemed").exists()


def test_refused_build_leaves_the_older_bundle(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "artifact" / "decision.json").unlink()

    code, _, err = ran(capsys, "bundle", "build", "artifact", "--key", "my.key", "--out", "tiny.edgemed")

    assert (code, err) == (
        2,
        "edgemed: bundle: decision.json: required and missing; make the folder with 'edgemed convert'\n",
    )
    assert (home / "tiny.edgemed").read_bytes() == tiny.build()


@pytest.mark.parametrize("release", ["0", "-1", "99999999999999999999", "one"])
def test_release_outside_its_range_is_a_usage_error(release: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--key", "my.key", "--out", "a.edgemed", "--release", release]

    code, _, err = ran(capsys, "bundle", "build", "artifact", *words)

    assert code == 2
    assert "Invalid value for '--release'" in err


def test_verify_accepts_the_key_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, "bundle", "verify", "tiny.edgemed", "--trust", "my.pub") == (
        0,
        f"verified   tiny 1.0.0\ndigest     {DIGEST}\nsigned by  {KEYID}\n",
        "",
    )


def test_verify_takes_several_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, "bundle", "verify", "tiny.edgemed", "--trust", "other.pub", "--trust", "my.pub")[0] == 0


def test_verify_accepts_the_users_keys(capsys: pytest.CaptureFixture[str]) -> None:
    trust.add_user_key(tiny.KEY.public)

    code, out, _ = ran(capsys, "bundle", "verify", "tiny.edgemed", "--json")

    assert code == 0
    assert json.loads(out) == {
        "schema_version": 1,
        "verified": True,
        "bundle": {"name": "tiny", "version": "1.0.0", "digest": DIGEST},
        "accepted": [KEYID],
    }


def test_verify_without_any_key_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, "bundle", "verify", "tiny.edgemed") == (
        5,
        "",
        "edgemed: no trusted key was given; name one with --trust KEY.pub, "
        "or add it with 'edgemed keys trust KEY.pub'\n",
    )


def test_verify_with_the_wrong_key_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, "bundle", "verify", "tiny.edgemed", "--trust", "other.pub", "--json") == (
        5,
        "",
        f"edgemed: tiny.edgemed: signed by {KEYID[:16]}, expected a signature by a trusted key: "
        f"{tiny.OTHER.public.keyid[:16]}; if you trust its maker, give the maker's key with --trust KEY.pub\n",
    )


def test_key_named_here_replaces_the_users_keys(capsys: pytest.CaptureFixture[str]) -> None:
    trust.add_user_key(tiny.KEY.public)

    assert ran(capsys, "bundle", "verify", "tiny.edgemed", "--trust", "other.pub")[0] == 5


def test_verify_with_a_key_that_is_none_is_a_configuration_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, "bundle", "verify", "tiny.edgemed", "--trust", "tiny.edgemed") == (
        2,
        "",
        "edgemed: tiny.edgemed: expected a public key in PEM form, got something else\n",
    )


@pytest.mark.parametrize("command", ["verify", "info"])
def test_altered_bundle_is_refused(home: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    raw = bytearray(tiny.build())
    raw[len(raw) // 2] ^= 1
    (home / "tiny.edgemed").write_bytes(raw)

    code, out, err = ran(capsys, "bundle", command, "tiny.edgemed", "--trust", "my.pub")

    assert (code, out) == (5, "")
    assert err.startswith("edgemed: tiny.edgemed: ")


@pytest.mark.parametrize(("key", "verified"), [("my.pub", True), ("other.pub", False)], ids=["known", "stranger"])
def test_info_tells_whether_it_is_verified(capsys: pytest.CaptureFixture[str], key: str, verified: bool) -> None:
    code, out, _ = ran(capsys, "bundle", "info", "tiny.edgemed", "--trust", key, "--json")

    document = json.loads(out)
    assert code == 0
    assert list(document) == [
        "schema_version",
        "verified",
        "accepted",
        "signed_by",
        "digest",
        "size_bytes",
        "manifest",
        "models",
    ]
    assert document["verified"] is verified
    assert document["accepted"] == ([KEYID] if verified else [])
    assert document["signed_by"] == [KEYID]
    assert document["manifest"] == json.loads(archive.read(tiny.build()).manifest)


@pytest.fixture
def accelerated(home: Path) -> Path:
    """Return a bundle with a model for the Edge TPU."""
    raw = archive.build(
        tiny.described("generic-x86-64", "coral-usb", "coral-dev-board"),
        {**tiny.MEMBERS, "model/edgetpu.tflite": b"compiled"},
        version="1.0.0",
        release=1,
        private_keys=[tiny.KEY],
    )
    (home / "coral.edgemed").write_bytes(raw)
    return home / "coral.edgemed"


@pytest.mark.usefixtures("accelerated")
def test_info_shows_which_target_runs_which_model(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = ran(capsys, "bundle", "info", "coral.edgemed", "--trust", "my.pub")

    lines = [line.split() for line in out.splitlines() if line.startswith("runs ")]
    assert lines == [
        ["runs", "model/int8.tflite", "generic-x86-64"],
        ["runs", "model/edgetpu.tflite", "coral-usb,", "coral-dev-board"],
    ]


@pytest.mark.usefixtures("accelerated")
def test_info_as_json_shows_which_target_runs_which_model(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = ran(capsys, "bundle", "info", "coral.edgemed", "--trust", "my.pub", "--json")

    assert json.loads(out)["models"] == [
        {"member": "model/int8.tflite", "accelerator": "none", "precision": "int8", "targets": ["generic-x86-64"]},
        {
            "member": "model/edgetpu.tflite",
            "accelerator": "edgetpu",
            "precision": "int8",
            "targets": ["coral-usb", "coral-dev-board"],
        },
    ]


SIGNED = {
    "known": ("my.pub", f"verified             yes, by {KEYID}"),
    "stranger": ("other.pub", "verified             NO: signature not checked, no key you trust has signed this"),
}


@pytest.mark.parametrize(("key", "line"), SIGNED.values(), ids=SIGNED)
def test_info_says_first_whether_it_is_verified(capsys: pytest.CaptureFixture[str], key: str, line: str) -> None:
    _, out, _ = ran(capsys, "bundle", "info", "tiny.edgemed", "--trust", key)

    lines = out.splitlines()
    assert lines[0].split() == line.split()
    assert any(shown.split() == ["bundle", "tiny", "1.0.0,", "release", "1"] for shown in lines)


CARD = "# tiny\n\nGrösse: 1 \x1b[31mrot\x07\n"
SHOWN_CARD = "# tiny\n\nGrösse: 1 \\x1b[31mrot\\x07\n"


@pytest.fixture
def carded(home: Path) -> Path:
    """Return a bundle with a card that tries to move the terminal."""
    raw = archive.build(
        tiny.ARTIFACT,
        {**tiny.MEMBERS, "card.md": CARD.encode()},
        version="1.0.0",
        release=1,
        private_keys=[tiny.KEY],
    )
    (home / "carded.edgemed").write_bytes(raw)
    return home / "carded.edgemed"


MARKS = {
    "known": ("my.pub", ""),
    "stranger": ("other.pub", "verified  NO: signature not checked, no key you trust has signed this\n"),
}


@pytest.mark.usefixtures("carded")
@pytest.mark.parametrize(("key", "mark"), MARKS.values(), ids=MARKS)
def test_info_prints_the_card_and_marks_it_where_nobody_known_signed(
    capsys: pytest.CaptureFixture[str], key: str, mark: str
) -> None:
    assert ran(capsys, "bundle", "info", "carded.edgemed", "--trust", key, "--card") == (0, SHOWN_CARD, mark)


@pytest.mark.usefixtures("carded")
def test_info_adds_the_card_to_its_document(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bundle", "info", "carded.edgemed", "--trust", "my.pub", "--json"]
    plain, with_card = json.loads(ran(capsys, *words)[1]), json.loads(ran(capsys, *words, "--card")[1])

    assert with_card == {**plain, "card": CARD}


@pytest.mark.parametrize("words", [["info", "--card"], ["verify"]], ids=["info", "verify"])
@pytest.mark.skipif(not shipped.names(), reason="no bundle ships with this tree")
def test_shipped_name_is_checked_with_the_demo_key(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    code, out, err = ran(capsys, "bundle", words[0], shipped.names()[0], *words[1:])

    assert (code, err) == (0, "")
    assert out != ""


def test_shipped_name_is_refused_by_another_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, "bundle", "verify", shipped.names()[0], "--trust", "my.pub")[0] == 5


def test_repeated_option_is_a_usage_error(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--key", "my.key", "--out", "a.edgemed", "--out", "b.edgemed"]

    code, _, err = ran(capsys, "bundle", "build", "artifact", *words)

    assert code == 2
    assert "Invalid value for '--out': given more than once; give it once" in err
    assert not (home / "b.edgemed").exists()


def test_info_of_a_bundle_without_a_card_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, "bundle", "info", "tiny.edgemed", "--trust", "my.pub", "--card") == (
        2,
        "",
        "edgemed: tiny.edgemed: carries no model card; leave --card away\n",
    )
