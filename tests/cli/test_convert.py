from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from converters.artifact import Artifact
from converters.parity import Flip
from edgemed import files, schema
from edgemed.bundle.manifest import ArtifactDocument
from edgemed.cli import conversions, convert, main
from edgemed.training import recipe as recipes
from edgemed.training import run as runs
from tests.converters.test_scaling import document
from tests.runtime import tiny
from tests.training import blobs

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run folder whose training stopped after the first of three epochs."""
    folder = tmp_path / "run"
    folder.mkdir()
    begun = runs.Run(
        schema=1,
        recipe=recipes.parse(blobs.RECIPE.encode(), source="blobs.yaml"),
        data_path=str(tmp_path / "data"),
        train_images=64,
        train_digest=files.sha256(b"train"),
        validation_images=40,
        validation_digest=files.sha256(b"validation"),
        moved_to_validation=0,
        pretrained_sha256=None,
        versions={},
        history=(runs.Epoch(epoch=0, loss=0.5, validation_auc=0.9),),
        best_epoch=0,
    )
    (folder / "run.json").write_bytes(schema.encode_json(begun))
    return folder


def _refused(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    code = main(["convert", *map(str, words)])
    return code, capsys.readouterr().err


def test_unfinished_run_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _refused(capsys, run, "--target", "generic-x86-64", "--out", tmp_path / "out")
    assert found == (2, f"edgemed: {run}: trained for 1 of 3 epochs; finish it with edgemed train --resume\n")


def test_unknown_target_is_refused_with_the_near_one(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, err = _refused(capsys, run, "--target", "coral-usbb", "--out", tmp_path / "out")
    assert code == 2
    assert "did you mean 'coral-usb'?" in err


def test_folder_without_a_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, err = _refused(capsys, tmp_path, "--target", "generic-x86-64", "--out", tmp_path / "out")
    assert (code, err) == (
        2,
        f"edgemed: {tmp_path}: expected a run folder with run.json, found none; make one with edgemed train\n",
    )


def test_taken_place_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, err = _refused(capsys, run, "--target", "generic-x86-64", "--out", run)
    assert code == 2
    assert "expected a new folder or an older artifact, found something else; choose another --out" in err


def test_unwritable_place_is_refused_before_the_work(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = Path("/proc/artifact")
    assert _refused(capsys, run, "--target", "generic-x86-64", "--out", out) == (
        2,
        f"edgemed: {out}: cannot be written: No such file or directory; choose another --out\n",
    )


def test_peer_that_cannot_run_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun = runs.read(run)
    epochs = tuple(runs.Epoch(epoch=index, loss=0.5, validation_auc=0.9) for index in range(3))
    (run / "run.json").write_bytes(schema.encode_json(msgspec.structs.replace(begun, history=epochs)))
    peer = tmp_path / "no-python"
    words = ("--target", "generic-x86-64", "--out", tmp_path / "out", "--peer-python", peer)
    code, err = _refused(capsys, run, *words)
    assert (code, err) == (4, f"edgemed: {peer}: cannot be run: No such file or directory; check --peer-python\n")


def test_cheap_refusals_come_before_tensorflow_is_loaded(run: Path, tmp_path: Path) -> None:
    words = ["convert", str(run), "--target", "generic-x86-64", "--out", str(tmp_path / "out")]
    program = (
        f"import sys; from edgemed.cli import main; code = main({words!r});"
        "print(code, [name for name in ('tensorflow', 'keras', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "2 []\n"


@pytest.fixture
def keras_file(tmp_path: Path) -> Path:
    """Return a file that has the form of a saved Keras model of plain layers; nothing here loads it."""
    return _keras_file(tmp_path / "model.keras", {"class_name": "Dense", "module": "keras.layers", "config": {}})


def _keras_file(path: Path, layer: dict[str, Any]) -> Path:
    config = {"module": "keras", "class_name": "Sequential", "config": {"layers": [layer]}, "registered_name": None}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
    return path


def test_model_without_data_is_refused(keras_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _refused(capsys, keras_file, "--target", "generic-x86-64", "--out", tmp_path / "out")
    assert found == (
        2,
        f"edgemed: --data: required with {keras_file}: the folder of the labelled images that calibrate, train and "
        "judge the quantized model\n",
    )


def test_model_without_recipe_is_refused(keras_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--target", "generic-x86-64", "--out", tmp_path / "out", "--data", tmp_path)
    assert _refused(capsys, keras_file, *words) == (
        2,
        f"edgemed: --recipe: required with {keras_file}: a YAML file that names the data's labels and splits, the "
        "quantization and the operating point; a copy of a shipped recipe without its part model is a start\n",
    )


def _recipe_without_steps(folder: Path) -> Path:
    head, _, tail = blobs.RECIPE.partition("preprocessing:")
    path = folder / "own.yaml"
    path.write_text(head + tail[tail.index("model: {") :])
    return path


def test_model_without_preprocessing_is_refused(
    keras_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--target", "generic-x86-64", "--out", tmp_path / "out", "--data", tmp_path)
    recipe = _recipe_without_steps(tmp_path)
    assert _refused(capsys, keras_file, *words, "--recipe", recipe) == (
        2,
        "edgemed: own.yaml: preprocessing: required key is missing; add the steps, or give them to edgemed convert "
        "with --preprocessing\n",
    )


def test_wrong_preprocessing_is_refused_with_its_place(
    keras_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = tmp_path / "steps.yaml"
    steps.write_text("schema: 1\nheight: 32\nwidht: 32\nsteps: [{step: resize, method: area, fit: stretch}]\n")
    words = ("--target", "generic-x86-64", "--out", tmp_path / "out", "--data", tmp_path, "--preprocessing", steps)
    assert _refused(capsys, keras_file, *words, "--recipe", _recipe_without_steps(tmp_path)) == (
        2,
        f"edgemed: {steps}: widht: unknown key; did you mean 'width'?\n",
    )


def test_preprocessing_of_a_run_is_its_own(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--target", "generic-x86-64", "--out", tmp_path / "out", "--preprocessing", tmp_path / "steps.json")
    assert _refused(capsys, run, *words) == (
        2,
        f"edgemed: --preprocessing: {run} is a run, whose model knows its input; leave the option out, or give "
        f"{run / 'model.keras'} with --data and --recipe\n",
    )


def test_empty_input_range_is_refused(keras_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--target", "generic-x86-64", "--out", tmp_path / "out", "--data", tmp_path, "--recipe", "chest-xray")
    assert _refused(capsys, keras_file, *words, "--input-range", "1", "-1") == (
        2,
        "edgemed: --input-range: expected two finite numbers, the lower first, got 1 -1\n",
    )


def test_model_that_brings_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _keras_file(
        tmp_path / "model.keras", {"class_name": "Lambda", "module": "keras.layers", "config": {"name": "scale"}}
    )
    assert _refused(capsys, path, "--target", "generic-x86-64", "--out", tmp_path / "out") == (
        4,
        f"edgemed: {path}: expected layers of Keras only, got the Lambda layer scale: code that comes with a model is "
        "not run; build the model from Keras layers and save it again\n",
    )


def test_missing_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "absent.keras"
    assert _refused(capsys, path, "--target", "generic-x86-64", "--out", tmp_path / "out") == (
        2,
        f"edgemed: {path}: expected a run folder or a saved Keras model, found none; check the path\n",
    )


def test_unknown_mode_is_a_usage_error(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, err = _refused(capsys, run, "--target", "generic-x86-64", "--out", tmp_path / "out", "--mode", "int4")
    assert code == 2
    assert "'int4' is not one of 'qat', 'ptq', 'float16', 'float32'" in err


def test_peers_of_a_float_model_are_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun = runs.read(run)
    epochs = tuple(runs.Epoch(epoch=index, loss=0.5, validation_auc=0.9) for index in range(3))
    (run / "run.json").write_bytes(schema.encode_json(msgspec.structs.replace(begun, history=epochs)))
    words = ("--target", "generic-x86-64", "--out", tmp_path / "out", "--mode", "float16", "--peer-python", "python3")
    assert _refused(capsys, run, *words) == (
        2,
        "edgemed: --peer-python: measures int8 models, not --mode float16; leave one of the two out\n",
    )


def test_answers_of_folds_that_are_missing_are_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = _refused(
        capsys, _finished(run), "--target", "generic-x86-64", "--out", tmp_path / "out", "--out-of-fold", "x.json"
    )
    assert found == (
        2,
        "edgemed: x.json: cannot be read: No such file or directory; check the path and its permissions\n",
    )


def test_answers_of_folds_beside_a_run_are_taken(run: Path) -> None:
    finished = _finished(run)
    assert _source(finished).out_of_fold is None
    (finished / "out_of_fold.json").write_bytes(
        schema.encode_json(document(np.random.default_rng(1), slopes=(1.0, 1.1)))
    )
    found = _source(finished).out_of_fold
    assert found is not None
    assert (found.folds, len(found.answers)) == (2, 400)


def _finished(run: Path) -> Path:
    begun = runs.read(run)
    history = tuple(runs.Epoch(epoch=epoch, loss=0.5, validation_auc=0.9) for epoch in range(begun.recipe.fit.epochs))
    (run / "run.json").write_bytes(schema.encode_json(msgspec.structs.replace(begun, history=history)))
    return run


def _source(run: Path) -> conversions.Source:
    return conversions.source(run, data=None, recipe=None, preprocessing=None)


def _artifact(flips: int) -> Artifact:
    return Artifact(
        description=ArtifactDocument(
            name="tiny",
            task="classify",
            intended_use="Tests.",
            modalities=("US",),
            body_part="PHANTOM",
            labels=("plain", "blob"),
            targets=("generic-x86-64",),
            outputs=("logit",),
        ),
        members={"model/int8.tflite": b"m", **{f"golden/0{number}.plane.png": b"" for number in range(4)}},
        reports={},
        report=None,  # type: ignore[arg-type]  # nothing here asks for it
        flips=tuple(
            Flip(name=f"{index}.png", abnormal=index == 0, score_float=0.6, score_converted=0.3, alert=False)
            for index in range(flips)
        ),
        rule=tiny.rule(b"m"),
        notes=("coral-usb needs model/edgetpu.tflite",),
    )


@pytest.mark.parametrize(
    ("flips", "lines"),
    [
        pytest.param(0, [], id="none"),
        pytest.param(
            2,
            [
                "flipped: 0.png (abnormal): alert 0.6000 by float, clear 0.3000 converted",
                "flipped: 1.png (normal): alert 0.6000 by float, clear 0.3000 converted",
            ],
            id="two",
        ),
    ],
)
def test_every_flipped_image_is_named_with_both_scores(flips: int, lines: list[str]) -> None:
    assert convert._notes(_artifact(flips)) == [
        "4 source pictures of validation travel in golden/, with any text burned into their pixels",
        *lines,
        "coral-usb needs model/edgetpu.tflite",
    ]


def test_no_flip_of_many_is_left_out() -> None:
    assert sum(line.startswith("flipped: ") for line in convert._notes(_artifact(120))) == 120
