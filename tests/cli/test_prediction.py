from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgemed.benchmark import document
from edgemed.cli import main, prediction
from edgemed.errors import BundleError, ConfigError, TargetMismatchError
from tests.runtime import tiny

MODEL = str(tiny.MODEL_PATH)


def test_prediction_is_called_one_and_shows_range_and_errors(capsys: pytest.CaptureFixture[str]) -> None:
    prediction.show(MODEL, "raspberry-pi-4")

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "prediction  no measurement: from published figures of other networks"
    assert any("as sold, threads not stated" in line and " to " in line and " ms" in line for line in lines)
    (row,) = [line for line in lines if "ssd_mobilenet_v2_300" in line]
    assert [cell.strip() for cell in row.split("│")[3:6]] == ["113", "-34%", "-46%"]
    assert any(line.startswith("error ") and "with their network left out" in line for line in lines)


def test_document_is_printed_and_saved(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    saved = tmp_path / "predicted.json"

    prediction.show(MODEL, "raspberry-pi-5", json=True, save=saved)

    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(saved.read_text())
    assert list(printed)[:3] == ["schema_version", "kind", "measured"]
    assert printed["model"]["name"] == "tiny_int8.tflite"


def test_shipped_bundle_is_named_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    prediction.show("chest-xray", "coral-usb", json=True)

    found = json.loads(capsys.readouterr().out)
    assert found["model"]["name"] == "chest-xray, model/int8.tflite"
    assert found["work"]["multiply_adds"] > 1e7


def test_bundle_file_is_verified_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path = tmp_path / "a.edgemed"
    path.write_bytes(tiny.raw_bundle(tiny.model()))

    with pytest.raises(BundleError, match=r"^no trusted key was given"):
        prediction.show(str(path), "coral-usb")


def test_missing_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "none.tflite"

    with pytest.raises(ConfigError) as caught:
        prediction.show(str(path), "coral-usb")

    expected = f"{path}: cannot be read: No such file or directory; check the path and its permissions"
    assert str(caught.value) == expected


def test_unknown_device_suggests_the_near_one() -> None:
    with pytest.raises(ConfigError, match=r"got 'coral-usp'; did you mean 'coral-usb'\?$"):
        prediction.show(MODEL, "coral-usp")


def test_this_machine_is_to_be_measured() -> None:
    with pytest.raises(TargetMismatchError, match=r"^generic-x86-64: nothing is predicted for it: it is any machine"):
        prediction.show(MODEL, "generic-x86-64")


def test_command_predicts_instead_of_measuring(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    saved = tmp_path / "predicted.json"

    assert main(["benchmark", MODEL, "--predict", "coral-dev-board", "--save", str(saved)]) == 0

    assert capsys.readouterr().out.startswith("prediction  no measurement: ")
    assert json.loads(saved.read_text())["kind"] == "prediction"


def test_prediction_is_no_measurement_to_compare_with(tmp_path: Path) -> None:
    saved = tmp_path / "predicted.json"
    prediction.show(MODEL, "coral-usb", save=saved)

    with pytest.raises(ConfigError) as caught:
        document.read(saved)

    expected = "kind: expected 'measurement', got 'prediction'; give what 'edgemed benchmark --save' wrote"
    assert str(caught.value) == f"{saved}: {expected}"


def test_options_of_a_measurement_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", MODEL, "--predict", "coral-usb", "--compare", "before.json"]) == 2

    said = "edgemed: --predict: predicts, and --compare is about what is measured; leave one of the two away\n"
    assert capsys.readouterr().err == said


def test_prediction_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        prediction.show(None, "coral-usb")

    assert str(caught.value) == (
        "--predict: expected a bundle or a .tflite file, got none; name one, for instance breast-ultrasound or "
        "chest-xray"
    )
