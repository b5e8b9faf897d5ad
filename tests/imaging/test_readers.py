from __future__ import annotations

import io
import os
import random
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgemed.errors import EdgemedError, ImageError
from edgemed.imaging import readers
from edgemed.imaging.frame import Frame

KNOWN = "PNG, JPEG, TIFF, NPY, DICOM or a clip (MP4, MOV, AVI, MKV, MPEG)"


def one(raw: bytes) -> Frame:
    (frame,) = readers.decode(raw, source="x")
    return frame


def with_tiff_tag(raw: bytes, tag: int, value: int) -> bytes:
    """Overwrite one SHORT of the first TIFF directory."""
    changed = bytearray(raw)
    (offset,) = struct.unpack_from("<I", changed, 4)
    (count,) = struct.unpack_from("<H", changed, offset)
    places = [offset + 2 + 12 * i for i in range(count)]
    (place,) = [p for p in places if struct.unpack_from("<H", changed, p)[0] == tag]
    struct.pack_into("<H", changed, place + 8, value)
    return bytes(changed)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16], ids=["8 bits", "16 bits"])
def test_gray_still_comes_back_as_stored(
    encode: Callable[..., bytes], rng: np.random.Generator, suffix: str, kind: type[np.generic]
) -> None:
    pixels = rng.integers(0, np.iinfo(kind).max, (20, 31), dtype=kind, endpoint=True)
    frame = one(encode(suffix, pixels))
    np.testing.assert_array_equal(frame.pixels, pixels)
    assert frame.pixels.dtype == kind
    assert (frame.bits, frame.index, frame.modality, frame.is_dicom, frame.coloured_fraction) == (
        8 * np.dtype(kind).itemsize, 0, None, False, 0.0,
    )  # fmt: skip


def test_jpeg_comes_back_near_what_was_stored(encode: Callable[..., bytes]) -> None:
    pixels = np.tile(np.arange(0, 240, 4, dtype=np.uint8), (40, 1))
    assert np.abs(one(encode(".jpg", pixels)).pixels.astype(int) - pixels).max() <= 6


def test_alpha_is_ignored(encode: Callable[..., bytes], rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (9, 8, 4), dtype=np.uint8)
    np.testing.assert_array_equal(one(encode(".png", image)).pixels, one(encode(".png", image[..., :3].copy())).pixels)


def test_colour_is_counted(encode: Callable[..., bytes]) -> None:
    image = np.full((10, 10, 3), 80, np.uint8)
    image[:3, :, 2] = 200
    frame = one(encode(".png", image))
    assert frame.coloured_fraction == 0.3
    assert frame.pixels[9, 9] == 80


def test_photograph_is_mostly_coloured(shared_data: Path) -> None:
    with zipfile.ZipFile(shared_data / "ood_images" / "images.zip") as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("astronaut.jpg")]
        frame = one(archive.read(name))
    assert frame.coloured_fraction > 0.4


def test_each_page_of_a_tiff_is_a_frame() -> None:
    pages = [np.full((5, 6), 40 * i, np.uint8) for i in range(4)]
    _, buffer = cv2.imencodemulti(".tif", pages)
    frames = list(readers.decode(buffer.tobytes(), source="x"))
    assert [(frame.index, frame.pixels[0, 0]) for frame in frames] == [(0, 0), (1, 40), (2, 80), (3, 120)]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16], ids=["8 bits", "16 bits"])
def test_tiff_with_white_as_zero_is_turned_round(encode: Callable[..., bytes], kind: type[np.generic]) -> None:
    pixels = np.arange(64, dtype=kind).reshape(8, 8)
    frame = one(with_tiff_tag(encode(".tif", pixels), 262, 0))
    np.testing.assert_array_equal(frame.pixels, np.iinfo(kind).max - pixels)


def test_orientation_hint_of_a_jpeg_is_not_applied(encode: Callable[..., bytes]) -> None:
    raw = encode(".jpg", np.zeros((10, 30), np.uint8))
    tiff = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + bytes(4)
    app1 = b"\xff\xe1" + struct.pack(">H", 8 + len(tiff)) + b"Exif\0\0" + tiff
    assert one(raw[:2] + app1 + raw[2:]).pixels.shape == (10, 30)


def test_format_is_told_by_content_not_by_name(tmp_path: Path, encode: Callable[..., bytes]) -> None:
    path = tmp_path / "scan.dcm"
    path.write_bytes(encode(".png", np.full((3, 4), 7, np.uint8)))
    (frame,) = readers.read(path)
    assert (frame.pixels.shape, frame.source) == ((3, 4), str(path))


def test_single_pixel_is_a_frame(encode: Callable[..., bytes]) -> None:
    assert one(encode(".png", np.full((1, 1), 9, np.uint8))).pixels.tolist() == [[9]]


UNREADABLE = {
    "empty": ("scan.png", b"", f"expected {KNOWN}, got an empty file; copy it again"),
    "text": (
        "scan.png",
        b"not a picture\n",
        f"expected {KNOWN}, got a file that starts like none of them; export it as one of these",
    ),
    "no DICM": (
        "scan.dcm",
        b"\x08\0\x05\0CS\x0a\0ISO_IR 100",
        "expected 'DICM' at byte 128, got other bytes: no file meta information header; "
        "export it again as a DICOM Part 10 file",
    ),
    "clip as bytes": ("x.mp4", b"\0\0\0\x20ftypisom", "expected a still, got a clip; give the path of a clip file"),
}


@pytest.mark.parametrize(("source", "raw", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_bytes_are_refused(source: str, raw: bytes, message: str) -> None:
    with pytest.raises(ImageError) as refusal:
        list(readers.decode(raw, source=source))
    assert str(refusal.value) == f"{source}: {message}"


def test_missing_file_is_refused_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "gone.png"
    with pytest.raises(ImageError) as refusal:
        list(readers.read(path))
    assert str(refusal.value) == (
        f"{path}: cannot be read: No such file or directory; check the path and its permissions"
    )


def test_folder_is_refused_as_a_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as refusal:
        list(readers.read(tmp_path))
    assert str(refusal.value) == f"{tmp_path}: cannot be read: Is a directory; check the path and its permissions"


def test_name_that_is_too_long_is_refused_and_expands_to_itself(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)
    assert readers.expand([path]) == [path]
    with pytest.raises(ImageError) as refusal:
        list(readers.read(path))
    assert str(refusal.value) == f"{path}: cannot be read: File name too long; check the path and its permissions"


def test_path_may_be_text(tmp_path: Path, encode: Callable[..., bytes]) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode(".png", np.zeros((4, 4), np.uint8)))
    (frame,) = readers.read(str(path))
    assert frame.source == str(path)


def test_pipe_is_refused_and_skipped_in_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    os.mkfifo(path)
    os.mkfifo(tmp_path / "pipe")
    assert readers.expand([tmp_path]) == []
    with pytest.raises(ImageError) as refusal:
        list(readers.read(path))
    assert str(refusal.value) == f"{path}: expected a file, got a pipe, socket or device; copy its bytes to a file"


def test_files_that_may_not_be_looked_at_stay_on_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "b"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "dangling").symlink_to("nowhere")
    plain = Path.stat

    def closed(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path.name in ("a.png", "b"):
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", closed)
    assert readers.expand([tmp_path]) == [tmp_path / "a.png", tmp_path / "b"]
    with pytest.raises(ImageError) as refusal:
        list(readers.read(tmp_path / "b"))
    assert str(refusal.value) == (
        f"{tmp_path / 'b'}: cannot be read: Permission denied; check the path and its permissions"
    )


def test_array_is_refused_by_its_header_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((4, 4)))
    monkeypatch.setattr(readers.files, "read_bounded", None)
    with pytest.raises(ImageError, match="got float64"):
        list(readers.read(path))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_file_cut_short_is_refused(
    encode: Callable[..., bytes], picture: NDArray[np.uint8], suffix: str, share: float
) -> None:
    raw = encode(suffix, picture)
    with pytest.raises(ImageError, match="cut short"):
        one(raw[: int(share * len(raw))])


def test_damage_inside_a_png_is_refused(encode: Callable[..., bytes], picture: NDArray[np.uint8]) -> None:
    raw = bytearray(encode(".png", picture))
    raw[len(raw) // 2] ^= 0x55
    with pytest.raises(ImageError) as refusal:
        one(bytes(raw))
    assert str(refusal.value) == ("x: PNG cannot be decoded; the file is damaged or cut short, copy or export it again")


def huffman_start(raw: bytes) -> int:
    """Return where the picture data of a JPEG start."""
    scan = raw.index(b"\xff\xda")
    return scan + 2 + int.from_bytes(raw[scan + 2 : scan + 4], "big")


JPEG_DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "data missing": (
        lambda raw: raw[: huffman_start(raw) + 200] + raw[-2:],
        "Corrupt JPEG data: premature end of data segment",
    ),
    "data left over": (
        lambda raw: raw[:-2] + bytes(64) + raw[-2:],
        r"Corrupt JPEG data: \d\d extraneous bytes before marker 0xd9",
    ),
}


@pytest.mark.parametrize(("damage", "words"), JPEG_DAMAGE.values(), ids=JPEG_DAMAGE)
def test_damage_inside_a_jpeg_is_refused(
    encode: Callable[..., bytes],
    picture: NDArray[np.uint8],
    capfd: pytest.CaptureFixture[str],
    damage: Callable[[bytes], bytes],
    words: str,
) -> None:
    with pytest.raises(ImageError) as refusal:
        one(damage(encode(".jpg", picture)))
    assert re.fullmatch(f"x: JPEG data are damaged: {words}; export the image again", str(refusal.value))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "words",
    [
        "Corrupt JPEG data: 3 extraneous bytes before marker 0xdb",
        "Corrupt JPEG data: 3 extraneous bytes before marker 0xe1",
        "Corrupt JPEG data: bad ICC marker",
        "Unknown Adobe color transform code 7",
    ],
)
def test_padding_in_the_header_of_a_jpeg_is_no_damage(
    encode: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    plain = cv2.imdecode

    def decode(buffer: NDArray[np.uint8], flags: int) -> Any:
        os.write(2, words.encode())
        return plain(buffer, flags)

    raw = encode(".jpg", np.full((8, 8), 9, np.uint8))
    monkeypatch.setattr(cv2, "imdecode", decode)
    assert one(raw).pixels.shape == (8, 8)


def test_sound_jpegs_raise_no_alarm(shared_data: Path) -> None:
    with zipfile.ZipFile(shared_data / "chest_xray_224" / "images.zip") as archive:
        for name in [name for name in archive.namelist() if name.endswith((".jpg", ".jpeg"))][::50]:
            one(archive.read(name))


TIFFS: dict[str, tuple[NDArray[Any], str]] = {
    "float": (np.zeros((4, 4), np.float32), "x: BitsPerSample: expected 8 or 16, got 32"),
    "signed": (np.zeros((4, 4), np.int16), "x: SampleFormat: expected 1, got 2"),
}


@pytest.mark.parametrize(("pixels", "message"), TIFFS.values(), ids=TIFFS)
def test_tiff_of_another_type_is_refused(encode: Callable[..., bytes], pixels: NDArray[Any], message: str) -> None:
    with pytest.raises(ImageError) as refusal:
        one(encode(".tif", pixels))
    assert str(refusal.value) == f"{message}; export it as 8- or 16-bit gray TIFF or PNG"


def test_folder_expands_to_its_images_in_order(tmp_path: Path, encode: Callable[..., bytes]) -> None:
    png = encode(".png", np.zeros((4, 4), np.uint8))
    for name in ("b.png", "a/z.JPG", "a/IM0001", ".hidden/c.png", ".d.png", "DICOMDIR", "notes.txt", "bad.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no picture" if name in ("notes.txt", "bad.png") else png)
    single = tmp_path / "notes.txt"
    gone = tmp_path / "gone"
    found = readers.expand([single, tmp_path, gone])
    names = ["a/IM0001", "a/z.JPG", "b.png", "bad.png"]
    assert found == [single, *(tmp_path / name for name in names), gone]


def corpus() -> list[bytes]:
    picture = (np.arange(1024) % 251).astype(np.uint8).reshape(32, 32)
    stills = [cv2.imencode(suffix, picture)[1].tobytes() for suffix in (".png", ".jpg", ".tif")]
    stills.append(cv2.imencodemulti(".tif", [picture, picture])[1].tobytes())
    array = io.BytesIO()
    np.save(array, picture)
    return [*stills, array.getvalue()]


@given(kind=st.integers(0, 4), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_damaged_file_gives_frames_or_an_error(kind: int, seed: int) -> None:
    raw, chance = bytearray(corpus()[kind]), random.Random(seed)
    for _ in range(chance.choice([1, 2, 8])):
        raw[chance.randrange(chance.choice([64, len(raw)]))] = chance.randrange(256)
    if chance.random() < 0.2:
        del raw[chance.randrange(len(raw)) :]
    try:
        frames = list(readers.decode(bytes(raw), source="x"))
    except EdgemedError:
        return
    assert all(isinstance(frame, Frame) for frame in frames)


@given(raw=st.binary(max_size=200))
def test_any_bytes_give_frames_or_an_error(raw: bytes) -> None:
    try:
        frames = list(readers.decode(raw, source="x"))
    except EdgemedError:
        return
    assert all(isinstance(frame, Frame) for frame in frames)
