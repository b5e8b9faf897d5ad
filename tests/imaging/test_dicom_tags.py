from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian

from edgemed.errors import ImageError
from edgemed.imaging import dicom_tags
from edgemed.imaging.grayscale import LookUp, Rescale, VoiFunction, Window

STORED = np.arange(1 << 12, dtype=np.uint16)
DAMAGED = "x.dcm: LUTDescriptor, LUTData: expected matching counts and 8 to 16 bits; export the image again"


@pytest.fixture
def dataset(make_data_set: Callable[..., Dataset]) -> Dataset:
    built = make_data_set(STORED.reshape(64, 64), BitsStored=12)
    built.file_meta = FileMetaDataset()
    built.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return built


def item(descriptor: list[int], data: Any, vr: str = "US") -> Dataset:
    built = Dataset()
    built.add_new("LUTDescriptor", "US", descriptor)
    built.add_new("LUTData", vr, data)
    built.ModalityLUTType = "US"
    return built


@pytest.mark.parametrize("vr", ["US", "OW"])
def test_modality_look_up_agrees_with_pydicom(dataset: Dataset, rng: np.random.Generator, vr: str) -> None:
    entries = np.sort(rng.integers(0, 4096, 300)).astype(np.uint16)
    data = entries.tolist() if vr == "US" else entries.astype("<u2").tobytes()
    dataset.ModalityLUTSequence = [item([300, 50, 16], data, vr)]
    step = dicom_tags.modality_step(dataset, source="x.dcm")
    assert isinstance(step, LookUp)
    np.testing.assert_array_equal(step.at(STORED.astype(np.float64)), apply_modality_lut(STORED, dataset))


def test_voi_look_up_agrees_with_pydicom_and_wins_over_a_window(dataset: Dataset, rng: np.random.Generator) -> None:
    entries = np.sort(rng.integers(0, 1024, 500)).astype(np.uint16)
    dataset.VOILUTSequence = [item([500, 100, 10], entries.tolist())]
    dataset.WindowCenter, dataset.WindowWidth = "9", "9"
    step = dicom_tags.voi_step(dataset, source="x.dcm")
    assert isinstance(step, LookUp)
    np.testing.assert_array_equal(step.at(STORED.astype(np.float64)), apply_voi_lut(STORED, dataset))


def test_65536_entries_are_written_as_0(dataset: Dataset) -> None:
    dataset.VOILUTSequence = [item([0, 0, 16], np.arange(65536, dtype="<u2").tobytes(), "OW")]
    step = dicom_tags.voi_step(dataset, source="x.dcm")
    assert isinstance(step, LookUp)
    assert step.values.size == 65536


def test_entries_of_one_byte_are_read_as_bytes(dataset: Dataset) -> None:
    dataset.VOILUTSequence = [item([256, 0, 8], bytes(range(256)), "OW")]
    step = dicom_tags.voi_step(dataset, source="x.dcm")
    assert isinstance(step, LookUp)
    assert step.values.tolist() == list(range(256))


WRONG_LUTS: dict[str, tuple[list[int], Any]] = {
    "too few entries": ([300, 0, 16], [1, 2, 3]),
    "7 bits": ([2, 0, 7], [1, 2]),
    "half a descriptor": ([2, 0], [1, 2]),
}


@pytest.mark.parametrize(("descriptor", "data"), WRONG_LUTS.values(), ids=WRONG_LUTS)
def test_damaged_look_up_is_refused(dataset: Dataset, descriptor: list[int], data: Any) -> None:
    dataset.VOILUTSequence = [item(descriptor, data)]
    with pytest.raises(ImageError) as refusal:
        dicom_tags.voi_step(dataset, source="x.dcm")
    assert str(refusal.value) == DAMAGED


def test_absent_steps_are_none(dataset: Dataset) -> None:
    assert dicom_tags.modality_step(dataset, source="x.dcm") is None
    assert dicom_tags.voi_step(dataset, source="x.dcm") is None


def test_rescale_and_window_are_read(dataset: Dataset) -> None:
    dataset.RescaleSlope, dataset.RescaleIntercept = "1.5", "-1024"
    dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = "40", "400", "SIGMOID"
    assert dicom_tags.modality_step(dataset, source="x.dcm") == Rescale(slope=1.5, intercept=-1024.0)
    assert dicom_tags.voi_step(dataset, source="x.dcm") == Window(
        center=40.0, width=400.0, function=VoiFunction.SIGMOID
    )


def test_free_text_in_a_rescale_is_not_repeated(dataset: Dataset) -> None:
    dataset["RescaleSlope"] = RawDataElement(Tag("RescaleSlope"), "DS", 8, b"DOE^JANE", 0, False, True)
    with pytest.raises(ImageError) as refusal:
        dicom_tags.modality_step(dataset, source="x.dcm")
    assert str(refusal.value) == (
        "x.dcm: RescaleSlope, RescaleIntercept: expected finite numbers and a slope other than 0; "
        "export the image again"
    )


WRONG_WINDOWS: dict[str, dict[str, Any]] = {
    "centre alone": {"WindowCenter": "40"},
    "width alone": {"WindowWidth": "40"},
    "width 0": {"WindowCenter": "40", "WindowWidth": "0"},
    "unknown function": {"WindowCenter": "40", "WindowWidth": "9", "VOILUTFunction": "CUBIC"},
}


@pytest.mark.parametrize("tags", WRONG_WINDOWS.values(), ids=WRONG_WINDOWS)
def test_half_or_unknown_window_is_refused(dataset: Dataset, tags: dict[str, Any]) -> None:
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    with pytest.raises(ImageError, match=r"^x\.dcm: WindowCenter, WindowWidth, VOILUTFunction: expected"):
        dicom_tags.voi_step(dataset, source="x.dcm")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("DX", "DX"), (" US ", "US"), ("", None), (None, None)],
    ids=["plain", "padded", "empty", "none"],
)
def test_modality_is_text_or_none(dataset: Dataset, value: str | None, expected: str | None) -> None:
    dataset.Modality = value
    assert dicom_tags.modality(dataset) == expected
    del dataset.Modality
    assert dicom_tags.modality(dataset) is None


def test_border_swallows_warnings_and_translates_every_exception() -> None:
    with dicom_tags.translated("x.dcm", "reading"):
        warnings.warn("a value of the file", UserWarning, stacklevel=1)
    with pytest.raises(ImageError) as refusal, dicom_tags.translated("x.dcm", "reading"):
        raise KeyError("Curie^Marie")
    assert str(refusal.value) == (
        "x.dcm: reading failed (KeyError); the DICOM file is damaged or cut short, export it again"
    )


def test_border_lets_its_own_errors_through() -> None:
    with pytest.raises(ImageError) as refusal, dicom_tags.translated("x.dcm", "reading"):
        raise ImageError("x.dcm: said already")
    assert str(refusal.value) == "x.dcm: said already"
