from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgemed.imaging import timing


@pytest.mark.parametrize("fps", [10, 25])
def test_clip_states_its_rate(tmp_path: Path, fps: int) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, (64, 48))
    for _ in range(3):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()

    assert timing.frame_interval_ms(path) == pytest.approx(1000.0 / fps)


def dicom(path: Path, **tags: Any) -> Path:
    pydicom = pytest.importorskip("pydicom")
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset = pydicom.Dataset()
    dataset.file_meta = meta
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        pytest.param({"FrameTime": "40.0", "CineRate": "10"}, 40.0, id="frame time before rates"),
        pytest.param({"CineRate": "20", "RecommendedDisplayFrameRate": "10"}, 50.0, id="cine rate"),
        pytest.param({"RecommendedDisplayFrameRate": "10"}, 100.0, id="recommended rate"),
        pytest.param({"FrameTime": "0"}, None, id="no time at all"),
        pytest.param({"FrameTime": "1e9"}, None, id="eleven days"),
        pytest.param({}, None, id="nothing"),
    ],
)
def test_dicom_states_its_rate(tmp_path: Path, tags: dict[str, Any], expected: float | None) -> None:
    assert timing.frame_interval_ms(dicom(tmp_path / "cine.dcm", **tags)) == expected


def test_damaged_dicom_states_nothing(tmp_path: Path) -> None:
    path = tmp_path / "cine.dcm"
    path.write_bytes(bytes(128) + b"DICM\x02\x00")
    assert timing.frame_interval_ms(path) is None


def test_other_files_state_nothing(tmp_path: Path) -> None:
    (tmp_path / "stack.npy").write_bytes(b"\x93NUMPY")

    assert timing.frame_interval_ms(tmp_path / "stack.npy") is None
    assert timing.frame_interval_ms(tmp_path / "missing.mp4") is None
