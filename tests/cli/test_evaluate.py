from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgemed import schema
from edgemed.bundle import keys, trust
from edgemed.cli import main
from edgemed.runtime.screener import Screener
from tests.bundle.tiny import KEY
from tests.runtime import tiny
from tests.training import blobs

TRAINED = {"seed": 3, "train_images": 8, "validation_images": 6}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a working folder with a data set, its recipe, a signed bundle and the key's public half."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    blobs.write(tmp_path / "data", {"train": 4, "val": 3, "test": 5})
    (tmp_path / "blobs.yaml").write_text(blobs.RECIPE)
    (tmp_path / "my.pub").write_bytes(keys.encode_public(KEY.public))
    raw = tiny.raw_bundle(tiny.model(), extra={"evidence/training.json": schema.encode_json(TRAINED)})
    (tmp_path / "tiny.edgemed").write_bytes(raw)
    return tmp_path


def ran(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["evaluate", "tiny.edgemed", "--trust", "my.pub", "--data", "data", *words])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_json_is_the_document_of_the_contract(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran(capsys, "--recipe", "blobs.yaml", "--json")

    document = json.loads(out)
    bundle = trust.open_bundle(home / "tiny.edgemed", keys=[KEY.public])
    assert (code, err) == (0, "")
    assert next(iter(document.items())) == ("schema_version", 1)
    assert document["bundle"] == {"name": "tiny", "version": "1.2.3", "digest": bundle.digest}
    assert document["model"] == bundle.manifest.members["model/int8.tflite"].sha256
    assert (document["split"], document["recipe"], document["seed"]) == ("test", "blobs", 3)
    assert (document["n"], document["n_abnormal"], document["unscored"]) == (10, 5, 0)
    assert set(document["auc"]) == {"value", "ci95", "ci95_by_patient"}
    (point,) = document["operating_points"]
    assert point["threshold"] == 0.5
    for name in ("sensitivity", "specificity"):
        assert len(point[name]["ci95"]) == 2


def test_recipe_without_network_and_steps_names_the_data_as_well(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head, _, tail = blobs.RECIPE.partition("preprocessing:")
    (home / "own.yaml").write_text(head + tail[tail.index("augmentation:") :])
    _, whole, _ = ran(capsys, "--recipe", "blobs.yaml", "--json")
    code, out, err = ran(capsys, "--recipe", "own.yaml", "--json")
    assert (code, err, json.loads(out)) == (0, "", json.loads(whole))


def test_auc_is_that_of_the_screeners_logits(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    screener = Screener.open(home / "tiny.edgemed", keys=[KEY.public])
    labels, logits = [], []
    for label, name in enumerate(("plain", "blob")):
        for path in sorted((home / "data" / "test" / name).iterdir()):
            pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            found = screener.screen(tiny.Frame(pixels=np.asarray(pixels, np.uint8), source=path.name))
            assert found.logit is not None
            labels.append(label)
            logits.append(found.logit[0])

    document = json.loads(ran(capsys, "--recipe", "blobs.yaml", "--json")[1])

    assert document["auc"]["value"] == pytest.approx(metrics.roc_auc_score(labels, logits), abs=1e-12)


def test_lines_say_what_was_measured_on_what(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran(capsys, "--recipe", "blobs.yaml", "--split", "validation")

    lines = {line[:15].strip(): line[15:].strip() for line in out.splitlines()}
    assert (code, err) == (0, "")
    assert lines["recipe"] == "blobs, seed 3"
    assert lines["images"] == "6 validation, 3 abnormal; 0 not scored"
    assert lines["rule-out"] == "threshold 0.5000, sensitivity >= 0.95, in force"
    assert lines["intervals"] == (
        "95 %; AUC: DeLong on the logit scale; average precision: logit; proportions and F1: Wilson; predictive values at "
        "a stated prevalence: Mercaldo; likelihood ratios: Simel"
    )


def test_division_other_than_the_bundles_own_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "blobs.yaml").write_text(blobs.RECIPE.replace("seed: 3", "seed: 4"))

    assert ran(capsys, "--recipe", "blobs.yaml", "--split", "validation") == (
        2,
        "",
        "edgemed: blobs: divides the data into 8 train and 6 validation images with seed 4; tiny 1.2.3 was trained on "
        "8 train and 6 validation images with seed 3; give the recipe it was trained by with --recipe, and its data "
        "with --data\n",
    )


@pytest.mark.usefixtures("home")
def test_bundle_whose_name_is_no_shipped_recipe_asks_for_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys) == (
        2,
        "",
        "edgemed: tiny: expected a recipe file or one of breast-ultrasound, chest-xray, found neither\n",
    )


@pytest.mark.usefixtures("home")
def test_unknown_split_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran(capsys, "--recipe", "blobs.yaml", "--split", "val")

    assert (code, out) == (2, "")
    assert err.startswith("edgemed: split: expected one of train, validation, test, got 'val'")
