from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgemed.errors import ConfigError, ImageError
from edgemed.imaging.frame import Frame
from edgemed.training import data
from edgemed.training import recipe as recipes
from edgemed.training.data import ClassFolders, Dataset, ManifestCsv, MedMnist, Splits
from edgemed.training.recipe import Recipe

MANIFEST = ManifestCsv(
    normal=("0",),
    abnormal=("1",),
    file="manifest.csv",
    images="images.zip",
    path="path",
    label="label",
    split="split",
    group="patient",
)


def _png(value: int) -> bytes:
    pixels = np.full((16, 16), value, np.uint8)
    pixels[: value % 16 + 1] = 0
    return cv2.imencode(".png", pixels)[1].tobytes()


@pytest.fixture
def manifest_folder(tmp_path: Path) -> Path:
    rows = ["path,label,split,patient"]
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for index in range(20):
            name = f"{index:02d}.png"
            archive.writestr(name, _png(40 + index))
            rows.append(f"{name},{index % 2},{'test' if index >= 16 else 'train'},p{index // 4}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def _synthetic(groups: list[str], labels: list[int], splits: list[str]) -> Dataset:
    def read(index: int) -> Frame:
        return Frame(
            pixels=np.random.default_rng(index).integers(0, 256, (32, 32)).astype(np.uint8), source="synthetic"
        )

    names = tuple(str(index) for index in range(len(groups)))
    return Dataset(names=names, labels=np.array(labels), groups=tuple(groups), splits=tuple(splits), read=read)


def test_manifest_reads_labels_groups_and_pixels_from_the_archive(manifest_folder: Path) -> None:
    dataset = data.load(MANIFEST, manifest_folder)
    assert dataset.labels.tolist() == [0, 1] * 10
    assert dataset.groups[:5] == ("p0", "p0", "p0", "p0", "p1")
    assert dataset.read(3).pixels[-1, 0] == 43


def test_manifest_without_a_column_names_the_near_one(manifest_folder: Path) -> None:
    import msgspec

    source = msgspec.structs.replace(MANIFEST, label="labell")
    with pytest.raises(ConfigError) as caught:
        data.load(source, manifest_folder)
    assert str(caught.value) == (
        f"{manifest_folder / 'manifest.csv'}: expected a column 'labell', got ['path', 'label', 'split', 'patient']; "
        "did you mean 'label'?"
    )


def test_image_missing_in_the_archive_is_named(manifest_folder: Path) -> None:
    path = manifest_folder / "manifest.csv"
    path.write_text(path.read_text() + "gone.png,1,train,p9\n")
    dataset = data.load(MANIFEST, manifest_folder)
    with pytest.raises(ImageError) as caught:
        dataset.read(20)
    assert str(caught.value) == "gone.png: listed in the manifest, but not readable in images.zip"


def test_missing_data_folder_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "none"
    with pytest.raises(ConfigError) as caught:
        data.load(MANIFEST, folder)
    assert str(caught.value) == f"{folder}: expected the folder of the data set, found none; check --data"


def test_npz_maps_labels_by_value(tmp_path: Path, rng: np.random.Generator) -> None:
    arrays = {}
    for split, count in {"train": 6, "val": 4, "test": 2}.items():
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        arrays[f"{split}_labels"] = np.arange(count, dtype=np.uint8)[:, np.newaxis] % 2
    np.savez(tmp_path / "set.npz", **arrays)
    dataset = data.load(MedMnist(normal=("1",), abnormal=("0",), file="set.npz"), tmp_path)
    assert dataset.labels.tolist() == [1, 0] * 6
    assert dataset.splits.count("val") == 4
    assert np.array_equal(dataset.read(7).pixels, arrays["val_images"][1])


def test_npz_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set.npz").write_bytes(b"not an archive")
    with pytest.raises(ConfigError, match=r"set\.npz: expected a MedMNIST npz, got a file that is not"):
        data.load(MedMnist(normal=("1",), abnormal=("0",), file="set.npz"), tmp_path)


def test_class_folders_take_split_and_class_from_the_path(blobs: Path) -> None:
    dataset = data.load(ClassFolders(normal=("plain",), abnormal=("blob",)), blobs)
    assert len(dataset.names) == 124
    assert int(dataset.labels.sum()) == 62
    assert set(dataset.splits) == {"train", "val", "test"}


def test_cut_validation_shares_no_patient_with_train() -> None:
    groups = [f"p{index // 3}" for index in range(120)]
    dataset = _synthetic(groups, [index // 3 % 2 for index in range(120)], ["train"] * 120)
    splits = Splits(train="train", validation=None, test="test", validation_fraction=0.25)
    division = data.divide(dataset, splits, seed=1)
    owners = np.array(groups)
    assert not set(owners[division.train]) & set(owners[division.validation])
    assert sorted([*division.train, *division.validation]) == list(range(120))
    assert 0.2 < len(division.validation) / 120 < 0.35


def test_given_validation_pulls_whole_groups_out_of_train() -> None:
    groups = ["a", "a", "b", "b", "c", "c", "d", "d"]
    dataset = _synthetic(groups, [0, 0, 1, 1, 0, 0, 1, 1], ["train", "val", "train", "val", *["train"] * 4])
    division = data.divide(dataset, Splits(train="train", validation="val", test="test"), seed=0)
    assert division.validation.tolist() == [0, 1, 2, 3]
    assert division.train.tolist() == [4, 5, 6, 7]
    assert division.moved == 2


def test_split_of_one_label_is_refused() -> None:
    dataset = _synthetic(list("abcdef"), [0, 1, 0, 1, 0, 0], ["train"] * 4 + ["val"] * 2)
    with pytest.raises(ConfigError) as caught:
        data.divide(dataset, Splits(train="train", validation="val", test="test"), seed=0)
    assert str(caught.value) == (
        "validation split: expected two normal and two abnormal images at least, got 2 normal and 0 abnormal; "
        "check the recipe's label and split columns"
    )


def test_near_duplicates_join_one_group(rng: np.random.Generator) -> None:
    first, other = (rng.integers(0, 256, (64, 64)).astype(np.uint8) for _ in range(2))
    frames = [first, other, np.clip(first.astype(int) + 3, 0, 255).astype(np.uint8)]
    dataset = Dataset(
        names=("0", "1", "2"),
        labels=np.array([0, 1, 0]),
        groups=("0", "1", "2"),
        splits=("train",) * 3,
        read=lambda index: Frame(pixels=frames[index], source=str(index)),
    )
    assert data.near_duplicate_groups(dataset, np.arange(3), limit=0.97) == ("0", "1", "0")


@pytest.mark.parametrize("name", recipes.available())
def test_real_division_keeps_groups_apart_and_leaves_test_alone(name: str, shared_data: Path) -> None:
    recipe = recipes.load(name)
    folder = shared_data / {"chest-xray": "chest_xray_224", "breast-ultrasound": "breast_ultrasound_256"}[name]
    dataset = data.load(recipe.data.source, folder)
    division = data.divide(dataset, recipe.data.splits, seed=recipe.fit.seed)
    counts = {"chest-xray": (4589, 627, 624), "breast-ultrasound": (506, 118, 156)}
    assert (len(division.train), len(division.validation), len(division.test)) == counts[name]
    groups = np.array(dataset.groups)
    assert not set(groups[division.train]) & set(groups[division.validation])
    assert {dataset.splits[index] for index in division.test} == {recipe.data.splits.test}


def test_digest_changes_with_a_label(blobs: Path, blob_recipe: Recipe) -> None:
    from dataclasses import replace

    dataset = data.load(blob_recipe.data.source, blobs)
    part = data.labelled_planes(dataset, np.arange(4), blob_recipe.preprocessing)
    assert data.digest(part) == data.digest(replace(part, planes=part.planes.copy()))
    assert data.digest(part) != data.digest(replace(part, labels=1 - part.labels))
