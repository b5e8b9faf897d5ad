from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgemed.errors import ConfigError, EdgemedError, ImageError
from edgemed.training import sources
from edgemed.training.data import Dataset
from edgemed.training.sources import ClassFolders, ManifestCsv, MedMnist

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


def test_manifest_reads_labels_groups_and_pixels_from_the_archive(manifest_folder: Path) -> None:
    dataset = sources.load(MANIFEST, manifest_folder)
    assert dataset.labels.tolist() == [0, 1] * 10
    assert dataset.groups[:5] == ("p0", "p0", "p0", "p0", "p1")
    assert dataset.read(3).pixels[-1, 0] == 43


def test_manifest_without_a_column_names_the_near_one(manifest_folder: Path) -> None:
    source = msgspec.structs.replace(MANIFEST, label="labell")
    with pytest.raises(ConfigError) as caught:
        sources.load(source, manifest_folder)
    assert str(caught.value) == (
        f"{manifest_folder / 'manifest.csv'}: expected a column 'labell', got ['path', 'label', 'split', 'patient']; "
        "did you mean 'label'?"
    )


def test_image_missing_in_the_archive_is_named(manifest_folder: Path) -> None:
    path = manifest_folder / "manifest.csv"
    path.write_text(path.read_text() + "gone.png,1,train,p9\n")
    dataset = sources.load(MANIFEST, manifest_folder)
    with pytest.raises(ImageError) as caught:
        dataset.read(20)
    assert str(caught.value) == "gone.png: listed in the manifest, but not readable in images.zip"


def test_missing_data_folder_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "none"
    with pytest.raises(ConfigError) as caught:
        sources.load(MANIFEST, folder)
    assert str(caught.value) == f"{folder}: expected the folder of the data set, found none; check --data"


def test_npz_maps_labels_by_value(tmp_path: Path, rng: np.random.Generator) -> None:
    arrays = {}
    for split, count in {"train": 6, "val": 4, "test": 2}.items():
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        arrays[f"{split}_labels"] = np.arange(count, dtype=np.uint8)[:, np.newaxis] % 2
    np.savez(tmp_path / "set.npz", **arrays)
    dataset = sources.load(MedMnist(normal=("1",), abnormal=("0",), file="set.npz"), tmp_path)
    assert dataset.labels.tolist() == [1, 0] * 6
    assert dataset.splits.count("val") == 4
    assert np.array_equal(dataset.read(7).pixels, arrays["val_images"][1])


def test_npz_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set.npz").write_bytes(b"not an archive")
    with pytest.raises(ConfigError, match=r"set\.npz: expected a MedMNIST npz, got a file that is not"):
        sources.load(MedMnist(normal=("1",), abnormal=("0",), file="set.npz"), tmp_path)


def test_class_folders_take_split_and_class_from_the_path(blobs: Path) -> None:
    dataset = sources.load(ClassFolders(normal=("plain",), abnormal=("blob",)), blobs)
    assert len(dataset.names) == 124
    assert int(dataset.labels.sum()) == 62
    assert set(dataset.splits) == {"train", "val", "test"}


MANIFEST_FAULTS = {
    "unknown label": (
        "05.png,1,train,p1",
        "05.png,yes,train,p1",
        "line 7: label: expected one of ['0', '1'], got 'yes'",
    ),
    "empty patient": ("05.png,1,train,p1", "05.png,1,train,", "line 7: expected a value for patient, got none"),
    "short row": ("05.png,1,train,p1", "05.png,1", "line 7: expected a value for split, patient, got none"),
}


@pytest.mark.parametrize("case", MANIFEST_FAULTS.values(), ids=MANIFEST_FAULTS.keys())
def test_manifest_row_at_fault_is_named_by_its_line(case: tuple[str, str, str], manifest_folder: Path) -> None:
    right, wrong, words = case
    path = manifest_folder / "manifest.csv"
    assert right in path.read_text()
    path.write_text(path.read_text().replace(right, wrong))
    with pytest.raises(ConfigError) as caught:
        sources.load(MANIFEST, manifest_folder)
    assert str(caught.value) == f"{path}: {words}"


def test_image_listed_twice_is_refused(manifest_folder: Path) -> None:
    path = manifest_folder / "manifest.csv"
    path.write_text(path.read_text() + "03.png,1,test,p9\n")
    with pytest.raises(ConfigError) as caught:
        sources.load(MANIFEST, manifest_folder)
    assert str(caught.value) == (
        f"{manifest_folder}: expected every image once, 1 are listed again; remove the repeated rows"
    )


def test_byte_order_mark_of_a_spreadsheet_is_read_over(manifest_folder: Path) -> None:
    path = manifest_folder / "manifest.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(sources.load(MANIFEST, manifest_folder).names) == 20


def test_encrypted_archive_names_the_image(manifest_folder: Path) -> None:
    path = manifest_folder / "images.zip"
    raw = bytearray(path.read_bytes())
    # Bit 0 of the general purpose flag, in the local header and in the central directory.
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    with pytest.raises(ImageError, match=r"^00\.png: listed in the manifest, but not readable in images\.zip$"):
        sources.load(MANIFEST, manifest_folder).read(0)


def test_clip_behind_one_label_is_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    (tmp_path / "train" / "blob").mkdir(parents=True)
    np.save(tmp_path / "train" / "blob" / "clip.npy", rng.integers(0, 256, (3, 16, 16)).astype(np.uint8))
    dataset = sources.load(ClassFolders(normal=("plain",), abnormal=("blob",)), tmp_path)
    with pytest.raises(ImageError, match=r"^train/blob/clip\.npy: expected one frame for its label, got several"):
        dataset.read(0)


def test_class_that_the_recipe_does_not_list_suggests_the_near_one(blobs: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"label: expected one of \['plane', 'blob'\], got 'plain'; did you mean 'plane'\?"
    ):
        sources.load(ClassFolders(normal=("plane",), abnormal=("blob",)), blobs)


def test_label_value_in_both_lists_is_refused() -> None:
    with pytest.raises(ValueError, match="normal and abnormal: both list"):
        MedMnist(normal=("0", "1"), abnormal=("1",), file="set.npz")


def _npz_fault(name: str, folder: Path) -> None:
    path = folder / "set.npz"
    if name == "bare array":
        with path.open("wb") as stream:
            np.save(stream, np.zeros(3))
    elif name == "empty file":
        path.write_bytes(b"")
    else:
        empty = {f"{split}_images": np.zeros((2, 0, 0), np.uint8) for split in ("train", "val", "test")}
        np.savez(path, **empty, **{key.replace("images", "labels"): np.zeros((2, 1)) for key in empty})


@pytest.mark.parametrize("name", ["bare array", "empty file", "pictures without pixels"])
def test_damaged_npz_is_a_config_error(name: str, tmp_path: Path) -> None:
    _npz_fault(name, tmp_path)
    with pytest.raises(ConfigError, match=r"set\.npz: expected a MedMNIST npz, got a file that is not"):
        sources.load(MedMnist(normal=("1",), abnormal=("0",), file="set.npz"), tmp_path)


@given(st.binary(max_size=200) | st.text('path,label\n"01x;', max_size=80).map(str.encode))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_manifest_is_a_data_set_or_an_error(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "manifest.csv").write_bytes(raw)
    source = ManifestCsv(
        normal=("0",),
        abnormal=("1",),
        file="manifest.csv",
        images=None,
        path="path",
        label="label",
        split="label",
        group=None,
    )
    try:
        assert isinstance(sources.load(source, tmp_path), Dataset)
    except EdgemedError as error:
        assert str(error)


@given(st.binary(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_npz_is_a_data_set_or_an_error(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "set.npz").write_bytes(raw)
    try:
        assert isinstance(sources.load(MedMnist(normal=("1",), abnormal=("0",), file="set.npz"), tmp_path), Dataset)
    except EdgemedError as error:
        assert str(error)


def test_manifest_attributes_come_from_named_columns(manifest_folder: Path) -> None:
    path = manifest_folder / "manifest.csv"
    header, *rows = path.read_text().splitlines()
    cells = [f"{row},{'' if index == 1 else 'north'},{60 + index}" for index, row in enumerate(rows)]
    path.write_text("\n".join([f"{header},hospital,age", *cells]) + "\n")
    source = msgspec.structs.replace(MANIFEST, attributes={"site": "hospital", "age_band": "age"})
    dataset = sources.load(source, manifest_folder)
    assert dataset.attributes["site"][:3] == ("north", None, "north")
    assert dataset.attributes["age_band"][9:11] == ("60-69", "70-79")
    with pytest.raises(ConfigError, match=r"expected a column 'hospitl', got .*; did you mean 'hospital'\?"):
        sources.load(msgspec.structs.replace(source, attributes={"site": "hospitl"}), manifest_folder)


def test_manifest_without_a_split_puts_every_image_into_one(manifest_folder: Path) -> None:
    dataset = sources.load(msgspec.structs.replace(MANIFEST, split=None), manifest_folder)
    assert set(dataset.splits) == {"all"}


def test_classes_give_indices_in_the_order_of_the_labels(blobs: Path) -> None:
    source = ClassFolders(classes={"disc": ("blob",), "nothing": ("plain",)})
    dataset = sources.load(source, blobs, labels=("nothing", "disc"))
    assert [dataset.label_names[label] for label in dataset.labels[[0, -1]]] == ["disc", "nothing"]
    assert dataset.abnormal.tolist() == (dataset.labels == 1).tolist()
    with pytest.raises(ConfigError) as caught:
        sources.load(source, blobs, labels=("nothing", "ring"))
    assert (
        str(caught.value) == "labels: expected those of the data source, ['disc', 'nothing'], got ['nothing', 'ring']"
    )


CLASSES = {
    "both ways": (
        {"normal": ("a",), "abnormal": ("b",), "classes": {"x": ("a",), "y": ("b",)}},
        "expected either normal",
    ),
    "half of one": ({"normal": ("a",)}, "expected either normal"),
    "one class": ({"classes": {"x": ("a",)}}, "classes: expected two labels at least, got ['x']"),
    "one value twice": ({"classes": {"x": ("a",), "y": ("a",)}}, "classes: several list ['a']"),
}


@pytest.mark.parametrize("name", CLASSES)
def test_label_values_must_have_one_meaning(name: str) -> None:
    fields, words = CLASSES[name]
    with pytest.raises(ValueError) as caught:
        ClassFolders(**fields)  # type: ignore[arg-type]  # mypy would see the fault
    assert str(caught.value).startswith(words)
