from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgemed.bundle import keys
from edgemed.cli import main
from tests.bundle.tiny import KEY
from tests.runtime import tiny

Ran = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("ai_edge_litert")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.pub").write_bytes(keys.encode_public(KEY.public))
    document = tiny.rule(tiny.model(), out_of_distribution=tiny.limits(limit=1e6))
    (tmp_path / "tiny.edgemed").write_bytes(tiny.raw_bundle(tiny.model(), document))
    (tmp_path / "scan.png").write_bytes(tiny.png(tiny.picture()))
    return tmp_path


@pytest.fixture
def ran(folder: Path, capsys: pytest.CaptureFixture[str]) -> Ran:
    def run(*words: str, bundle: str = "tiny.edgemed") -> tuple[int, str, str]:
        code = main(["benchmark", bundle, "--trust", "my.pub", "--input", "scan.png", *words])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def test_json_is_one_document_of_the_contract(ran: Ran) -> None:
    code, out, _ = ran("--samples", "2", "--json")
    document = json.loads(out)
    assert code == 9
    assert next(iter(document)) == "schema_version"
    assert {"machine", "state", "bundle", "scenario", "stages", "budget"} <= set(document)
    assert list(document["stages"]) == ["decode", "preprocess", "infer", "decide", "record", "total"]
    assert (document["stages"]["total"]["n"], document["stages"]["total"]["p99"]) == (2, None)
    assert document["kind"] == "measurement"
    assert {row["pass"] for row in document["budget"]} == {None}
    assert document["stages"]["record"]["p50"] > 0.0


def test_table_and_files(ran: Ran, folder: Path) -> None:
    code, out, err = ran("--samples", "2", "--save", "now.json", "--plot", "now.png", "--report", "now.html")
    assert code == 9
    assert "│ total" in out
    assert "not judged: 2 samples, p99 needs 1000" in out
    assert "2 samples: no p99 is given below 1000" in err
    assert (folder / "now.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "now.html").read_text().startswith("<!DOCTYPE html>")
    assert json.loads((folder / "now.json").read_bytes())["scenario"]["samples"] == 2


def test_comparison_without_enough_samples_gives_no_verdict(ran: Ran) -> None:
    ran("--samples", "2", "--scenario", "throughput", "--save", "before.json")
    code, out, _ = ran("--samples", "2", "--scenario", "throughput", "--compare", "before.json", "--json")
    assert code == 9
    assert json.loads(out)["comparison"]["why"] == (
        "before: 1 samples of the control loop, expected at least 40: nothing can be said of the noise"
    )


def test_comparison_with_another_bundle_is_refused(ran: Ran, folder: Path) -> None:
    other = tiny.raw_bundle(tiny.model(), tiny.rule(tiny.model()), name="other", outputs=("logit",))
    (folder / "other.edgemed").write_bytes(other)
    ran("--samples", "1", "--save", "before.json", bundle="other.edgemed")
    code, _, err = ran("--samples", "1", "--compare", "before.json")
    assert code == 2
    assert err.splitlines()[-1] == (
        "edgemed: --compare: before.json: bundle.name: expected 'tiny', as measured now, got 'other'; compare "
        "measurements of the same bundle, scenario, target and images"
    )


def test_wrong_saved_document_ends_it_before_anything_is_measured(ran: Ran, folder: Path) -> None:
    (folder / "before.json").write_text('{"schema_version": 7, "kind": "measurement"}')
    code, out, err = ran("--compare", "before.json")
    assert (code, out) == (2, "")
    assert err == ("edgemed: before.json: schema_version: expected 1, got 7; measure both with the same edgemed\n")


def test_folder_with_unreadable_files_is_measured_and_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = folder / "images"
    images.mkdir()
    (images / "bad.png").write_bytes(b"hello")
    (images / "good.png").write_bytes((folder / "scan.png").read_bytes())
    code = main(["benchmark", "tiny.edgemed", "--trust", "my.pub", "--input", "images", "--samples", "2", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert code == 9
    assert document["inputs"]["unreadable"] >= 2
    assert "bad.png" not in json.dumps(document)


WRONG = {
    "plot": (["--plot", "x.gif"], "--plot: x.gif: expected a name that ends with .png or .svg"),
    "force": (["--force"], "--force: is of use with --compare only; leave it away"),
    "both": (
        ["--to", "ssh://a/s", "--inventory", "f.yaml"],
        "--inventory: expected without --to, which the inventory has for each device",
    ),
    "no-device": (["--to", "ssh://a/s"], "--to: expected with --device ID, of the device there"),
    "folder": (
        ["--to", "/media/stick", "--device", "raspberry-pi-5"],
        "--to: expected ssh://..., got '/media/stick': a folder measures nothing",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_options_that_make_no_sense_are_refused(name: str, ran: Ran) -> None:
    words, said = WRONG[name]
    code, out, err = ran(*words)
    assert (code, out, err) == (2, "", f"edgemed: {said}\n")


def test_without_bundle_and_store_the_message_says_what_to_give(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["benchmark"])
    assert code == 2
    assert capsys.readouterr().err == (
        "edgemed: BUNDLE: expected a bundle, got none, and this device has no store with an active one; give a bundle "
        "file, or the name of one that ships with edgemed: breast-ultrasound, chest-xray\n"
    )
