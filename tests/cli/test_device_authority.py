"""``edgemed device trust|overlay``: who may sign for a store, and its thresholds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgemed.cli import main
from edgemed.device import install, provision
from edgemed.device import store as stores
from tests.bundle import rooted
from tests.device import made, test_authority


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test a store under a trust root with an active bundle, the next root, and an overlay."""
    monkeypatch.chdir(tmp_path)
    store = provision.init(tmp_path / "store", target=made.TARGET, trust=rooted.trust()).store
    (tmp_path / "a.edgemed").write_bytes(test_authority.bundle(1, rooted.RELEASE[:2]))
    install.install(store, tmp_path / "a.edgemed", check=made.healthy)
    gone = [rooted.RELEASE[0].public.keyid]
    (tmp_path / "root-2.json").write_bytes(rooted.following(rooted.trust(), revoke=gone))
    (tmp_path / "a.overlay").write_bytes(test_authority.overlaid(4))
    return tmp_path


def ran(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["device", *words, "--store", "store"])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_root_that_stops_the_active_bundle_is_taken_on_purpose_alone(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = ran(capsys, "trust", "root-2.json")
    assert (code, out) == (6, "")
    assert err.startswith(
        "edgemed: root-2.json: by this root tiny 1.0.0 would not be trusted any more, and nothing would run: "
    )
    assert stores.open_store(home / "store").trust().root.version == 1

    code, out, err = ran(capsys, "trust", "root-2.json", "--may-stop")
    assert (code, err) == (0, "")
    assert out == f"root        version 2\nrevocation  1\nrevoked     {rooted.RELEASE[0].public.keyid}\n"
    assert stores.open_store(home / "store").trust().root.version == 2


def test_root_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran(capsys, "trust", "root-2.json", "--may-stop", "--json")

    document = json.loads(out)
    assert code == 0
    assert list(document) == ["schema_version", "root"]
    assert document["root"]["version"] == 2


def test_overlay_is_put_in_force(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran(capsys, "overlay", "a.overlay", "--json")

    bundle = test_authority.BUNDLE
    known = {"name": "tiny", "version": "1.0.0", "digest": bundle.digest}
    assert (code, err) == (0, "")
    assert json.loads(out) == {"schema_version": 1, "bundle": {**known, "decision_version": 4, "overlay": True}}

    code, out, err = ran(capsys, "overlay", "a.overlay")
    assert (code, out) == (5, "")
    assert err == "edgemed: a.overlay: decision version: expected more than 4, which this device has seen, got 4\n"
