"""``edgemed bundle diff|encrypt|overlay|sign`` and the parts that ``info`` prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgemed import files, schema
from edgemed.bundle import archive, encryption, keys, overlay, roles, trust
from edgemed.cli import main
from tests.bundle import aged, tiny
from tests.runtime import tiny as screening

KEYID, OTHER_ID = tiny.KEY.public.keyid, tiny.OTHER.public.keyid
MODEL = files.sha256(screening.model())


def decision(version: int, threshold: float = 0.5) -> dict[str, Any]:
    rule = screening.rule(screening.model(), threshold=threshold)
    return {**schema.to_builtins(rule), "version": version}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test a user of its own, two keys, a bundle with its bill, and a newer decision document."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    keys.write_new(tmp_path / "my.key", tiny.KEY, passphrase=None)
    keys.write_new(tmp_path / "other.key", tiny.OTHER, passphrase=None)
    members = {**tiny.MEMBERS, "model/int8.tflite": screening.model()}
    for name, version, threshold in (("one", 3, 0.5), ("two", 4, 0.25)):
        own = {**members, "decision.json": schema.encode_json(decision(version, threshold))}
        (tmp_path / f"{name}.edgemed").write_bytes(tiny.build(members=tiny.with_bill(own), version=f"{version}.0.0"))
    (tmp_path / "new.json").write_text(json.dumps(decision(5, 0.75)))
    return tmp_path


def ran(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["bundle", *words])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


TRUSTED = ("--trust", "my.pub")


def test_diff_says_in_words_what_changed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran(capsys, "diff", "one.edgemed", "two.edgemed", *TRUSTED)

    digests = [trust.inspect_file(Path(f"{name}.edgemed")).digest for name in ("one", "two")]
    assert (code, err) == (0, "")
    assert out.startswith(
        f"before  tiny 3.0.0, release 1  {digests[0]}\nafter   tiny 4.0.0, release 1  {digests[1]}\n\n"
        "identity\n  version: 3.0.0 -> 4.0.0\n\n"
        "decision\n  indeterminate.high: 0.5 -> 0.25\n  indeterminate.low: 0.5 -> 0.25\n  version: 3 -> 4\n"
        "  rule-out.threshold: 0.5 -> 0.25  (in force; lower: more images become alerts)\n\n"
        "other files\n  sbom.cdx.json: sha256:"
    )
    assert out.endswith("\n\nthe same: targets, model, preprocessing, evidence, golden, signatures\n")


def test_diff_marks_what_nobody_known_has_signed(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = ran(capsys, "diff", "one.edgemed", "one.edgemed", "--trust", "other.pub")

    assert [line.endswith("  (no key you trust has signed it)") for line in out.splitlines()[:2]] == [True, True]


def test_diff_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran(capsys, "diff", "one.edgemed", "two.edgemed", *TRUSTED, "--json")

    document = json.loads(out)
    assert code == 0
    assert list(document) == ["schema_version", "before", "after", "changes", "same"]
    assert document["after"]["verified"] is True
    assert document["changes"][0] == {
        "section": "identity",
        "what": "version",
        "before": "3.0.0",
        "after": "4.0.0",
        "note": "",
    }


def test_sign_adds_a_signature(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran(capsys, "sign", "one.edgemed", "--key", "other.key", "--out", "both.edgemed", "--json")

    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "schema_version": 1,
        "path": "both.edgemed",
        "size_bytes": (home / "both.edgemed").stat().st_size,
        "signed_by": sorted([KEYID, OTHER_ID]),
    }
    assert len(archive.read((home / "both.edgemed").read_bytes()).envelopes) == 2


def test_sign_refuses_an_altered_bundle(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = (home / "one.edgemed").read_bytes()
    (home / "one.edgemed").write_bytes(raw.replace(b"abnormal", b"abnormaL"))

    code, out, err = ran(capsys, "sign", "one.edgemed", "--key", "other.key", "--out", "both.edgemed")

    assert (code, out) == (5, "")
    assert err.startswith("edgemed: one.edgemed: archive: not in canonical form: ")
    assert not (home / "both.edgemed").exists()


def test_overlay_is_the_one_of_the_library(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--decision", "new.json", "--key", "other.key", "--out", "a.overlay")

    code, out, err = ran(capsys, "overlay", "one.edgemed", *TRUSTED, *words)

    raw = (home / "a.overlay").read_bytes()
    bundle = trust.open_bundle(home / "one.edgemed", keys=[tiny.KEY.public])
    assert (code, err) == (0, "")
    assert raw == overlay.encode(bundle, (home / "new.json").read_bytes(), private_keys=[tiny.OTHER])
    assert overlay.verify(raw, trust=roles.of_keys([tiny.OTHER.public])).version == 5
    assert out == (
        f"bundle            tiny\nmodel             {MODEL}\ndecision version  3 -> 5\n"
        f"in force          rule-out, threshold 0.7500\nsigned by         {OTHER_ID}\n"
        f"written           a.overlay, {len(raw)} bytes\n"
    )


def test_overlay_of_a_document_that_no_runtime_reads_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "new.json").write_text(json.dumps({**decision(5), "activ": "rule-out"}))
    words = ("--decision", "new.json", "--key", "other.key", "--out", "a.overlay")

    code, _, err = ran(capsys, "overlay", "one.edgemed", *TRUSTED, *words)

    assert (code, err) == (2, "edgemed: new.json: activ: unknown key; did you mean 'active'?\n")
    assert not (home / "a.overlay").exists()


def test_overlay_of_no_higher_version_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--decision", "new.json", "--key", "other.key", "--out", "a.overlay")
    (home / "new.json").write_text(json.dumps(decision(3)))

    code, _, err = ran(capsys, "overlay", "one.edgemed", *TRUSTED, *words)

    assert (code, err) == (2, "edgemed: new.json: version: expected more than 3, the bundle's own, got 3\n")


def test_decision_document_is_printed_to_start_from(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran(capsys, "info", "one.edgemed", *TRUSTED, "--decision")

    assert (code, err) == (0, "")
    assert json.loads(out) == json.loads(json.dumps(decision(3)))


def test_bill_of_materials_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran(capsys, "info", "one.edgemed", *TRUSTED, "--sbom")

    assert code == 0
    assert json.loads(out)["bomFormat"] == "CycloneDX"
    document = json.loads(ran(capsys, "info", "one.edgemed", *TRUSTED, "--sbom", "--json")[1])
    assert document["sbom"] == json.loads(out)


INFO_REFUSED = {
    "no bill": (("plain.edgemed", "--sbom"), "plain.edgemed: carries no bill of materials; leave --sbom away"),
    "two parts": (
        ("one.edgemed", "--sbom", "--decision"),
        "--sbom and --decision exclude each other; give one of them",
    ),
}


@pytest.mark.parametrize(("words", "message"), INFO_REFUSED.values(), ids=INFO_REFUSED)
def test_info_refuses_with_a_reason(
    home: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    (home / "plain.edgemed").write_bytes(tiny.build())

    assert ran(capsys, "info", *words, *TRUSTED) == (2, "", f"edgemed: {message}\n")


def test_encrypted_bundle_opens_with_the_device_key_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipient = aged.write_key(home / "unit.key")

    code, out, err = ran(capsys, "encrypt", "one.edgemed", *TRUSTED, "--to", "unit.pub", "--out", "one.age", "--json")

    document = json.loads(out)
    raw = (home / "one.age").read_bytes()
    assert (code, err) == (0, "")
    assert document["devices"] == [recipient]
    assert document["size_bytes"] == len(raw)
    assert encryption.opened(raw, identity=home / "unit.key", source="one.age") == (home / "one.edgemed").read_bytes()
    assert ran(capsys, "verify", "one.age", *TRUSTED) == (
        5,
        "",
        "edgemed: one.age: is encrypted to a device's key; only that device can open it\n",
    )


def test_bundle_that_nobody_known_has_signed_is_not_encrypted(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    aged.write_key(home / "unit.key")

    words = ("--trust", "other.pub", "--to", "unit.pub", "--out", "one.age")
    code, _, err = ran(capsys, "encrypt", "one.edgemed", *words)

    assert code == 5
    assert err.startswith(
        f"edgemed: one.edgemed: signed by {KEYID[:16]}, expected a signature by a trusted key: {OTHER_ID[:16]}; "
    )
    assert not (home / "one.age").exists()


def test_bundle_that_is_encrypted_already_is_not_encrypted(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    aged.write_key(home / "unit.key")
    words = (*TRUSTED, "--to", "unit.pub", "--out")
    assert ran(capsys, "encrypt", "one.edgemed", *words, "one.age")[0] == 0

    assert ran(capsys, "encrypt", "one.age", *words, "two.age") == (
        5,
        "",
        "edgemed: one.age: is encrypted to a device's key; only that device can open it\n",
    )


def screened(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["screen", "scan.png", "--bundle", "screen.edgemed", "--trust", "my.pub", *words])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


@pytest.fixture
def scan(home: Path) -> Path:
    """Return a working folder with an image, a bundle that screens it, and overlays that move its threshold."""
    rule = screening.rule(screening.model(), threshold=0.01)
    raw = screening.raw_bundle(screening.model(), rule)
    (home / "screen.edgemed").write_bytes(raw)
    (home / "scan.png").write_bytes(screening.png(screening.picture()))
    bundle = trust.verify(raw, keys=[tiny.KEY.public])
    newer = {**schema.to_builtins(screening.rule(screening.model(), threshold=0.99)), "version": rule.version + 1}
    for name, key in (("my", tiny.KEY), ("other", tiny.OTHER)):
        (home / f"{name}.overlay").write_bytes(overlay.encode(bundle, schema.encode_json(newer), private_keys=[key]))
    return home


@pytest.mark.usefixtures("scan")
def test_overlay_decides_and_every_result_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    plain = json.loads(screened(capsys, "--json")[1])
    overlaid = json.loads(screened(capsys, "--overlay", "my.overlay", "--json")[1])

    assert (plain["bundle"]["overlay"], overlaid["bundle"]["overlay"]) == (False, True)
    assert overlaid["bundle"]["decision_version"] == plain["bundle"]["decision_version"] + 1
    assert overlaid["bundle"]["digest"] == plain["bundle"]["digest"]
    assert [found["results"][0]["decision"] for found in (plain, overlaid)] == ["alert", "clear"]
    assert overlaid["results"][0]["score"] == plain["results"][0]["score"]
    _, out, _ = screened(capsys, "--overlay", "my.overlay")
    assert out.splitlines()[0].endswith(f", decision version {overlaid['bundle']['decision_version']} by overlay")


@pytest.mark.usefixtures("scan")
def test_overlay_of_a_stranger_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = screened(capsys, "--overlay", "other.overlay")

    assert (code, out) == (5, "")
    assert err == (
        f"edgemed: other.overlay: signed by {OTHER_ID[:16]}, expected 1 of the trusted keys {KEYID[:16]}, got 0; "
        "have it signed by those that are missing\n"
    )
