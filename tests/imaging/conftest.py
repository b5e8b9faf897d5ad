"""Pictures, files and DICOM data sets that several imaging tests build."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    """Return a (96, 130) uint8 picture made in integers alone, so that it is the same everywhere."""
    row, column = np.mgrid[0:96, 0:130]
    waves = (row * row * 3 + column * 17 + row * column // 4) % 160
    square = np.where((row // 24 + column // 26) % 2 == 0, 60, 0)
    return (20 + waves // 2 + square).astype(np.uint8)


@pytest.fixture
def encode() -> Callable[..., bytes]:
    """Return a function that encodes pixels by suffix, as OpenCV does."""

    def encoded(suffix: str, pixels: NDArray[Any]) -> bytes:
        done, buffer = cv2.imencode(suffix, pixels)
        assert done
        return buffer.tobytes()

    return encoded


@pytest.fixture
def make_data_set() -> Callable[..., Dataset]:
    """Return a function that builds a gray data set around (rows, columns) or (frames, rows, columns) pixels."""

    def build(pixels: NDArray[Any], **tags: Any) -> Dataset:
        frames = pixels if pixels.ndim == 3 else pixels[np.newaxis]
        bits = 8 * pixels.dtype.itemsize
        dataset = Dataset()
        dataset.SOPClassUID = SecondaryCaptureImageStorage
        dataset.SOPInstanceUID = "1.2.3.4"
        dataset.Modality = "DX"
        dataset.NumberOfFrames = len(frames)
        dataset.Rows, dataset.Columns = frames.shape[1:3]
        dataset.SamplesPerPixel = 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = bits
        dataset.HighBit = bits - 1
        dataset.PixelRepresentation = 1 if pixels.dtype.kind == "i" else 0
        for keyword, value in tags.items():
            setattr(dataset, keyword, value)
        if "BitsStored" in tags:
            dataset.HighBit = tags["BitsStored"] - 1
        dataset.PixelData = frames.tobytes()
        dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
        return dataset

    return build


@pytest.fixture
def file_bytes() -> Callable[..., bytes]:
    """Return a function that writes a data set as a Part 10 file."""

    def written(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = syntax
        stream = io.BytesIO()
        dcmwrite(stream, dataset, enforce_file_format=True)
        return stream.getvalue()

    return written
