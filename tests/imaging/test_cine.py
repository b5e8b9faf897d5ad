from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgemed.errors import EdgemedError, ImageError
from edgemed.imaging import cine, readers

MP4 = "lung_ultrasound/clips/Reg_Image_181739_trimmed_crop.mp4"
MPEG = "lung_ultrasound/clips/Reg_pat1Image_133410.mpeg"


@pytest.fixture
def avi(tmp_path: Path) -> Path:
    """Return a clip of 30 gray frames, 64 x 48, that brighten by 8 levels each."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for i in range(30):
        writer.write(np.full((48, 64, 3), 8 * i, np.uint8))
    writer.release()
    return path


def with_index_first(raw: bytes) -> bytes:
    """Move the ``moov`` box of an MP4 before its data, as a player that streams wants it."""
    boxes: dict[bytes, bytes] = {}
    place = 0
    while place < len(raw):
        (size,) = struct.unpack_from(">I", raw, place)
        boxes[raw[place + 4 : place + 8]] = raw[place : place + size]
        place += size
    moov = bytearray(boxes.pop(b"moov"))
    table = moov.find(b"stco") + 8
    (count,) = struct.unpack_from(">I", moov, table)
    for i in range(count):
        entry = table + 4 + 4 * i
        struct.pack_into(">I", moov, entry, struct.unpack_from(">I", moov, entry)[0] + len(moov))
    return boxes.pop(b"ftyp") + bytes(moov) + b"".join(boxes.values())


def test_frames_come_gray_and_numbered(avi: Path) -> None:
    frames = list(readers.read(avi))
    assert [frame.index for frame in frames] == list(range(30))
    assert all(frame.pixels.shape == (48, 64) and frame.source == str(avi) for frame in frames)
    assert np.abs([frame.pixels.mean() - 8 * frame.index for frame in frames]).max() < 4
    assert max(frame.coloured_fraction for frame in frames) == 0.0


@pytest.mark.parametrize(("name", "count", "side"), [(MP4, 104, 386), (MPEG, 183, 370)], ids=["mp4", "mpeg"])
def test_real_clip_gives_all_its_frames(shared_data: Path, name: str, count: int, side: int) -> None:
    frames = list(readers.read(shared_data / name))
    assert len(frames) == count
    assert {frame.pixels.shape for frame in frames} == {(side, side)}


def test_frames_come_one_at_a_time(shared_data: Path) -> None:
    frames = cine.read(shared_data / MP4)
    assert next(frames).index == 0
    frames.close()  # type: ignore[attr-defined]  # a generator: closing releases the file


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_clip_without_its_index_is_refused(shared_data: Path, tmp_path: Path, share: float) -> None:
    raw = (shared_data / MP4).read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(raw[: int(share * len(raw))])
    with pytest.raises(ImageError) as refusal:
        list(readers.read(path))
    assert str(refusal.value) == f"{path}: clip cannot be opened; the file is damaged or cut short, copy it again"


def test_clip_with_fewer_frames_than_declared_is_refused_at_its_end(shared_data: Path, tmp_path: Path) -> None:
    raw = with_index_first((shared_data / MP4).read_bytes())
    path = tmp_path / "cut.mp4"
    path.write_bytes(raw)
    assert len(list(readers.read(path))) == 104
    path.write_bytes(raw[: len(raw) // 2])
    good = 0
    with pytest.raises(ImageError) as refusal:
        for good, _ in enumerate(readers.read(path), start=1):  # noqa: B007 (used after the loop)
            pass
    assert 10 < good < 100
    assert str(refusal.value) == f"{path}: expected 104 frames, got {good}; the clip is cut short, copy it again"


def test_avi_cut_short_is_refused(avi: Path) -> None:
    avi.write_bytes(avi.read_bytes()[: avi.stat().st_size // 2])
    with pytest.raises(ImageError, match=r"expected 30 frames, got \d+; the clip is cut short, copy it again$"):
        list(readers.read(avi))


@pytest.fixture
def mpeg(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Return an MPEG program stream of 40 frames, 64 x 48, that move."""
    path = tmp_path / "clip.mpeg"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"PIM1"), 25, (64, 48))
    blurred = cv2.GaussianBlur(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8), (0, 0), 2)
    for i in range(40):
        writer.write(np.roll(blurred, 3 * i, axis=1))
    writer.release()
    return path


def test_sound_mpeg_stream_gives_all_its_frames(mpeg: Path) -> None:
    assert len(list(readers.read(mpeg))) == 40


@pytest.mark.parametrize("damage", ["cut", "hole"])
def test_damaged_mpeg_stream_ends_at_the_damage(
    shared_data: Path, tmp_path: Path, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    raw = (shared_data / MPEG).read_bytes()
    half = len(raw) // 2
    path = tmp_path / "clip.mpeg"
    path.write_bytes(raw[:half] if damage == "cut" else raw[:half] + bytes(4000) + raw[half + 4000 :])
    good = 0
    with pytest.raises(ImageError) as refusal:
        for good, _ in enumerate(readers.read(path), start=1):  # noqa: B007 (used after the loop)
            pass
    assert good == 62
    assert str(refusal.value) == (
        f"{path}: frame 62: MPEG data are damaged or cut short: ac-tex damaged at 13 1; copy the clip again"
    )
    assert "mpeg2video" not in capfd.readouterr().err


def test_any_damaged_clip_gives_frames_or_an_error(avi: Path, rng: np.random.Generator) -> None:
    whole = np.frombuffer(avi.read_bytes(), np.uint8)
    for limit in (64, 512, len(whole)) * 5:
        raw = whole.copy()
        raw[rng.integers(12, limit, 6)] = rng.integers(0, 256, 6)
        avi.write_bytes(raw.tobytes())
        try:
            frames = list(readers.read(avi))
        except EdgemedError:
            continue
        assert frames


@pytest.mark.parametrize(
    "head", [b"\0\0\0\x20ftypisom", b"\0\0\x01\xba", b"\x1a\x45\xdf\xa3"], ids=["mp4", "mpeg", "mkv"]
)
def test_junk_behind_a_container_s_first_bytes_is_refused(
    tmp_path: Path, rng: np.random.Generator, head: bytes
) -> None:
    path = tmp_path / "junk"
    path.write_bytes(head + rng.bytes(400))
    with pytest.raises(ImageError, match="damaged or cut short"):
        list(readers.read(path))
