from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgemed.errors import ImageError
from edgemed.imaging.frame import Frame
from edgemed.runtime.sources.arrival import Arrival
from edgemed.runtime.sources.folder import Folder
from tests.runtime import tiny
from tests.runtime.streams import FakeClock

PNG = tiny.png(tiny.picture())


class Watched:
    """A folder, looked into step by step: between two looks the test does what it likes."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.source = Folder(folder, settle_s=0.5, look_s=0.1)

    def look(self, *, after_s: float = 0.1) -> list[Arrival]:
        """Return what one look finds, so long after the last one."""
        self.clock.now_s += after_s
        found: list[Arrival] = []

        def pause(seconds: float) -> bool:
            return seconds > 0.0

        found.extend(self.source.arrivals(clock=self.clock, pause=pause))
        return found


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def names(arrivals: list[Arrival]) -> list[str]:
    return [Path(arrival.picture.source).name for arrival in arrivals if isinstance(arrival.picture, Frame)]


def faults(arrivals: list[Arrival]) -> list[str]:
    return [str(arrival.picture) for arrival in arrivals if isinstance(arrival.picture, ImageError)]


def test_files_are_taken_once_in_the_order_of_their_names(tmp_path: Path, watched: Watched) -> None:
    for name in ("b.png", "a.png"):
        (tmp_path / name).write_bytes(PNG)
    assert names(watched.look()) == ["a.png", "b.png"]
    (tmp_path / "0.png").write_bytes(PNG)
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "c.png").write_bytes(PNG)

    assert names(watched.look()) == ["0.png", "c.png"]
    assert names(watched.look()) == []


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_half_written_picture_waits_until_it_is_whole(tmp_path: Path, watched: Watched, suffix: str) -> None:
    raw = cv2.imencode(suffix, tiny.picture())[1].tobytes()
    path = tmp_path / f"scan{suffix}"
    for part in (10, len(raw) // 2, len(raw) - 1):
        path.write_bytes(raw[:part])
        assert watched.look() == []
    path.write_bytes(raw)

    found = watched.look()

    assert (names(found), faults(found)) == ([path.name], [])


def test_other_formats_wait_until_they_stand_still(tmp_path: Path, watched: Watched) -> None:
    path = tmp_path / "scan.npy"
    np.save(path, tiny.picture())
    whole = path.read_bytes()
    path.write_bytes(whole[:-100] + bytes(100))  # as long as it will be, but not all there
    assert watched.look() == []
    assert watched.look(after_s=0.4) == []
    path.write_bytes(whole)
    os.utime(path, ns=(0, 5_000_000_000))
    assert watched.look(after_s=0.4) == []
    assert watched.look(after_s=0.4) == []

    assert names(watched.look(after_s=0.2)) == ["scan.npy"]


def test_file_that_stays_half_written_is_refused_and_judged_once_it_goes_on(tmp_path: Path, watched: Watched) -> None:
    path = tmp_path / "scan.png"
    path.write_bytes(PNG[:-30])
    assert watched.look() == []

    assert faults(watched.look(after_s=0.6)) == [
        f"{path}: PNG ends inside a chunk; the file is cut short or damaged, copy it again"
    ]
    assert watched.look() == []
    path.write_bytes(PNG)
    assert names(watched.look()) == ["scan.png"]


def test_corrupt_file_stops_no_other(tmp_path: Path, watched: Watched) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    (tmp_path / "b.png").write_bytes(PNG)
    (tmp_path / "c.png").touch()

    assert names(watched.look()) == ["b.png"]
    assert [fault.partition(": ")[0] for fault in faults(watched.look(after_s=0.6))] == [
        str(tmp_path / "a.png"),
        str(tmp_path / "c.png"),
    ]


def test_age_counts_from_the_last_change_that_was_seen(tmp_path: Path, watched: Watched) -> None:
    np.save(tmp_path / "scan.npy", tiny.picture())
    watched.look()
    first_seen_s = watched.clock.now_s

    assert [arrival.arrived_s for arrival in watched.look(after_s=0.7)] == [first_seen_s]


def test_file_written_anew_counts_anew(tmp_path: Path, watched: Watched) -> None:
    path = tmp_path / "latest.png"
    path.write_bytes(PNG)
    assert names(watched.look()) == ["latest.png"]
    path.write_bytes(tiny.png(tiny.picture(seed=8)))

    assert names(watched.look()) == ["latest.png"]


def test_renamed_file_is_not_judged_twice(tmp_path: Path, watched: Watched) -> None:
    (tmp_path / "scan.part").write_bytes(PNG)
    assert names(watched.look()) == ["scan.part"]
    (tmp_path / "scan.part").rename(tmp_path / "scan.png")

    assert watched.look() == []


def test_clock_that_jumps_back_hides_no_file(tmp_path: Path, watched: Watched) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    watched.look()
    path = tmp_path / "b.png"
    path.write_bytes(PNG)
    os.utime(path, ns=(1, 1))

    assert names(watched.look()) == ["b.png"]


def test_temporary_file_that_disappears_is_forgotten(tmp_path: Path, watched: Watched) -> None:
    path = tmp_path / "scan.dcm"
    path.write_bytes(b"half")
    watched.look()
    path.unlink()

    assert watched.look(after_s=1.0) == []


def test_what_is_no_image_is_passed_over(tmp_path: Path, watched: Watched) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    (tmp_path / ".hidden.png").write_bytes(PNG)
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    os.mkfifo(tmp_path / "pipe.png")
    watched.look()

    assert watched.look(after_s=1.0) == []


def test_folder_that_vanishes_is_told_and_its_files_are_not_judged_again(tmp_path: Path) -> None:
    folder, away = tmp_path / "in", tmp_path / "away"
    folder.mkdir()
    (folder / "a.png").write_bytes(PNG)
    watched = Watched(folder)
    assert names(watched.look()) == ["a.png"]
    folder.rename(away)

    with pytest.raises(ImageError) as caught:
        watched.look()
    assert str(caught.value) == (f"{folder}: cannot be read: No such file or directory; check the folder and its mount")
    away.rename(folder)
    (folder / "b.png").write_bytes(PNG)
    assert names(watched.look()) == ["b.png"]


def test_file_is_decoded_no_more_often_than_it_changes(tmp_path: Path) -> None:
    tried = 0

    def read(path: Path) -> Iterator[Frame]:
        nonlocal tried
        tried += 1
        raise ImageError("cut short")
        yield

    (tmp_path / "scan.png").write_bytes(PNG[:-30])
    watched = Watched(tmp_path)
    watched.source = Folder(tmp_path, settle_s=0.5, read=read)
    for _ in range(4):
        watched.look(after_s=0.1)

    assert tried == 1


def test_real_dicom_copied_in_pieces_is_judged_once_and_whole(
    tmp_path: Path, watched: Watched, shared_data: Path
) -> None:
    pytest.importorskip("pydicom")
    whole = (shared_data / "dicom" / "us_rgb_uncompressed.dcm").read_bytes()
    path = tmp_path / "scan.dcm"
    found: list[Arrival] = []
    for part in range(4):
        with path.open("ab") as stream:
            stream.write(whole[part * len(whole) // 4 : (part + 1) * len(whole) // 4])
        found += watched.look(after_s=0.3)
    found += watched.look(after_s=0.3)
    found += watched.look(after_s=0.3)

    assert (names(found), faults(found)) == (["scan.dcm"], [])


def test_stream_that_stops_leaves_the_rest(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(PNG)
    clock = FakeClock()
    clock.stop_after = clock.now_s

    assert names(list(Folder(tmp_path).arrivals(clock=clock, pause=clock.pause))) == ["a.png"]
