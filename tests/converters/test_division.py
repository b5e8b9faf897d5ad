from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters import division
from edgemed.errors import ConfigError
from edgemed.imaging.frame import Frame
from edgemed.imaging.labelled import LabelledPlanes


def _no_picture(index: int) -> Frame:
    raise AssertionError("the division reads no picture")


def _validation(labels: Sequence[int], groups: Sequence[str] | None) -> LabelledPlanes:
    return LabelledPlanes(
        planes=np.zeros((len(labels), 8, 8), np.uint8),
        labels=np.array(labels, np.int64),
        names=tuple(f"{index}.png" for index in range(len(labels))),
        groups=None if groups is None else tuple(groups),
        read=_no_picture,
    )


PATIENTS = [f"p{index // 3}" for index in range(180)]
LABELS = [int(index // 3 % 3 == 0) for index in range(180)]


def test_parts_share_no_patient_and_hold_every_image_once() -> None:
    parts = division.of(_validation(LABELS, PATIENTS), share=0.5, seed=1)
    groups = np.array(PATIENTS)
    assert not set(groups[parts.operating]) & set(groups[parts.gate])
    assert sorted([*parts.operating, *parts.gate]) == list(range(180))


def test_labels_are_shared_out_as_asked() -> None:
    parts = division.of(_validation(LABELS, PATIENTS), share=0.5, seed=1)
    labels = np.array(LABELS)
    assert (int(labels[parts.gate].sum()), int(labels[parts.operating].sum())) == (30, 30)
    assert (len(parts.gate), len(parts.operating)) == (90, 90)


@given(order=st.permutations(range(60)), seed=st.integers(0, 1000))
def test_order_of_the_images_does_not_matter(order: list[int], seed: int) -> None:
    labels, groups = [int(index % 2) for index in range(60)], [f"p{index // 2}" for index in range(60)]
    straight = division.of(_validation(labels, groups), share=0.5, seed=seed)
    shuffled = division.of(
        _validation([labels[index] for index in order], [groups[index] for index in order]), share=0.5, seed=seed
    )
    assert {groups[index] for index in straight.gate} == {groups[order[index]] for index in shuffled.gate}


def test_another_seed_gives_another_division() -> None:
    validation = _validation(LABELS, PATIENTS)
    first, second = (division.of(validation, share=0.5, seed=seed) for seed in (1, 2))
    assert not np.array_equal(first.gate, second.gate)


def test_unknown_patients_are_images_that_stand_alone() -> None:
    parts = division.of(_validation([0, 1] * 20, None), share=0.5, seed=1)
    assert (len(parts.gate), len(parts.operating)) == (20, 20)


@pytest.mark.parametrize(
    ("labels", "groups", "message"),
    [
        pytest.param(
            [1] * 15 + [0] * 100,
            None,
            "validation: operating part: expected at least 10 normal and 10 abnormal images, got 50 normal and 7 "
            "abnormal, out of 115 validation images, of which 15 are abnormal; give validation more images, of other "
            "patients",
            id="few images",
        ),
        pytest.param(
            [1] * 40 + [0] * 40,
            ["one"] * 40 + [f"p{index}" for index in range(40)],
            "validation: operating part: expected at least 10 normal and 10 abnormal images, got 20 normal and 0 "
            "abnormal of 20 patients or groups of near-duplicates, out of 80 validation images, of which 40 are "
            "abnormal; give validation more images, of other patients",
            id="one abnormal patient",
        ),
    ],
)
def test_part_with_too_few_images_is_refused(labels: list[int], groups: list[str] | None, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        division.of(_validation(labels, groups), share=0.5, seed=1)
    assert str(caught.value) == message
