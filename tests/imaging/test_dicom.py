from __future__ import annotations

import csv
import logging
import random
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

from edgemed.errors import EdgemedError, ImageError
from edgemed.imaging import dicom, readers
from edgemed.imaging.frame import Frame

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "dicom"
INDEX = list(csv.DictReader((DATA / "index.csv").read_text().splitlines())) if DATA.is_dir() else []
# Not in the table's `decoded_as`: readable, but no image for screening.
NOT_AN_IMAGE = ("rtdose_15frame_32bit.dcm",)

MakeDataSet = Callable[..., Dataset]
FileBytes = Callable[..., bytes]


def only(raw: bytes) -> Frame:
    (frame,) = dicom.decode(raw, source="x.dcm")
    return frame


def refusal(raw: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        list(dicom.decode(raw, source="x.dcm"))
    return str(caught.value)


def encapsulated(dataset: Dataset, frames: list[bytes], **tags: Any) -> Dataset:
    """Replace the pixels of a data set by codestreams."""
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return dataset


@pytest.mark.parametrize("row", INDEX, ids=[row["file"] for row in INDEX])
def test_real_file_ends_as_the_index_says(shared_data: Path, row: dict[str, str]) -> None:
    path = shared_data / "dicom" / row["file"]
    if row["decoded_as"].startswith("DECODE-ERROR") or row["file"] in NOT_AN_IMAGE:
        with pytest.raises(ImageError):
            list(readers.read(path))
        return
    frames = list(readers.read(path))
    assert [frame.index for frame in frames] == list(range(int(row["frames"])))
    assert {frame.pixels.shape for frame in frames} == {(int(row["rows"]), int(row["columns"]))}
    assert {frame.modality for frame in frames} == {row["modality"] or None}
    assert all(frame.is_dicom for frame in frames)
    if row["photometric"].startswith("MONOCHROME"):
        assert {frame.bits for frame in frames} == {8 if row["bits_stored"] == "8" else 16}


def test_every_file_of_the_folder_is_in_the_index(shared_data: Path) -> None:
    assert sorted(row["file"] for row in INDEX) == sorted(p.name for p in (shared_data / "dicom").glob("*.dcm"))


def test_lossless_codestream_gives_the_picture_of_the_uncompressed_file(shared_data: Path) -> None:
    plain, coded = (
        next(readers.read(shared_data / "dicom" / name)).pixels
        for name in ("us_rgb_uncompressed.dcm", "us_ybr_rct_j2k_lossless.dcm")
    )
    np.testing.assert_array_equal(plain, coded)


def test_chest_radiograph_of_monochrome1_shows_bone_white_and_air_black(shared_data: Path) -> None:
    path = shared_data / "dicom" / "cr_chest_mono1_j2k.dcm"
    pixels = next(readers.read(path)).pixels.astype(float)
    rows, columns = pixels.shape
    spine = pixels[rows // 3 : rows // 2, columns * 48 // 100 : columns * 52 // 100].mean()
    lung = pixels[rows // 3 : rows // 2, columns * 20 // 100 : columns * 30 // 100].mean()
    assert spine > lung + 5000


def test_photograph_in_dicom_is_coloured_and_without_modality(shared_data: Path) -> None:
    frame = next(readers.read(shared_data / "dicom" / "other_cookie_photo_jpeg.dcm"))
    assert frame.coloured_fraction > 0.5
    assert (frame.modality, frame.is_dicom) == (None, True)


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian],
    ids=["implicit", "explicit", "deflated"],
)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16], ids=["8 bits", "16 bits"])
def test_pixels_of_full_depth_come_back_as_stored(
    make_data_set: MakeDataSet, file_bytes: FileBytes, rng: np.random.Generator, syntax: str, kind: type[np.generic]
) -> None:
    pixels = rng.integers(0, np.iinfo(kind).max, (3, 6, 8), dtype=kind, endpoint=True)
    frames = list(dicom.decode(file_bytes(make_data_set(pixels), syntax), source="x.dcm"))
    np.testing.assert_array_equal(np.stack([frame.pixels for frame in frames]), pixels)


def test_big_endian_pixels_come_back_as_stored(
    make_data_set: MakeDataSet, file_bytes: FileBytes, rng: np.random.Generator
) -> None:
    pixels = rng.integers(0, 65536, (6, 8), dtype=np.uint16)
    dataset = make_data_set(pixels)
    dataset.PixelData = pixels.astype(">u2").tobytes()
    np.testing.assert_array_equal(only(file_bytes(dataset, ExplicitVRBigEndian)).pixels, pixels)


def test_run_lengths_come_back_as_stored(make_data_set: MakeDataSet, file_bytes: FileBytes) -> None:
    pixels = np.repeat(np.arange(40, dtype=np.uint16) * 1500, 20).reshape(20, 40)
    dataset = make_data_set(pixels)
    file_bytes(dataset)
    dataset.compress(RLELossless, generate_instance_uid=False)
    np.testing.assert_array_equal(only(file_bytes(dataset, RLELossless)).pixels, pixels)


def test_12_bits_spread_over_16(make_data_set: MakeDataSet, file_bytes: FileBytes) -> None:
    stored = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    frame = only(file_bytes(make_data_set(stored, BitsStored=12)))
    assert frame.bits == 16
    np.testing.assert_array_equal(frame.pixels, np.floor(65535 * stored.astype(float) / 4095 + 0.5))


def test_bits_above_those_stored_are_ignored(make_data_set: MakeDataSet, file_bytes: FileBytes) -> None:
    stored = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    with_overlay = stored | np.uint16(0x8000)
    np.testing.assert_array_equal(
        only(file_bytes(make_data_set(with_overlay, BitsStored=12))).pixels,
        only(file_bytes(make_data_set(stored, BitsStored=12))).pixels,
    )


def test_monochrome1_is_turned_round(make_data_set: MakeDataSet, file_bytes: FileBytes) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    raw = file_bytes(make_data_set(pixels, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(only(raw).pixels, 255 - pixels)


def test_signed_pixels_rescale_and_window(make_data_set: MakeDataSet, file_bytes: FileBytes) -> None:
    stored = np.arange(-2048, 2048, dtype=np.int16).reshape(64, 64)
    raw = file_bytes(
        make_data_set(
            stored, BitsStored=12, RescaleSlope="2", RescaleIntercept="100", WindowCenter="40", WindowWidth="400"
        )
    )
    x = 2.0 * stored + 100
    y = np.clip((x - 39.5) / 399 + 0.5, 0, 1)
    np.testing.assert_array_equal(only(raw).pixels, np.floor(65535 * y + 0.5))


def test_first_of_several_windows_counts(make_data_set: MakeDataSet, file_bytes: FileBytes) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    several = make_data_set(pixels, WindowCenter=["100", "20"], WindowWidth=["50", "9"])
    single = make_data_set(pixels, WindowCenter="100", WindowWidth="50")
    np.testing.assert_array_equal(only(file_bytes(several)).pixels, only(file_bytes(single)).pixels)


def test_palette_becomes_gray_and_is_counted(make_data_set: MakeDataSet, file_bytes: FileBytes) -> None:
    levels = np.arange(256, dtype=np.uint8)
    dataset = make_data_set(levels.reshape(16, 16), PhotometricInterpretation="PALETTE COLOR")
    palette = np.stack([levels, levels, levels])
    palette[0, 128:] = 255
    palette[2, 128:] = 0
    for name, entries in zip(("Red", "Green", "Blue"), palette, strict=True):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(dataset, f"{name}PaletteColorLookupTableData", (entries.astype("<u2") * 257).tobytes())
    frame = only(file_bytes(dataset))
    red, green, blue = palette.astype(np.int64) * 257
    expected = (9798 * red + 19235 * green + 3735 * blue + 16384) >> 15
    np.testing.assert_array_equal(frame.pixels.ravel(), expected)
    assert frame.coloured_fraction == 0.5


@pytest.mark.parametrize("planar", [0, 1], ids=["by pixel", "by plane"])
def test_colour_becomes_gray(
    make_data_set: MakeDataSet, file_bytes: FileBytes, rng: np.random.Generator, planar: int
) -> None:
    image = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    dataset = make_data_set(
        np.zeros((6, 8), np.uint8), SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=planar
    )
    dataset.PixelData = (image.transpose(2, 0, 1) if planar else image).tobytes()
    np.testing.assert_array_equal(only(file_bytes(dataset)).pixels, cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def test_frames_of_a_cine_come_one_at_a_time(make_data_set: MakeDataSet, file_bytes: FileBytes) -> None:
    streams = [cv2.imencode(".jpg", np.full((16, 24), 50 * i, np.uint8))[1].tobytes() for i in range(4)]
    streams[3] = streams[3][: len(streams[3]) // 2]
    dataset = encapsulated(make_data_set(np.zeros((4, 16, 24), np.uint8)), streams)
    frames = dicom.decode(file_bytes(dataset, JPEGBaseline8Bit), source="x.dcm")
    assert [round(next(frames).pixels.mean()) for _ in range(3)] == [0, 50, 100]
    with pytest.raises(ImageError) as caught:
        next(frames)
    assert str(caught.value) == (
        "x.dcm: frame 3: codestream without its size or end marker; it is cut short, export it again"
    )


def test_spacing_falls_back_to_the_imager(make_data_set: MakeDataSet, file_bytes: FileBytes) -> None:
    pixels = np.zeros((4, 4), np.uint8)
    both = make_data_set(pixels, PixelSpacing=["0.5", "0.25"], ImagerPixelSpacing=["1", "1"])
    imager = make_data_set(pixels, PixelSpacing=["0", "0"], ImagerPixelSpacing=["0.1", "0.2"])
    assert only(file_bytes(both)).spacing_mm == (0.5, 0.25)
    assert only(file_bytes(imager)).spacing_mm == (0.1, 0.2)
    assert only(file_bytes(make_data_set(pixels))).spacing_mm is None


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "raw detector data": (
        {"PresentationIntentType": "FOR PROCESSING"},
        "PresentationIntentType: expected FOR PRESENTATION, got FOR PROCESSING, which is raw detector data; "
        "export the image that the radiographer sees",
    ),
    "32 bits": (
        {"BitsAllocated": 32, "BitsStored": 32},
        "BitsAllocated: expected 8 or 16, got 32; it is no image for screening",
    ),
    "7 bits stored": (
        {"BitsStored": 7},
        "BitsStored, HighBit: expected 8 to 8 bits from bit 0 on, got 7 up to bit 6; export the image again",
    ),
    "colour space": (
        {"PhotometricInterpretation": "CMYK"},
        "PhotometricInterpretation: expected one of MONOCHROME1, MONOCHROME2, PALETTE COLOR, RGB, YBR_FULL, "
        "YBR_FULL_422, YBR_PARTIAL_420, YBR_ICT, YBR_RCT with 1 or 3 samples to match; export the image in gray",
    ),
    "no columns": ({"Columns": None}, "Columns: expected one whole number; the file is damaged, export it again"),
    "too large": (
        {"Rows": 65535, "Columns": 65535},
        "expected at most 67108864 pixels, got 65535 x 65535 = 4294836225; export the image at its native size",
    ),
    "window without width": (
        {"WindowCenter": "12", "WindowWidth": "0"},
        "WindowCenter, WindowWidth, VOILUTFunction: expected a finite centre, a width above 0 (LINEAR: at least 1) "
        "and a function of the standard; export the image again",
    ),
    "slope 0": (
        {"RescaleSlope": "0", "RescaleIntercept": "1"},
        "RescaleSlope, RescaleIntercept: expected finite numbers and a slope other than 0; export the image again",
    ),
    "more frames than bytes": (
        {"NumberOfFrames": 9},
        "decoding frame 0 of 9 (Explicit VR Little Endian) failed (ValueError); the DICOM file is damaged or cut "
        "short, export it again",
    ),
}


@pytest.mark.parametrize(("tags", "message"), WRONG.values(), ids=WRONG)
def test_file_without_a_defined_picture_is_refused(
    make_data_set: MakeDataSet, file_bytes: FileBytes, tags: dict[str, Any], message: str
) -> None:
    assert refusal(file_bytes(make_data_set(np.zeros((4, 4), np.uint8), **tags))) == f"x.dcm: {message}"


def test_file_without_pixel_data_is_refused(make_data_set: MakeDataSet, file_bytes: FileBytes) -> None:
    dataset = make_data_set(np.zeros((4, 4), np.uint8))
    del dataset.PixelData
    assert refusal(file_bytes(dataset)) == ("x.dcm: PixelData is missing; expected an image, export one from the study")


def test_syntax_without_a_decoder_is_refused_by_its_name(make_data_set: MakeDataSet, file_bytes: FileBytes) -> None:
    dataset = encapsulated(make_data_set(np.zeros((4, 4), np.uint8)), [b"\0\0\x01\xb3"])
    assert refusal(file_bytes(dataset, MPEG2MPML)) == (
        "x.dcm: TransferSyntaxUID: no decoder for MPEG2 Main Profile / Main Level; "
        "export it uncompressed or as JPEG 2000"
    )


@pytest.mark.parametrize(("syntax", "said"), [("1.2.3.4", "1.2.3.4"), ("DOE^JANE", "a value that is not a UID")])
def test_unknown_syntax_is_said_only_if_it_is_a_uid(
    make_data_set: MakeDataSet, file_bytes: FileBytes, syntax: str, said: str
) -> None:
    raw = file_bytes(encapsulated(make_data_set(np.zeros((4, 4), np.uint8)), [b"\0\0\x01\xb3"]), MPEG2MPML)
    raw = raw.replace(MPEG2MPML.encode(), syntax.encode().ljust(len(MPEG2MPML), b"\0"))
    assert refusal(raw) == f"x.dcm: TransferSyntaxUID: no decoder for {said}; export it uncompressed or as JPEG 2000"


def test_codestream_of_another_size_is_refused_before_it_is_decoded(
    make_data_set: MakeDataSet, file_bytes: FileBytes
) -> None:
    stream = cv2.imencode(".jpg", np.zeros((640, 480), np.uint8))[1].tobytes()
    dataset = encapsulated(make_data_set(np.zeros((4, 4), np.uint8)), [stream])
    assert refusal(file_bytes(dataset, JPEGBaseline8Bit)) == (
        "x.dcm: frame 0: Rows, Columns: expected 4 x 4 pixels in the codestream, got 480 x 640; "
        "the file is damaged, export it again"
    )


def test_deflated_bomb_is_refused(make_data_set: MakeDataSet, file_bytes: FileBytes) -> None:
    raw = file_bytes(make_data_set(np.zeros((4, 4), np.uint8)), DeflatedExplicitVRLittleEndian)
    end = 144 + struct.unpack_from("<I", raw, 140)[0]
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    zeros = bytes(1 << 24)
    bomb = b"".join(deflater.compress(zeros) for _ in range(9)) + deflater.flush()
    assert refusal(raw[:end] + bomb) == (
        "x.dcm: deflated data set is cut short, or longer than the 134217728 bytes accepted here; "
        "export it again, uncompressed"
    )


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless], ids=["plain", "deflated", "rle"]
)
def test_file_cut_anywhere_is_refused(
    make_data_set: MakeDataSet, file_bytes: FileBytes, picture: NDArray[np.uint8], syntax: str
) -> None:
    dataset = make_data_set(picture)
    if syntax == RLELossless:
        file_bytes(dataset)
        dataset.compress(RLELossless, generate_instance_uid=False)
    raw = file_bytes(dataset, syntax)
    assert only(raw).pixels.shape == picture.shape
    for end in range(132, len(raw) - 2, 1 + len(raw) // 60):
        assert re.search("cut short|damaged|missing|wrong", refusal(raw[:end]))


def test_no_message_and_no_log_holds_patient_data(
    make_data_set: MakeDataSet,
    file_bytes: FileBytes,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    dataset = make_data_set(np.zeros((8, 8), np.uint8), PatientName="Curie^Marie", PatientBirthDate="18671107")
    raw = file_bytes(dataset)
    said = []
    with caplog.at_level(logging.DEBUG):
        for end in range(132, len(raw), 7):
            try:
                list(dicom.decode(raw[:end], source="x.dcm"))
            except ImageError as err:
                said.append(str(err))
    printed = capfd.readouterr()
    for text in (*said, caplog.text, printed.out, printed.err):
        assert "Curie" not in text
        assert "18671107" not in text


def test_tags_of_the_read_file_agree_with_pydicom(
    make_data_set: MakeDataSet, file_bytes: FileBytes, tmp_path: Path
) -> None:
    path = tmp_path / "IM0001"
    path.write_bytes(file_bytes(make_data_set(np.zeros((5, 9), np.uint8), Modality="US")))
    (frame,) = readers.read(path)
    dataset = dcmread(path)
    assert (frame.modality, frame.pixels.shape) == (dataset.Modality, (dataset.Rows, dataset.Columns))
    assert frame.source == str(path)


@given(seed=st.integers(0, 2**32 - 1), row=st.sampled_from([row["file"] for row in INDEX] or [""]))
@settings(max_examples=80, deadline=None)
def test_any_damaged_real_file_gives_frames_or_an_error(seed: int, row: str) -> None:
    if not row:
        pytest.skip("the real-data folder ../shared/data is not beside this checkout")
    raw, chance = bytearray((DATA / row).read_bytes()), random.Random(seed)
    if len(raw) > 300_000:
        return
    for _ in range(chance.choice([1, 3, 10])):
        raw[chance.randrange(132, chance.choice([1200, len(raw)]) if len(raw) > 1200 else len(raw))] = chance.randrange(
            256
        )
    try:
        for frame in dicom.decode(bytes(raw), source="x.dcm"):
            assert isinstance(frame, Frame)
    except EdgemedError:
        return


@given(st.binary(max_size=300))
def test_any_bytes_give_frames_or_an_error(tail: bytes) -> None:
    try:
        frames = list(dicom.decode(bytes(128) + b"DICM" + tail, source="x.dcm"))
    except EdgemedError:
        return
    assert all(isinstance(frame, Frame) for frame in frames)
