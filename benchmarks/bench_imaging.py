"""Decoding: from a file's bytes to a frame, one picture of 1024 x 1024 in each format."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from edgemed.imaging import readers


def _opencv(suffix: str) -> Callable[[NDArray[np.uint8]], bytes]:
    return lambda picture: cv2.imencode(suffix, picture)[1].tobytes()


def _npy(picture: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, picture)
    return stream.getvalue()


def _dicom(picture: NDArray[np.uint8]) -> bytes:
    found = Dataset()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.SOPClassUID, found.SOPInstanceUID, found.Modality = SecondaryCaptureImageStorage, generate_uid(), "DX"
    found.Rows, found.Columns = picture.shape
    found.SamplesPerPixel, found.PhotometricInterpretation, found.PixelRepresentation = 1, "MONOCHROME2", 0
    found.BitsAllocated, found.BitsStored, found.HighBit = 8, 8, 7
    found.PixelData = picture.tobytes()
    stream = io.BytesIO()
    found.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


FORMATS = {"png": _opencv(".png"), "jpg": _opencv(".jpg"), "tiff": _opencv(".tiff"), "npy": _npy, "dcm": _dicom}


@pytest.mark.parametrize("suffix", FORMATS)
def bench_decode(benchmark: Any, picture: NDArray[np.uint8], suffix: str) -> None:
    raw = FORMATS[suffix](picture)

    frame = benchmark(lambda: next(readers.decode(raw, source=f"picture.{suffix}")))

    assert frame.pixels.shape == picture.shape
