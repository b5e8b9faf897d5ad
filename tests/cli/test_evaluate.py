from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgemed import files, schema
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
        "95 %; AUC: DeLong on the logit scale; average precision: logit; proportions and F1: Wilson; predictive values "
        "at a stated prevalence: Mercaldo; likelihood ratios: Simel"
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
        "edgemed: tiny: expected a recipe file or one of breast-mnist, breast-ultrasound, chest-xray, pneumonia-mnist, "
        "found neither\n",
    )


@pytest.mark.usefixtures("home")
def test_unknown_split_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran(capsys, "--recipe", "blobs.yaml", "--split", "val")

    assert (code, out) == (2, "")
    assert err.startswith("edgemed: split: expected one of train, validation, test, got 'val'")


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run evaluate with these words alone."""
    code = main(["evaluate", *words])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


@pytest.fixture
def model(home: Path) -> Path:
    """Give a TFLite file whose plane is that of a recipe beside it, ``sixteen.yaml``."""
    (home / "model.tflite").write_bytes(tiny.model())
    text = blobs.RECIPE.replace("height: 32", "height: 16").replace("width: 32", "width: 16")
    # The model was never trained: blobs lower its logit, so that they are the normal ones here.
    text = text.replace("normal: [plain], abnormal: [blob]", "normal: [blob], abnormal: [plain]")
    (home / "sixteen.yaml").write_text(text.replace("labels: [plain, blob]", "labels: [blob, plain]"))
    return home / "model.tflite"


def test_tflite_file_takes_its_thresholds_from_validation(home: Path, model: Path, capsys) -> None:
    words = ("model.tflite", "--recipe", "sixteen.yaml", "--data", "data", "--json")
    code, out, err = said(capsys, *words)

    document = json.loads(out)
    assert (code, err) == (0, "")
    assert (document["split"], document["n"], document["bundle"]) == ("validation", 6, None)
    assert document["subject"]["kind"] == "tflite"
    assert document["model"] == files.sha256(model.read_bytes())
    (point,) = document["operating_points"]
    assert point["criterion"] == "sensitivity >= 0.9 on validation"
    assert point["sensitivity"]["value"] >= 0.9


def test_bundle_and_its_own_tflite_rank_alike(home: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of_file = said(capsys, "model.tflite", "--recipe", "sixteen.yaml", "--data", "data", "--json")
    of_bundle = ran(capsys, "--recipe", "sixteen.yaml", "--split", "validation", "--json")
    assert json.loads(of_file[1])["auc"] == json.loads(of_bundle[1])["auc"]


def test_comparison_prevalence_and_sets_from_elsewhere_are_lines(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(3)
    for index in range(3):
        (home / "photos").mkdir(exist_ok=True)
        cv2.imwrite(str(home / "photos" / f"{index}.png"), rng.integers(0, 255, (40, 40)).astype(np.uint8))
    words = ("--compare", "tiny.edgemed", "--prevalence", "0.02", "--ood", "photos=photos", "--split", "validation")
    code, out, _ = ran(capsys, "--recipe", "blobs.yaml", *words)

    lines = {line[:15].strip(): line[15:].strip() for line in out.splitlines()}
    assert code == 0
    assert lines["compared with"].startswith("bundle tiny, 6 images: AUC ")
    assert lines["difference"].endswith("p 1.0000")
    assert lines["at 0.02"].startswith("ppv ")
    assert lines["photos"].endswith("of 3")


@pytest.mark.usefixtures("home")
def test_report_is_one_file(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="needs the train extra")
    pytest.importorskip("jinja2", reason="needs the train extra")
    code, _, err = ran(capsys, "--recipe", "blobs.yaml", "--split", "validation", "--report", "out.html")
    assert (code, err) == (
        0,
        "out.html: written; source pictures of the worst errors are in it, with any text burned into them\n",
    )
    assert "<title>Evaluation of tiny 1.2.3</title>" in (home / "out.html").read_text("utf-8")
    assert not list(home.glob(".out.html*"))


BAD = {
    "a .tflite without recipe": (
        ("model.tflite", "--data", "data"),
        2,
        "--recipe: required with model.tflite: a recipe, by name or file, that names the data's labels and splits, the "
        "preprocessing and the operating point",
    ),
    "a plane of another size": (
        ("model.tflite", "--recipe", "blobs.yaml", "--data", "data"),
        2,
        "preprocessing: expected planes of 16 x 16 (height x width), the input of model.tflite, got 32 x 32 from the "
        "recipe blobs; give the recipe it was trained by with --recipe",
    ),
    "no data": (
        ("model.tflite", "--recipe", "sixteen.yaml"),
        2,
        "--data: required with blobs: the folder of the labelled images",
    ),
    "a folder that is no run": (
        ("data",),
        2,
        "data: expected a run folder with run.json, found none; make one with edgemed train",
    ),
    "a set without a name": (
        ("tiny.edgemed", "--trust", "my.pub", "--data", "data", "--ood", "photos"),
        2,
        "--ood: expected NAME=PATH, got 'photos'; e.g. photos=folder/",
    ),
    "a name given twice": (
        ("tiny.edgemed", "--trust", "my.pub", "--data", "data", "--ood", "a=x", "--ood", "a=y"),
        2,
        "--ood: a: given more than once; give each set a name of its own",
    ),
    "a prevalence in percent": (
        ("tiny.edgemed", "--trust", "my.pub", "--data", "data", "--prevalence", "5"),
        2,
        "--prevalence: expected above 0 and below 1, got 5; give a share, 0.02 for 2 %",
    ),
    "an attribute that is not known": (
        ("model.tflite", "--recipe", "sixteen.yaml", "--data", "data", "--subgroup", "site"),
        2,
        "--subgroup: expected none: the recipe's data name no attributes, got 'site'",
    ),
    "a model of other labels": (
        ("model.tflite", "--recipe", "sixteen.yaml", "--data", "data", "--compare", "chest-xray"),
        2,
        "--compare: blobs tells apart blob / plain, the other model, chest-xray, normal / pneumonia; compare models of "
        "the same labels",
    ),
    "a range for what needs none": (
        ("model.tflite", "--recipe", "sixteen.yaml", "--data", "data", "--input-range", "0", "1"),
        2,
        "--input-range: only a .keras file needs it, got model.tflite; leave the option out",
    ),
}


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(("words", "code", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line(
    words: tuple[str, ...], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, *words) == (code, "", f"edgemed: {message}\n")


PLACES = {
    "a folder": ("data", "--report: data: expected a file to write, found a folder; choose another place"),
    "a missing folder": (
        "absent/out.html",
        "--report: absent/out.html: cannot be written: absent is no folder; make it, or choose another place",
    ),
}


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(("place", "message"), PLACES.values(), ids=PLACES)
def test_report_that_cannot_be_written_is_refused_before_the_work(
    place: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="needs the train extra")
    pytest.importorskip("jinja2", reason="needs the train extra")
    assert ran(capsys, "--recipe", "blobs.yaml", "--report", place) == (2, "", f"edgemed: {message}\n")


def test_extra_that_a_report_needs_is_named(home: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert ran(capsys, "--recipe", "blobs.yaml", "--report", "out.html") == (
        1,
        "",
        "edgemed: matplotlib, jinja2: not installed; this command needs the extra 'train' (Python 3.11 or newer): pip "
        "install 'edgemed[train]'\n",
    )
    assert not (home / "out.html").exists()


def bright() -> Any:
    """Return a Keras model of the contract whose logit rises with the mean grey level, as blobs do."""
    keras = pytest.importorskip("keras", reason="needs the train extra")
    plane = keras.Input((32, 32, 1), name="plane")
    evidence = keras.layers.Conv2D(1, 4, strides=4, name="evidence")
    explained = evidence(plane)
    model = keras.Model(
        plane, {"logit": keras.layers.GlobalAveragePooling2D(name="logit")(explained), "evidence": explained}
    )
    evidence.set_weights([np.full((4, 4, 1, 1), 0.1 / 16, np.float32), np.array([-8.0], np.float32)])
    return model


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a data set, its recipe and a finished run of one epoch."""
    pytest.importorskip("tensorflow", reason="needs the train extra")
    from edgemed.training import recipe as recipes
    from edgemed.training.run import Epoch, Run

    place = tmp_path_factory.mktemp("trained")
    blobs.write(place / "data", {"train": 8, "val": 6, "test": 4})
    text = blobs.RECIPE.replace("epochs: 3", "epochs: 1")
    (place / "one.yaml").write_text(text)
    (place / "run").mkdir()
    bright().save(place / "run" / "model.keras")
    run = Run(
        schema=1,
        recipe=recipes.parse(text.encode(), source="one.yaml"),
        data_path=str(place / "data"),
        train_images=16,
        train_digest="sha256:train",
        validation_images=12,
        validation_digest="sha256:validation",
        moved_to_validation=0,
        pretrained_sha256=None,
        versions={},
        history=(Epoch(epoch=0, loss=0.5, validation_auc=0.9),),
        best_epoch=0,
    )
    (place / "run" / "run.json").write_bytes(schema.encode_json(run))
    return place


@pytest.mark.tensorflow
def test_run_brings_its_recipe_and_data(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, str(trained / "run"), "--json")

    document = json.loads(out)
    assert (code, err) == (0, "")
    assert (document["subject"]["kind"], document["split"], document["n"]) == ("run", "validation", 12)
    metrics = pytest.importorskip("sklearn.metrics")
    levels, labels = [], []
    for label, name in enumerate(("plain", "blob")):
        for path in sorted((trained / "data" / "val" / name).iterdir()):
            pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            assert pixels is not None
            levels.append(float(pixels.mean()))
            labels.append(label)
    # Planes are rounded to grey levels: the order of two nearly equal means may change.
    assert document["auc"]["value"] == pytest.approx(metrics.roc_auc_score(labels, levels), abs=0.05)
    assert document["model"] == files.sha256_file(trained / "run" / "model.keras")


@pytest.mark.tensorflow
def test_saved_model_answers_as_the_run_does(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, recipe, data = (str(trained / name) for name in ("run/model.keras", "one.yaml", "data"))
    code, out, err = said(
        capsys, model, "--recipe", recipe, "--data", data, "--compare", str(trained / "run"), "--json"
    )
    found = json.loads(out)["comparison"]
    assert (code, err) == (0, "")
    assert found["difference"]["value"] == pytest.approx(0.0, abs=1e-9)
    assert [point["flipped"] for point in found["points"]] == [0]


@pytest.mark.tensorflow
def test_saved_model_without_recipe_asks_for_one(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(trained / "run" / "model.keras")
    assert said(capsys, model, "--data", "data") == (
        2,
        "",
        f"edgemed: --recipe: required with {model}: a recipe, by name or file, that names the data's labels and "
        "splits, the preprocessing and the operating point\n",
    )


@pytest.mark.tensorflow
def test_run_that_is_not_finished_is_refused(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads((trained / "run" / "run.json").read_text())
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "run.json").write_text(json.dumps({**document, "history": [], "best_epoch": None}))
    begun = tmp_path / "begun"
    assert said(capsys, str(begun)) == (
        2,
        "",
        f"edgemed: {begun}: trained for 0 of 1 epochs; finish it with edgemed train --resume\n",
    )
