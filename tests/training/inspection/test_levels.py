from __future__ import annotations

import numpy as np
import pytest

from edgemed.training.inspection import inspect
from tests.training.inspection.made import described, noise, of_kind


def _pictures(count: int, *, offset: int, start: int = 0) -> list[np.ndarray[tuple[int, int], np.dtype[np.uint8]]]:
    return [noise(start + index, side=24) + np.uint8(offset) for index in range(count)]


def test_brighter_split_is_a_shift_by_as_many_levels() -> None:
    pictures = _pictures(40, offset=0) + _pictures(40, offset=12, start=100)
    checked = inspect(described(pictures, splits=["train"] * 40 + ["test"] * 40))
    assert {one.label for one in checked.document.differences} == {"normal", "abnormal"}
    for one in checked.document.differences:
        assert one.distance == pytest.approx(12, abs=3)
        assert one.distance > one.by_chance
    assert len(of_kind(checked, "shift")) == 2


def test_splits_of_one_source_are_no_shift() -> None:
    checked = inspect(described(_pictures(80, offset=0), splits=["train", "train", "test", "test"] * 20))
    assert len(checked.document.differences) == 2
    assert of_kind(checked, "shift") == []


def test_blurred_split_is_a_shift() -> None:
    blurred = [picture.repeat(2, axis=0).repeat(2, axis=1)[:24, :24] for picture in _pictures(40, offset=0)]
    pictures = blurred + _pictures(40, offset=0, start=100)
    checked = inspect(described(pictures, splits=["train"] * 40 + ["test"] * 40))
    assert all(one.sharper > 0.9 for one in checked.document.differences)
    assert len(of_kind(checked, "shift")) == 2


def test_chance_is_measured_on_whole_patients() -> None:
    """Frames of one patient look alike: two patients more or less bright are no shift."""
    bright = [index % 2 * 40 for index in range(12)]
    pictures = [
        noise(patient * 10 + frame, side=24) + np.uint8(level)
        for patient, level in enumerate(bright)
        for frame in range(10)
    ]
    patients = [f"p{patient}" for patient in range(12) for _ in range(10)]
    splits = ["train"] * 70 + ["test"] * 50
    by_patient = inspect(described(pictures, splits=splits, patients=patients, labels=["normal"] * 120))
    by_image = inspect(described(pictures, splits=splits, labels=["normal"] * 120))
    (grouped,), (alone,) = by_patient.document.differences, by_image.document.differences
    assert grouped.distance == alone.distance
    assert grouped.by_chance > 2 * alone.by_chance


def test_distance_is_what_pixels_have_to_move_on_average() -> None:
    first, second = _pictures(10, offset=0), _pictures(10, offset=30, start=50)
    checked = inspect(described(first + second, splits=["train"] * 10 + ["test"] * 10, labels=["normal"] * 20))
    darker, brighter = (np.sort(np.concatenate(side, axis=None).astype(float)) for side in (first, second))
    assert checked.document.differences[0].distance == pytest.approx(np.abs(darker - brighter).mean(), abs=0.006)


def test_levels_tell_mean_and_share_by_bin() -> None:
    checked = inspect(described([np.repeat([[8, 16]], 8, axis=0).astype(np.uint8)] * 2, labels=["normal"] * 2))
    (one,) = checked.document.levels
    assert (one.mean, one.deviation) == (12.0, 4.0)
    assert one.histogram[:3] == (0.0, 0.5, 0.5)
