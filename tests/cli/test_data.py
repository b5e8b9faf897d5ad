from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgemed.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return class folders with one picture in train and test alike, and one that is cut short."""
    place = tmp_path_factory.mktemp("set")
    rng = np.random.default_rng(5)
    for split in ("train", "test"):
        for label in ("normal", "sick"):
            (place / split / label).mkdir(parents=True)
            for index in range(3):
                pixels = rng.integers(0, 200, (32, 32)).astype(np.uint8)
                cv2.imwrite(str(place / split / label / f"DOE-{index}.png"), pixels)
    (place / "test/sick/DOE-1.png").write_bytes((place / "train/sick/DOE-1.png").read_bytes())
    (place / "train/normal/DOE-2.png").write_bytes((place / "train/normal/DOE-2.png").read_bytes()[:50])
    return place


def test_check_shows_counts_findings_and_what_to_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(folder)]) == 0
    shown = capsys.readouterr()
    assert "taken for  folders: SPLIT/CLASS/image" in shown.out
    assert "│ train │ normal │ 3      │ -        │" in shown.out
    assert "1 of 12 images cannot be read: train/normal/DOE-2.png" in shown.out
    assert "1 group of identical pictures across splits, 1 of them with test (1 train-test)" in shown.out
    assert shown.err == (
        f"unreadable: {folder}/train/normal/DOE-2.png: PNG ends inside a chunk; the file is cut short or damaged, copy "
        "it again\n"
        "2 errors, 2 warnings, 2 notes; look at them with --sheet check.png\n"
    )


def test_document_starts_with_its_version_and_holds_no_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(folder), "--json"]) == 0
    out = capsys.readouterr().out
    document = json.loads(out)
    assert next(iter(document)) == "schema_version"
    assert document["summary"] == {"error": 2, "warning": 2, "note": 2}
    assert "DOE" not in out
    unreadable = next(one for one in document["findings"] if one["kind"] == "unreadable")
    # test/normal 1-3, test/sick 4-6, train/normal 7-9
    assert unreadable["images"] == [9]


def test_strict_ends_with_the_code_of_a_gate(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(folder), "--strict"]) == 3
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"edgemed: {folder}: expected no finding of severity error, got repeated-across-splits, unreadable; see the "
        "findings"
    )


def test_sheet_and_document_are_written(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "found"
    assert main(["data", "check", str(folder), "--sheet", str(tmp_path / "a.png"), "--out", str(out), "--json"]) == 0
    assert cv2.imread(str(tmp_path / "a.png")) is not None
    assert (out / "sheet.png").read_bytes() == (tmp_path / "a.png").read_bytes()
    assert json.loads((out / "check.json").read_text()) == json.loads(capsys.readouterr().out)


def test_recipe_and_columns_exclude_each_other(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(folder), "--recipe", "chest-xray", "--label", "class"]) == 2
    assert capsys.readouterr().err == (
        "edgemed: --recipe: says where labels, splits and patients stand; drop --source and the columns\n"
    )


def test_place_that_cannot_be_written_is_said(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("x")
    assert main(["data", "check", str(folder), "--out", str(tmp_path / "file"), "--json"]) == 2
    assert capsys.readouterr().err == (
        f"edgemed: --out: {tmp_path / 'file'}: cannot be made: File exists; choose another folder\n"
    )


def test_missing_path_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err == (
        f"edgemed: {tmp_path / 'none'}: expected the folder of the data set, found none; check the path\n"
    )
