from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgemed.errors import ConfigError, ImageError
from edgemed.imaging.frame import Frame
from edgemed.runtime.screener import Screener
from edgemed.runtime.screening import Refusal
from edgemed.training import out_of_distribution as ood
from tests.runtime import tiny


class Brightness(tiny.FakeInterpreter):
    """A model whose embedding lies as far off as the mean of its plane does from -64."""

    def invoke(self, inputs: Mapping[str, NDArray[np.int8]]) -> dict[str, NDArray[np.int8]]:
        answered = super().invoke(inputs)
        answered["embedding"][...] = np.clip(np.rint(inputs["plane"].mean() + 64 - 10), -128, 127)
        return answered


@pytest.fixture
def screener() -> Screener:
    """Return one that refuses frames whose mean grey level is farther than 30 from 64."""
    limits = tiny.limits(limit=0.5 * 30 * math.sqrt(tiny.EMBEDDING))
    return Screener(tiny.bundle(b"model", tiny.rule(b"model", out_of_distribution=limits)), Brightness())


def frame(mean: float, seed: int, **fields: object) -> Frame:
    noise = np.random.default_rng(seed).normal(mean, 20, (32, 32))
    return Frame(pixels=noise.clip(0, 255).astype(np.uint8), source="x", **fields)  # type: ignore[arg-type]


def test_refusals_are_counted_by_gate_with_their_intervals(screener: Screener) -> None:
    outside = [
        frame(180, 1),
        frame(180, 2, coloured_fraction=0.5),
        frame(64, 3, modality="US"),
        frame(64, 4),
    ]
    report = ood.measure(screener, [frame(64, seed) for seed in range(10, 20)], {"others": outside})

    assert (report.in_domain.n, report.in_domain.refused.value, report.in_domain.auroc) == (10, 0.0, None)
    assert report.in_domain.refused.ci95 == pytest.approx((0.0, 0.2775), abs=1e-4)
    others = report.sets[0]
    assert (others.name, others.n, others.refused.value) == ("others", 4, 0.75)
    assert others.by == {Refusal.MODALITY: 1, Refusal.QUALITY: 1, Refusal.DISTANCE: 1}
    assert report.bundle["name"] == "tiny"
    assert report.backend == "fake"


def test_auroc_is_the_distances_own_whatever_gate_refused(screener: Screener) -> None:
    inside = [frame(64, seed) for seed in range(10)]
    outside = [frame(180, 1, coloured_fraction=0.9), frame(200, 2)]
    report = ood.measure(screener, inside, {"far": outside, "same": inside})
    far, same = report.sets[:2]
    assert far.by == {Refusal.QUALITY: 1, Refusal.DISTANCE: 1}
    assert far.auroc is not None
    assert far.auroc.value == 1.0
    assert same.auroc is not None
    assert same.auroc.value == 0.5


def test_frames_in_domain_are_altered_in_every_way(screener: Screener) -> None:
    report = ood.measure(screener, [frame(64, seed) for seed in range(6)], {})
    found = {one.name: one for one in report.sets}
    assert list(found) == ["inverted", "rotated 90", "rotated 180", "blank", "saturated"]
    assert all(one.n == 6 for one in found.values())
    assert found["inverted"].by == {Refusal.DISTANCE: 6}
    assert found["blank"].by == {Refusal.QUALITY: 6}
    assert found["saturated"].by == {Refusal.DISTANCE: 6}
    assert found["rotated 180"].by == {}


@pytest.mark.parametrize("bits", [8, 12])
def test_alterations_keep_depth_and_do_what_they_say(bits: int) -> None:
    top = (1 << bits) - 1
    pixels = np.arange(12, dtype=np.uint8 if bits == 8 else np.uint16).reshape(3, 4) * (top // 20)
    given = Frame(pixels=pixels, source="x", bits=bits)
    found = {name: alter(given) for name, alter in ood.ALTERATIONS.items()}
    assert {values.dtype for values in found.values()} == {pixels.dtype}
    assert np.array_equal(found["inverted"], top - pixels)
    assert np.array_equal(found["rotated 90"], np.rot90(pixels))
    assert np.array_equal(found["rotated 180"], pixels[::-1, ::-1])
    assert np.unique(found["blank"]).tolist() == [round(float(pixels.mean()))]
    assert (found["saturated"] == top).mean() == 0.5


def test_bundle_without_the_gate_has_no_auroc() -> None:
    plain = Screener(tiny.bundle(b"model"), tiny.FakeInterpreter())
    report = ood.measure(plain, [frame(64, 1), frame(64, 2)], {"far": [frame(180, 3), frame(180, 4)]})
    assert [one.auroc for one in report.sets] == [None] * 6


def test_empty_set_is_refused(screener: Screener) -> None:
    with pytest.raises(ConfigError) as caught:
        ood.measure(screener, [frame(64, 1)], {"photos": []})
    assert str(caught.value) == "photos: expected at least one frame, got none; name a folder with images"


def test_name_of_an_alteration_is_taken(screener: Screener) -> None:
    with pytest.raises(ConfigError) as caught:
        ood.measure(screener, [frame(64, 1)], {"blank": [frame(64, 2)]})
    assert str(caught.value) == ("blank: is the name of an alteration of frames in domain; give the set another name")


def picture(path: Path) -> Path:
    path.write_bytes(cv2.imencode(".png", tiny.picture())[1].tobytes())
    return path


def test_frames_of_a_folder_a_picture_and_a_zip(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    one = picture(folder / "b.png")
    picture(folder / "a.png")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(one, "x/b.png")
        archive.writestr("index.csv", "path\n")
    assert [Path(found.source).name for found in ood.frames(folder)] == ["a.png", "b.png"]
    assert len(list(ood.frames(one))) == 1
    assert [found.source for found in ood.frames(tmp_path / "all.zip")] == ["x/b.png"]


def test_nothing_to_measure_is_refused(tmp_path: Path) -> None:
    for path, found in ((tmp_path / "absent", "found nothing; check the path"), (tmp_path, "")):
        with pytest.raises(ConfigError) as caught:
            list(ood.frames(path))
        expected = (
            f"{path}: expected a folder, a picture, or a zip of pictures, {found}"
            if found
            else f"{path}: expected images, found none; name a folder, a picture, or a zip of pictures"
        )
        assert str(caught.value) == expected


def test_damaged_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"x" * 40)
    raw = bytearray(path.read_bytes())
    raw[40] ^= 1
    path.write_bytes(bytes(raw))
    with pytest.raises(ImageError) as caught:
        list(ood.frames(path))
    assert str(caught.value) == f"{path}: a.png: cannot be unpacked: Bad CRC-32 for file 'a.png'; pack it again"
