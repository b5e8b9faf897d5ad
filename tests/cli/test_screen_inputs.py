"""What ``edgemed screen`` makes of its inputs: files that are broken, DICOM, clips."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from tests.cli import screens
from tests.cli.screens import Ran
from tests.runtime import tiny


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return screens.working_folder(tmp_path, monkeypatch)


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Ran:
    return screens.screening(capsys)


def png_of(width: int, height: int) -> bytes:
    """Return a PNG that declares a size and holds one row of it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(width + 1))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def npy_of(pixels: np.ndarray, path: Path) -> bytes:
    np.save(path, pixels)
    return path.read_bytes()


def dicom(path: Path, *, modality: str | None = "DX", pixels: bool = True) -> bytes:
    """Return a small DICOM file, with or without its Modality and its pixel data."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    dataset.PatientName = "Doe^Jane"
    if modality:
        dataset.Modality = modality
    dataset.Rows = dataset.Columns = 48
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    if pixels:
        dataset.PixelData = tiny.picture(48).tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dcmwrite(path, dataset, enforce_file_format=True)
    return path.read_bytes()


def clip(path: Path, frames: int = 6) -> bytes:
    """Return an AVI clip of as many frames."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 64), True)
    for seed in range(frames):
        writer.write(cv2.cvtColor(tiny.picture(64, seed=seed), cv2.COLOR_GRAY2BGR))
    writer.release()
    return path.read_bytes()


def photo() -> np.ndarray:
    return np.dstack([tiny.picture(48, seed=seed) for seed in (1, 2, 3)])


BAD = {
    "empty.png": (lambda scratch: b"", "got an empty file"),
    "text.png": (lambda scratch: b"hello world, this is text", "got a file that starts like none of them"),
    "cut.png": (lambda scratch: tiny.png(tiny.picture(200))[:2000], "cut short"),
    "one.png": (lambda scratch: tiny.png(np.full((1, 1), 9, np.uint8)), "too small"),
    "huge.png": (lambda scratch: png_of(20_000, 20_000), "20000"),
    "black.png": (lambda scratch: tiny.png(np.zeros((64, 64), np.uint8)), "almost no contrast"),
    "photo.png": (lambda scratch: tiny.png(photo()), "coloured"),
    "nan.npy": (lambda scratch: npy_of(np.full((64, 64), np.nan), scratch / "x.npy"), "expected"),
    "cut.dcm": (lambda scratch: dicom(scratch / "x.dcm")[:-1000], "cut.dcm"),
    "empty.dcm": (lambda scratch: dicom(scratch / "x.dcm", pixels=False), "PixelData"),
    "mr.dcm": (lambda scratch: dicom(scratch / "x.dcm", modality="MR"), "Modality: got 'MR'"),
    "nobody.dcm": (lambda scratch: dicom(scratch / "x.dcm", modality=None), "Modality: absent"),
    "cut.avi": (lambda scratch: clip(scratch / "x.avi")[:3000], "cut.avi"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_and_the_rest_of_its_folder_screened(run: Ran, home: Path, name: str) -> None:
    make, reason = BAD[name]
    (home / "folder").mkdir()
    (home / "folder" / name).write_bytes(make(home))
    (home / "folder" / "zz-good.png").write_bytes(tiny.png(tiny.picture()))

    code, out, err = run("folder", "--json")

    results = json.loads(out)["results"]
    bad = [result for result in results if result["input"] == f"folder/{name}" and result["decision"] == "refused"]
    assert (code, err) == (8, "")
    assert len(bad) == 1
    assert any(reason in said for said in bad[0]["reasons"]), bad[0]["reasons"]
    assert bad[0]["score"] is None
    assert (results[-1]["input"], results[-1]["decision"]) == ("folder/zz-good.png", "alert")
    assert "Doe" not in out


def test_dicom_of_a_listed_modality_is_screened(run: Ran, home: Path) -> None:
    (home / "scan.dcm").write_bytes(dicom(home / "x.dcm", modality="CR"))

    code, out, _ = run("scan.dcm", "--json")

    assert code == 0
    assert json.loads(out)["results"][0]["decision"] == "alert"


def test_clip_gives_one_result_per_frame(run: Ran, home: Path) -> None:
    clip(home / "clip.avi", frames=4)

    code, out, _ = run("scan.png", "clip.avi", "--json", "--heatmaps", "out")

    results = json.loads(out)["results"]
    assert code == 0
    assert [(result["input"], result["frame"]) for result in results[1:]] == [("clip.avi", i) for i in range(4)]
    assert [result["heatmap"] for result in results[1:]] == [f"0002-scan.{i}.png" for i in range(4)]
