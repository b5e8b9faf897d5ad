"""The whole road on pictures made here: train, convert, sign, verify, evaluate, screen."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

from edgemed.bundle import trust
from edgemed.cli import main
from edgemed.runtime import backends, golden
from tests.training import blobs

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
RECIPE = blobs.RECIPE.replace("epochs: 3", "epochs: 12").replace("{epochs: 1,", "{epochs: 6,")


def _run(*words: object) -> dict[str, Any]:
    """Run one command and return the single document it prints."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*map(str, words), "--json"])
    assert code == 0, err.getvalue()
    document: dict[str, Any] = json.loads(out.getvalue())
    assert next(iter(document)) == "schema_version"
    return {**document, "stderr": err.getvalue()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a folder with a data set, a recipe, and the user's own trust folder."""
    made = tmp_path_factory.mktemp("road")
    blobs.write(made / "data", {"train": 96, "val": 48, "test": 24})
    (made / "blobs.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(made / "config"))
        yield made


@pytest.fixture(scope="module")
def trained(folder: Path) -> dict[str, Any]:
    return _run("train", "--recipe", folder / "blobs.yaml", "--data", folder / "data", "--out", folder / "run")


@pytest.fixture(scope="module")
def converted(folder: Path, trained: dict[str, Any]) -> dict[str, Any]:
    return _run("convert", trained["run"], "--target", "generic-x86-64", "--out", folder / "artifact")


@pytest.fixture(scope="module")
def bundle(folder: Path, converted: dict[str, Any]) -> Path:
    """Return the signed bundle file."""
    made = folder / "blobs-1.0.0.edgemed"
    _run("keys", "new", folder / "my.key", "--no-passphrase")
    _run("bundle", "build", converted["artifact"], "--key", folder / "my.key", "--out", made)
    return made


def test_training_and_conversion_say_what_they_made(trained: dict[str, Any], converted: dict[str, Any]) -> None:
    assert trained["epochs"] == 12
    assert converted["parity"]["passed"] is True
    assert (converted["mode"], converted["targets"]) == ("qat", ["generic-x86-64"])
    assert "generic-x86-64" in converted["admits"]
    assert (
        "4 source pictures of validation travel in golden/, with any text burned into their pixels\n"
        in (converted["stderr"])
    )


def test_bundle_verifies_and_gives_a_decision(folder: Path, bundle: Path) -> None:
    verified = _run("bundle", "verify", bundle, "--trust", folder / "my.pub")
    assert verified["verified"] is True
    screened = _run("screen", folder / "data" / "test" / "blob" / "000.png", "--bundle", bundle)
    assert screened["bundle"]["digest"] == verified["bundle"]["digest"]
    assert screened["results"][0]["score"] is not None


def test_bundle_separates_pictures_it_never_saw(folder: Path, bundle: Path) -> None:
    words = ("--data", folder / "data", "--split", "test", "--recipe", folder / "blobs.yaml")
    evaluated = _run("evaluate", bundle, *words)
    assert (evaluated["n"], evaluated["n_abnormal"]) == (48, 24)
    assert evaluated["auc"]["value"] > 0.8
    low, high = evaluated["auc"]["ci95"]
    assert low <= evaluated["auc"]["value"] <= high


def test_golden_vectors_replay_exactly_on_their_own_back_end(bundle: Path) -> None:
    opened = trust.open_bundle(bundle, keys=trust.user_keys())
    report = golden.replay(opened, backends.load(opened.members["model/int8.tflite"], backend="litert"))
    assert report.verdict is golden.Verdict.WITHIN
    assert all(vector.lsb["logit"] == 0 and vector.plane_gray == 0 for vector in report.vectors)


def test_card_says_what_kept_validation_apart(bundle: Path) -> None:
    text = trust.open_bundle(bundle, keys=trust.user_keys()).members["card.md"].decode()
    assert (
        "no near-duplicate (28 x 28 thumbnails that correlate above 0.999) with train; patients are not known." in text
    )
    assert "Training started from random weights." in text


def test_no_member_names_an_image_or_a_path(folder: Path, bundle: Path) -> None:
    members = trust.open_bundle(bundle, keys=trust.user_keys()).members
    words = (str(folder).encode(), b"val/blob", b"val/plain", b"blob/0", b"plain/0")
    assert [name for name, raw in members.items() if any(word in raw for word in words)] == []


def test_two_builds_are_byte_for_byte_the_same(folder: Path, bundle: Path) -> None:
    again = folder / "again.edgemed"
    _run("bundle", "build", folder / "artifact", "--key", folder / "my.key", "--out", again)
    assert again.read_bytes() == bundle.read_bytes()


def _strict(folder: Path) -> Path:
    """Return the recipe with a margin that no model keeps: int8 would have to be better than float."""
    path = folder / "strict.yaml"
    path.write_text(RECIPE + "gate: {margin: 0.0}\n")
    return path


def test_model_outside_the_gate_ends_with_the_figures_and_no_artifact(
    folder: Path, trained: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgemed.training import fit

    # Whether the twin is trained decides nothing here.
    monkeypatch.setattr(fit, "fine_tune", lambda *given, **options: None)
    out = folder / "refused"
    words = ("--recipe", str(_strict(folder)), "--target", "generic-x86-64", "--out", str(out), "--json")
    code = main(["convert", str(trained["run"]), *words])
    captured = capsys.readouterr()
    figure = r"-?[01]\.\d{4} \[-?[01]\.\d{4}, -?[01]\.\d{4}\]"
    assert code == 3
    assert captured.out == ""
    assert re.search(
        rf"^edgemed: parity: AUC qat minus float {figure.replace('-?', '[+-]')}, expected a lower end above -0.*"
        rf"On the gate part, 48 of 96 validation images, 24 abnormal: AUC float {figure}, qat {figure}; \d+ decisions "
        r"flipped\. Train the quantized model longer, or validate on more images$",
        captured.err,
        re.MULTILINE,
    )
    flips = int(re.search(r"(\d+) decisions flipped", captured.err)[1])  # type: ignore[index]  # asserted above
    assert sum(line.startswith("flipped: ") for line in captured.err.splitlines()) == flips
    assert not out.exists()
    assert not list(folder.glob(".refused*"))


def _lenient(folder: Path) -> Path:
    """Return the recipe with a gate that lets pass what calibration alone makes of so small a network."""
    path = folder / "lenient.yaml"
    path.write_text(RECIPE + "gate: {margin: 0.9, significance: 1.0e-12}\n")
    return path


@pytest.mark.parametrize("mode", ["ptq", "float16", "float32"])
def test_other_modes_go_through_the_same_gate(folder: Path, trained: dict[str, Any], mode: str) -> None:
    out = folder / mode
    words = ("--recipe", _lenient(folder), "--mode", mode, "--target", "generic-x86-64", "--out", out)
    made = _run("convert", trained["run"], *words)
    assert (made["mode"], made["parity"]["passed"], made["parity"]["margin"]) == (mode, True, 0.9)
    assert made["parity"]["gate"] == {"n": 48, "n_abnormal": 24, "n_groups": 48}
    assert (out / "model" / f"{'int8' if mode == 'ptq' else mode}.tflite").is_file()


def test_bundle_of_a_float_model_is_refused_in_plain_words(
    folder: Path, trained: dict[str, Any], bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "float-only"
    made = _run("convert", trained["run"], "--mode", "float16", "--target", "generic-x86-64", "--out", out)
    assert made["admits"] == []
    assert (
        "a bundle needs an int8 model; model/float16.tflite is for comparison: convert with --mode qat or ptq for one\n"
        in made["stderr"]
    )
    code = main(["bundle", "build", str(out), "--key", str(folder / "my.key"), "--out", str(folder / "no.edgemed")])
    assert (code, capsys.readouterr().err) == (
        2,
        "edgemed: bundle: model/float16.tflite: expected a model among model/int8.tflite, model/edgetpu.tflite, "
        "model/qdq.onnx, model/float16.onnx; remove it, or convert with --mode qat or ptq\n",
    )


def test_saved_keras_model_is_converted_with_a_recipe_and_steps_of_its_own(
    folder: Path, trained: dict[str, Any]
) -> None:
    """The user's own way: a model file, a data folder, a recipe without a network, and the steps in a file."""
    head, _, tail = RECIPE.partition("preprocessing:")
    steps, _, rest = tail.partition("model: {")
    own, file = folder / "own.yaml", folder / "steps.yaml"
    own.write_text(head + rest[rest.index("augmentation:") :])
    file.write_text("\n".join(line.strip() for line in steps.strip().splitlines()))
    words = ("--data", folder / "data", "--recipe", own, "--preprocessing", file, "--mode", "float32")
    model = Path(trained["run"]) / "model.keras"
    made = _run("convert", model, *words, "--target", "generic-x86-64", "--out", folder / "own")
    same = _run(
        "convert", trained["run"], "--mode", "float32", "--target", "generic-x86-64", "--out", folder / "own-by-run"
    )
    assert made["parity"] == same["parity"]
    facts = json.loads((folder / "own" / "evidence" / "training.json").read_text())
    assert (facts["origin"], facts["history"], facts["quantization_epochs"]) == ("elsewhere", [], 0)
    assert "The float model was trained elsewhere" in (folder / "own" / "card.md").read_text()


def test_changed_data_are_not_mistaken_for_the_runs(
    folder: Path, trained: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    picture = folder / "data" / "train" / "plain" / "000.png"
    kept = picture.read_bytes()
    cv2.imwrite(str(picture), np.full((48, 40), 9, np.uint8))
    try:
        code = main(["convert", str(trained["run"]), "--target", "generic-x86-64", "--out", str(folder / "other")])
    finally:
        picture.write_bytes(kept)
    assert code == 2
    assert "the train images, labels or their preprocessing differ from those of the run" in capsys.readouterr().err
    assert not (folder / "other").exists()


def _convert_elsewhere(trained: dict[str, Any], out: Path) -> subprocess.Popen[str]:
    """Start a conversion in a process of its own, as a user's shell does."""
    command = [sys.executable, "-m", "edgemed", "convert", trained["run"], "--target", "generic-x86-64"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [*command, "--out", str(out), "--json"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.usefixtures("interruptible")
def test_conversion_that_was_interrupted_goes_on_and_ends_with_the_same_model(
    folder: Path, trained: dict[str, Any]
) -> None:
    with _convert_elsewhere(trained, folder / "uncut") as uncut:
        assert uncut.wait(timeout=600) == 0
    out, kept = folder / "cut", folder / ".cut.qat"
    with _convert_elsewhere(trained, out) as begun:
        while not (kept / "state.json").exists():
            assert begun.poll() is None
            time.sleep(0.02)
        begun.send_signal(signal.SIGINT)
        _, err = begun.communicate(timeout=600)
    assert begun.returncode == 130
    assert err.splitlines()[-2:] == [
        f"{kept}: whole epochs are kept; run the same command again to go on after them",
        "edgemed: interrupted",
    ]
    assert not out.exists()
    with _convert_elsewhere(trained, out) as again:
        _, err = again.communicate(timeout=600)
    assert again.returncode == 0
    assert re.search(r"^quantized epochs 1 to [1-6] of 6: kept from an interrupted conversion$", err, re.MULTILINE)
    for name in ("model/int8.tflite", "decision.json", "evidence/parity.json", "golden/vectors.json"):
        assert (out / name).read_bytes() == (folder / "uncut" / name).read_bytes()
    assert not kept.exists()
