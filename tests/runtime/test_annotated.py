"""Pictures of a stream: one size, whatever comes, and what the stream shows over time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgemed.imaging.frame import Frame
from edgemed.imaging.preprocess import Preprocessing
from edgemed.imaging.steps import Resize
from edgemed.runtime import screening as screenings
from edgemed.runtime.annotated import Annotator
from edgemed.runtime.decision import Decision
from edgemed.runtime.screening import Screening
from edgemed.runtime.temporal import Level
from edgemed.runtime.track import Decided
from tests.runtime import tiny

RULE = tiny.rule(b"model", threshold=0.5)
STRETCH = Preprocessing(schema=1, height=32, width=32, steps=(Resize(method="area", fit="stretch"),))
FOUND = tiny.alert(source="clip.mp4", evidence=np.full((4, 4), 9.0))


def item(
    pixels: np.ndarray | None, screening: Screening = FOUND, *, bits: int = 8, level: Level = Level.CLEAR
) -> Decided:
    frame = None if pixels is None else Frame(pixels=pixels, source="clip.mp4", bits=bits)
    return Decided(number=7, time_ms=233.3, age_ms=1.0, screening=screening, frame=frame, level=level)


def annotator(shape: tuple[int, int] = (480, 640)) -> Annotator:
    return Annotator(shape, preprocessing=STRETCH, rule=RULE)


GRAY = np.full((480, 640), 100, np.uint8)
REFUSED = dataclasses.replace(FOUND, decision=Decision.REFUSED, score=None, reasons=("too dark; raise the gain",))


def test_first_frame_sets_a_size_of_even_sides() -> None:
    for shape in ((481, 641), (33, 47), (2001, 1501)):
        rows, columns = annotator(shape).size  # type: ignore[arg-type]  # literals
        assert (rows % 2, columns % 2) == (0, 0)


def test_canvas_is_made_once() -> None:
    made = annotator()

    first, second = made.annotate(item(GRAY)), made.annotate(item(GRAY))

    assert np.shares_memory(first, second)
    assert first.shape == (*made.size, 3)


def test_evidence_is_coloured_and_a_refused_frame_is_not() -> None:
    made = annotator()

    coloured = np.ptp(made.annotate(item(GRAY))[240, 320].astype(int))
    plain = made.annotate(item(GRAY, REFUSED))[240, 320].tolist()

    assert coloured > 20
    assert plain == [100, 100, 100]


@pytest.mark.parametrize(
    ("shape", "bits"),
    [
        pytest.param((720, 1280), 8, id="larger and wider"),
        pytest.param((30, 20), 8, id="tiny and upright"),
        pytest.param((480, 640), 12, id="deeper"),
        pytest.param((2, 900), 8, id="sliver"),
    ],
)
def test_frame_of_another_format_is_fitted_into_the_same_picture(shape: tuple[int, int], bits: int) -> None:
    made = annotator()
    made.annotate(item(GRAY))
    other = np.full(shape, 100 << (bits - 8), np.uint16 if bits > 8 else np.uint8)

    image = made.annotate(item(other, REFUSED, bits=bits))

    assert image.shape == (*made.size, 3)
    # A sliver is a line in the middle.
    assert (image[238:242, 320] == 100).all(axis=1).any()


def test_frame_that_cannot_be_read_leaves_no_old_picture() -> None:
    made = annotator()
    made.annotate(item(GRAY))
    unreadable = screenings.unreadable("clip.mp4", "clip.mp4: frame 7 is damaged", frame=7, rule=RULE, decode_ms=0.0)

    image = made.annotate(item(None, unreadable))

    assert len(np.unique(image[:480].reshape(-1, 3), axis=0)) == 1


def test_standing_alert_frames_the_picture() -> None:
    made = annotator()

    quiet = made.annotate(item(GRAY, REFUSED)).copy()
    alert = made.annotate(item(GRAY, REFUSED, level=Level.ALERT))

    assert quiet[0, 320].tolist() == [100, 100, 100]
    assert alert[0, 320].tolist() == [0, 94, 213]
    assert (alert[20:460, 20:620] == quiet[20:460, 20:620]).all()


def test_strip_says_what_the_stream_shows() -> None:
    made = annotator()

    strips = [made.annotate(item(GRAY, level=level))[480:].copy() for level in (Level.CLEAR, Level.UNJUDGED)]

    assert (strips[0] != strips[1]).any()
