from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgemed.errors import ConfigError, ImageError
from edgemed.training import inspection, sources
from edgemed.training.sources import DicomFolder, ages

pydicom = pytest.importorskip("pydicom")

SOURCE = DicomFolder(
    normal=("0",),
    abnormal=("1",),
    file="labels.csv",
    path="file",
    label="finding",
    split="split",
    attributes=("device", "sex", "age_band", "site", "burned_in"),
)
PEOPLE = ("DOE^JANE", "A-4711", "St. Elsewhere")


def _write(folder: Path, name: str, level: int, **tags: Any) -> str:
    """Write a small secondary capture and return its SOP Instance UID."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[name])
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.Modality, dataset.PhotometricInterpretation = "DX", "MONOCHROME2"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 16, 16, 1
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = np.full((16, 16), level, np.uint8).tobytes()
    dataset.PatientName, dataset.InstitutionName = PEOPLE[0], PEOPLE[2]
    with pydicom.config.disable_value_validation():
        for keyword, value in tags.items():
            setattr(dataset, keyword, value)
        dataset.save_as(folder / name, enforce_file_format=True)
    return str(dataset.SOPInstanceUID)


@pytest.fixture
def dicoms(tmp_path: Path) -> tuple[Path, list[str]]:
    """Return a folder of four files of two patients and one without, and their UIDs."""
    tags: list[dict[str, Any]] = [
        {"PatientID": PEOPLE[1], "PatientAge": "067Y", "PatientSex": "F", "Manufacturer": "ACME"},
        {"PatientID": PEOPLE[1], "StudyInstanceUID": "1.2.3", "ManufacturerModelName": "X1", "PatientAge": "about 60"},
        {"PatientID": "B-1", "PatientAge": "018M", "BurnedInAnnotation": "YES"},
        {"StudyInstanceUID": "1.2.3"},
    ]
    uids = [_write(tmp_path, f"{PEOPLE[0]}-{index}.dcm", 40 + index, **one) for index, one in enumerate(tags)]
    rows = [f"{PEOPLE[0]}-{index}.dcm,{uid},{index % 2},train" for index, uid in enumerate(uids)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,uid,finding,split", *rows]) + "\n")
    return tmp_path, uids


def test_dicom_files_are_labelled_by_path_and_grouped_by_patient(dicoms: tuple[Path, list[str]]) -> None:
    dataset = sources.load(SOURCE, dicoms[0])
    assert dataset.names[0] == "line 2 of labels.csv"
    assert dataset.labels.tolist() == [0, 1, 0, 1]
    assert dataset.groups[0] == dataset.groups[1]
    assert len(set(dataset.groups)) == 3
    assert dataset.attributes["age_band"] == ("60-69", None, "0-9", None)
    assert dataset.attributes["device"] == ("ACME", "X1", None, None)
    assert dataset.attributes["sex"] == ("F", None, None, None)
    assert dataset.attributes["burned_in"] == (None, None, "YES", None)
    assert [dataset.read(index).pixels[0, 0] for index in range(4)] == [40, 41, 42, 43]
    assert dataset.read(0).modality == "DX"


def test_uid_finds_the_same_files(dicoms: tuple[Path, list[str]]) -> None:
    by_uid = DicomFolder(normal=("0",), abnormal=("1",), file="labels.csv", uid="uid", label="finding", split=None)
    dataset = sources.load(by_uid, dicoms[0])
    assert [dataset.read(index).pixels[0, 0] for index in range(4)] == [40, 41, 42, 43]
    assert dataset.splits == ("all",) * 4
    assert dataset.groups == sources.load(SOURCE, dicoms[0]).groups


def test_nothing_of_the_header_that_names_people_comes_out(dicoms: tuple[Path, list[str]]) -> None:
    dataset = sources.load(SOURCE, dicoms[0])
    shown = " ".join([*dataset.names, *dataset.groups, *map(str, dataset.attributes.values()), dataset.read(0).source])
    assert not [value for value in (*PEOPLE, *dicoms[1], "B-1", "1.2.3") if value in shown]


def test_inspection_of_dicom_files_names_nobody(dicoms: tuple[Path, list[str]]) -> None:
    folder = dicoms[0]
    (folder / f"{PEOPLE[0]}-1.dcm").write_bytes(b"text")
    checked = inspection.inspect(inspection.guess(folder, inspection.Given(label="finding")))
    assert checked.document.form == "dicom"
    assert checked.document.numbered_by == "line of labels.csv"
    unreadable = next(one for one in checked.document.findings if one.kind == "unreadable")
    assert unreadable.images == (3,)
    shown = f"{msgspec.json.encode(checked.document).decode()} {checked.subject.traits.faults}"
    assert not [value for value in (*PEOPLE, *dicoms[1], "B-1", "1.2.3") if value in shown]


def test_keys_of_patients_depend_on_the_label_file(dicoms: tuple[Path, list[str]]) -> None:
    folder = dicoms[0]
    before = sources.load(SOURCE, folder).groups
    assert sources.load(SOURCE, folder).groups == before
    (folder / "labels.csv").write_text((folder / "labels.csv").read_text().replace(",train", ",test"))
    assert not set(sources.load(SOURCE, folder).groups[:3]) & set(before[:3])


def _missing(folder: Path) -> None:
    (folder / f"{PEOPLE[0]}-0.dcm").unlink()


def _no_dicom(folder: Path) -> None:
    (folder / f"{PEOPLE[0]}-0.dcm").write_bytes(b"text")


UNREADABLE: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (
        _missing,
        "line 2 of labels.csv: expected the DICOM file it names in or below the data folder, found none",
    ),
    "no DICOM": (
        _no_dicom,
        "line 2 of labels.csv: reading the data set failed (InvalidDicomError); the DICOM file is damaged or cut "
        "short, export it again",
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_file_that_cannot_be_read_keeps_its_row(name: str, dicoms: tuple[Path, list[str]]) -> None:
    spoil, words = UNREADABLE[name]
    spoil(dicoms[0])
    dataset = sources.load(SOURCE, dicoms[0])
    assert dataset.groups[0] == "line 2 of labels.csv"
    with pytest.raises(ImageError) as caught:
        dataset.read(0)
    assert str(caught.value) == words


def test_two_files_of_one_uid_are_refused(dicoms: tuple[Path, list[str]]) -> None:
    folder = dicoms[0]
    (folder / "copy.dcm").write_bytes((folder / f"{PEOPLE[0]}-0.dcm").read_bytes())
    by_uid = DicomFolder(normal=("0",), abnormal=("1",), file="labels.csv", uid="uid", label="finding", split=None)
    with pytest.raises(ConfigError) as caught:
        sources.load(by_uid, folder)
    assert str(caught.value) == (
        f"{folder}: SOPInstanceUID: expected one file a UID, got two files with the same; remove one"
    )


def test_path_and_uid_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^expected either path or uid, the column that names the images, not both"):
        DicomFolder(normal=("0",), abnormal=("1",), file="labels.csv", path="a", uid="b", label="c", split=None)


AGES = {"067Y": "60-69", "009M": "0-9", "003W": "0-9", "67": "60-69", "67.5": "60-69", "104": "90+", "adult": "adult"}


@pytest.mark.parametrize("age", AGES)
def test_ages_become_bands_of_ten_years(age: str) -> None:
    assert ages.band(age) == AGES[age]
