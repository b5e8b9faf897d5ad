"""Damaged files of every kind give frames or an `EdgemedError`: a part of what `benchmarks/fuzz_images.py` runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from edgemed.imaging import readers
from tests.imaging.damage import Decoder, damaged, stills

CASES = 240


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(memory_bytes=1 << 30) as opened:
        yield opened


@pytest.fixture
def files(
    picture: NDArray[np.uint8], make_data_set: Callable[..., Dataset], file_bytes: Callable[..., bytes]
) -> dict[str, bytes]:
    small = picture[:48, :64]
    made = stills(small)
    for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
        made[f"{syntax.name}.dcm"] = file_bytes(make_data_set(np.stack([small, small])), syntax)
    coded = make_data_set(small)
    file_bytes(coded)
    coded.compress(RLELossless, generate_instance_uid=False)
    made["runs.dcm"] = file_bytes(coded, RLELossless)
    return made


def test_every_file_is_sound_before_it_is_damaged(files: dict[str, bytes]) -> None:
    assert all(list(readers.decode(raw, source=name)) for name, raw in files.items())


def test_damaged_files_give_frames_or_an_error(files: dict[str, bytes], decoder: Decoder) -> None:
    outcomes = {number: decoder.decode(damaged(files, number), limit_s=30.0) for number in range(CASES)}
    assert {number: found for number, found in outcomes.items() if not found.sound} == {}
    assert {found.kind for found in outcomes.values()} == {"frames", "refused"}
    assert decoder.peak_bytes() < 1 << 30


def test_case_is_always_the_same_bytes(files: dict[str, bytes]) -> None:
    assert damaged(files, 7) == damaged(files, 7) != damaged(files, 7 + len(files))
