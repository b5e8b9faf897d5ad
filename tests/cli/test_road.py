"""The whole road on pictures made here: train, convert, sign, verify, evaluate, screen."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

from edgemed.bundle import trust
from edgemed.cli import main
from edgemed.runtime import backends, golden

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]


def _blob_fixtures() -> object:
    """Load the training tests' data set; tests have no packages to import each other by."""
    path = Path(__file__).parents[1] / "training" / "conftest.py"
    spec = importlib.util.spec_from_file_location("blob_fixtures", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FIXTURES = _blob_fixtures()
RECIPE = FIXTURES.RECIPE.replace("epochs: 3", "epochs: 12").replace("{epochs: 1,", "{epochs: 6,")


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a data set, a recipe, keys and the user's own trust folder."""
    folder = tmp_path_factory.mktemp("road")
    rng = np.random.default_rng(7)
    for split, count in {"train": 96, "val": 48, "test": 24}.items():
        for label in ("plain", "blob"):
            (folder / "data" / split / label).mkdir(parents=True)
            for index in range(count):
                picture = FIXTURES.picture(rng, blob=label == "blob")
                cv2.imwrite(str(folder / "data" / split / label / f"{index:03d}.png"), picture)
    (folder / "blobs.yaml").write_text(RECIPE)
    return folder


@pytest.fixture(autouse=True)
def _own_home(road: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(road / "config"))


def _run(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, object]:
    """Run one command and return the single document it prints."""
    code = main([*map(str, words), "--json"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    document = json.loads(captured.out)
    assert next(iter(document)) == "schema_version"
    return document


def test_road_from_pictures_to_a_decision(road: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, built, bundle = road / "run", road / "artifact", road / "blobs-1.0.0.edgemed"
    trained = _run(capsys, "train", "--recipe", road / "blobs.yaml", "--data", road / "data", "--out", run)
    assert trained["epochs"] == 12
    converted = _run(capsys, "convert", run, "--target", "generic-x86-64", "--out", built)
    assert converted["parity"]["passed"] is True
    assert "generic-x86-64" in converted["admits"]
    _run(capsys, "keys", "new", road / "my.key", "--no-passphrase")
    _run(capsys, "bundle", "build", built, "--key", road / "my.key", "--out", bundle)
    verified = _run(capsys, "bundle", "verify", bundle, "--trust", road / "my.pub")
    assert verified["verified"] is True
    evaluated = _run(
        capsys, "evaluate", bundle, "--data", road / "data", "--split", "test", "--recipe", road / "blobs.yaml"
    )
    assert (evaluated["n"], evaluated["n_abnormal"]) == (48, 24)
    assert evaluated["auc"]["value"] > 0.8
    low, high = evaluated["auc"]["ci95"]
    assert low <= evaluated["auc"]["value"] <= high
    screened = _run(capsys, "screen", road / "data" / "test" / "blob" / "000.png", "--bundle", bundle)
    assert screened["bundle"]["digest"] == verified["bundle"]["digest"]
    assert screened["results"][0]["score"] is not None


def test_golden_vectors_of_the_road_replay_exactly_on_their_own_back_end(road: Path) -> None:
    bundle = trust.open_bundle(road / "blobs-1.0.0.edgemed", keys=trust.user_keys())
    report = golden.replay(bundle, backends.load(bundle.members["model/int8.tflite"], backend="litert"))
    assert report.verdict is golden.Verdict.WITHIN
    assert all(vector.lsb["logit"] == 0 and vector.plane_gray == 0 for vector in report.vectors)


def test_two_builds_are_byte_for_byte_the_same(road: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = road / "again.edgemed"
    _run(capsys, "bundle", "build", road / "artifact", "--key", road / "my.key", "--out", again)
    assert again.read_bytes() == (road / "blobs-1.0.0.edgemed").read_bytes()


def test_changed_data_are_not_mistaken_for_the_runs(road: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = road / "data" / "train" / "plain" / "000.png"
    kept = picture.read_bytes()
    cv2.imwrite(str(picture), np.full((48, 40), 9, np.uint8))
    try:
        code = main(["convert", str(road / "run"), "--target", "generic-x86-64", "--out", str(road / "other")])
    finally:
        picture.write_bytes(kept)
    assert code == 2
    assert "the train images, labels or their preprocessing differ from those of the run" in capsys.readouterr().err
    assert not (road / "other").exists()


def test_unknown_target_is_refused_before_any_work(road: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(road / "run"), "--target", "coral-usbb", "--out", str(road / "other")]) == 2
    assert "did you mean 'coral-usb'?" in capsys.readouterr().err
