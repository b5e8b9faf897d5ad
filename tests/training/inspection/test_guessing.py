from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from edgemed.errors import ConfigError
from edgemed.training.inspection import Given, by_recipe, guess
from edgemed.training.recipe import Recipe
from tests.training.inspection.made import noise


@pytest.fixture
def table(tmp_path: Path) -> Callable[[str, str], Path]:
    """Return a function that writes a manifest of four pictures with more columns, and gives its folder."""

    def write(header: str, cells: str) -> Path:
        rows = [f"path,{header}"]
        for index in range(4):
            cv2.imwrite(str(tmp_path / f"{index}.png"), noise(index))
            rows.append(f"{index}.png,{cells.format(index % 2, index)}")
        (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
        return tmp_path

    return write


def test_columns_are_taken_by_their_names_and_said(table: Callable[[str, str], Path]) -> None:
    folder = table("label,subtype,split,patient_id,age,Site", "{0},x,val,p{1},6{1},north")
    found = guess(folder, Given())
    assert (found.form, found.label_names, found.roles) == ("manifest", ("0", "1"), {"validation": "val"})
    assert found.listing.groups == ("p0", "p1", "p2", "p3")
    assert found.listing.attributes == {"age_band": ("60-69",) * 4, "site": ("north",) * 4}
    assert found.assumed == (
        "manifest.csv: path names the image, label the label, split the split",
        "patients: patient_id",
        "attributes: age, Site",
    )
    assert np.array_equal(found.listing.read(2).pixels, noise(2))


def test_file_of_the_data_set_may_be_given_itself(table: Callable[[str, str], Path]) -> None:
    folder = table("label", "{0}")
    assert guess(folder / "manifest.csv", Given()).listing.names == guess(folder, Given()).listing.names


AMBIGUOUS = {
    "label": (
        "class,malignant",
        "class and malignant could all be it; say which with --label COLUMN, or give a recipe with --recipe",
    ),
    "split": (
        "label,a_split,b_split",
        "a_split and b_split could all be it; say which with --split COLUMN, or give a recipe with --recipe",
    ),
    "patient": (
        "label,patient,case",
        "patient and case could all be it; say which with --patient COLUMN, or give a recipe with --recipe",
    ),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_columns_that_could_both_be_meant_are_refused(name: str, table: Callable[[str, str], Path]) -> None:
    header, words = AMBIGUOUS[name]
    folder = table(header, ",".join("{0}" for _ in header.split(",")))
    with pytest.raises(ConfigError) as caught:
        guess(folder, Given())
    assert str(caught.value) == f"{folder / 'manifest.csv'}: expected one column of the {name}, but {words}"
    given = {name: header.split(",")[-1]}
    assert len(guess(folder, Given(**given)).listing.names) == 4


def test_column_that_is_given_must_exist(table: Callable[[str, str], Path]) -> None:
    folder = table("label,subtype", "{0},x")
    with pytest.raises(ConfigError) as caught:
        guess(folder, Given(label="subtyp"))
    assert str(caught.value) == (
        f"{folder / 'manifest.csv'}: expected a column 'subtyp', got ['path', 'label', 'subtype']; did you mean "
        "'subtype'?"
    )


def test_class_folders_and_npz_are_found_by_looking(blobs: Path, tmp_path: Path) -> None:
    found = guess(blobs, Given())
    assert (found.form, found.label_names, len(found.listing.names)) == ("folders", ("blob", "plain"), 124)
    assert found.roles == {"train": "train", "validation": "val", "test": "test"}
    arrays = {f"{split}_images": np.zeros((2, 8, 8), np.uint8) for split in ("train", "val", "test")}
    np.savez(tmp_path / "set.npz", **arrays, **{f"{split}_labels": np.arange(2) for split in ("train", "val", "test")})
    assert guess(tmp_path, Given()).form == guess(tmp_path / "set.npz", Given()).form == "npz"


def test_manifest_beside_an_npz_is_ambiguous(table: Callable[[str, str], Path]) -> None:
    folder = table("label", "{0}")
    np.savez(folder / "set.npz", train_images=np.zeros(1))
    with pytest.raises(ConfigError) as caught:
        guess(folder, Given())
    assert str(caught.value) == (
        f"{folder}: expected one data set, found set.npz, manifest.csv; give the path of one of the files"
    )
    assert guess(folder, Given(kind="manifest")).form == "manifest"


def test_folder_without_a_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        guess(tmp_path, Given())
    assert str(caught.value) == (
        f"{tmp_path}: expected a manifest CSV, an npz, folders SPLIT/CLASS/image, or DICOM files with a CSV, found "
        "none; write a recipe that says where labels are, and give it with --recipe"
    )


def test_unknown_form_suggests_the_near_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        guess(tmp_path, Given(kind="folder"))
    assert str(caught.value) == (
        "--source: expected one of manifest, npz, folders, dicom, got 'folder'; did you mean 'folders'?"
    )


def test_path_that_is_no_data_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ConfigError, match=r"a\.txt: expected a folder, a \.csv or a \.npz, got another file; give"):
        guess(tmp_path / "a.txt", Given())
    with pytest.raises(ConfigError, match=r"none: expected the folder of the data set, found none; check the path"):
        guess(tmp_path / "none", Given())


def test_column_of_thousands_of_values_is_no_label(table: Callable[[str, str], Path]) -> None:
    folder = table("label", "{0}")
    rows = [f"{index}.png,v{index}" for index in range(100)]
    (folder / "manifest.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    with pytest.raises(ConfigError) as caught:
        guess(folder, Given())
    assert str(caught.value) == f"{folder}: label: expected up to 64 values, got 100; name its column with --label"


def test_recipe_tells_labels_and_roles_and_keeps_values_it_does_not_list(blobs: Path, blob_recipe: Recipe) -> None:
    source = msgspec.structs.replace(blob_recipe.data.source, normal=("smooth",))
    recipe = msgspec.structs.replace(blob_recipe, data=msgspec.structs.replace(blob_recipe.data, source=source))
    found = by_recipe(recipe, blobs)
    assert (found.form, found.label_names) == ("folders", ("plain", "blob"))
    assert found.meaning == {"smooth": "plain", "blob": "blob"}
    assert found.roles == {"train": "train", "validation": "val", "test": "test"}
    assert set(found.listing.values) == {"plain", "blob"}
