from __future__ import annotations

import dataclasses
import math

import cv2
import msgspec
import numpy as np
import pytest

from edgemed.imaging import preprocess
from edgemed.imaging.frame import Frame
from edgemed.imaging.preprocess import Preprocessing
from edgemed.imaging.steps import CropBorder, Resize
from edgemed.runtime import caption, evidence, placement, scale
from edgemed.runtime.decision import Calibration
from edgemed.runtime.screening import Screening
from tests.runtime import tiny

RULE = tiny.rule(b"model", threshold=0.5)
STRETCH = Preprocessing(schema=1, height=32, width=32, steps=(Resize(method="area", fit="stretch"),))
LETTERBOX = msgspec.structs.replace(STRETCH, steps=(Resize(method="area", fit="letterbox"),))
CROPPED = msgspec.structs.replace(STRETCH, steps=(CropBorder(fraction=0.1), *LETTERBOX.steps))
SCREENING = tiny.alert(source="scan.png", evidence=np.full((4, 4), -5.0))


def screening(cells: np.ndarray) -> Screening:
    return dataclasses.replace(SCREENING, evidence=cells)


def drawn(pixels: np.ndarray, cells: np.ndarray, preprocessing: Preprocessing = STRETCH, bits: int = 8) -> np.ndarray:
    """Return the overlay without its caption."""
    frame = Frame(pixels=pixels, source="scan.png", bits=bits)
    image = evidence.overlay(frame, screening(cells), preprocessing=preprocessing, rule=RULE)
    return image[: evidence.drawn_size(pixels.shape)[0]]


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        pytest.param((64, 64), (512, 512), id="small is enlarged"),
        pytest.param((700, 600), (700, 600), id="between stays"),
        pytest.param((1024, 1024), (1024, 1024), id="1024 stays"),
        pytest.param((1500, 3000), (512, 1024), id="large is reduced"),
        pytest.param((2000, 10), (1024, 5), id="a sliver keeps its proportions"),
    ],
)
def test_size_lies_between_512_and_1024(shape: tuple[int, int], size: tuple[int, int]) -> None:
    image = drawn(np.full(shape, 90, np.uint8), np.full((4, 4), -5.0))

    assert image.shape == (size[0], max(size[1], caption.MIN_WIDTH_PX), 3)
    assert image.dtype == np.uint8


def test_evidence_below_the_threshold_leaves_the_picture_as_it_is() -> None:
    pixels = tiny.picture(512)

    image = drawn(pixels, np.full((4, 4), -0.01))

    assert (image == pixels[..., None]).all()


def test_evidence_above_the_threshold_is_coloured_where_it_lies() -> None:
    cells = np.full((4, 4), -9.0)
    cells[0, 3] = scale.TOP_LOG_ODDS

    image = drawn(np.full((512, 512), 100, np.uint8), cells).astype(int)

    coloured = np.ptp(image, axis=2) > 20
    rows, columns = np.nonzero(coloured)
    assert coloured[64, 448]
    assert rows.max() < 192
    assert columns.min() > 320


def test_strongest_evidence_has_the_strongest_colour() -> None:
    image = drawn(np.zeros((512, 512), np.uint8), np.full((4, 4), 2 * scale.TOP_LOG_ODDS))

    strongest = scale.colours(np.ones((1, 1)))[0, 0].astype(float)
    assert image[256, 256].tolist() == np.round(0.5 * strongest).tolist()


@pytest.mark.parametrize("threshold", [0.5, 0.8], ids=str)
def test_line_runs_where_the_score_reaches_the_threshold(threshold: float) -> None:
    # Evidence rises by one log-odd per cell along x; the calibration halves it.
    cells = np.tile(np.arange(-8.0, 8.0), (16, 1))
    rule = tiny.rule(b"model", threshold=threshold, calibration=Calibration(slope=0.5, intercept=0.1))
    frame = Frame(pixels=np.full((512, 512), 60, np.uint8), source="scan.png")

    image = evidence.overlay(frame, screening(cells), preprocessing=STRETCH, rule=rule)

    white = np.nonzero((image[256] > 200).all(axis=1))[0]
    logit = (math.log(threshold / (1 - threshold)) - 0.1) / 0.5
    assert white.size > 0
    assert np.abs(white - (logit + 8 + 0.5) * 32).max() <= 2


def test_ticks_point_to_where_there_is_more() -> None:
    cells = np.tile(np.arange(-8.0, 8.0), (16, 1))

    image = drawn(np.full((512, 512), 60, np.uint8), cells)

    line = 8.5 * 32
    column = (image > 200).all(axis=2).sum(axis=0)  # light pixels, which ticks are beside the line
    assert column[int(line) + 4] > 5
    assert column[int(line) - 4] == 0


def test_cross_marks_the_most_evidence() -> None:
    cells = np.full((4, 4), 1.0)
    cells[1, 2] = 5.0

    image = drawn(np.full((512, 512), 60, np.uint8), cells)

    row, column = np.nonzero((image > 250).all(axis=2))
    assert (round(row.mean()), round(column.mean())) == pytest.approx((1.5 * 128, 2.5 * 128), abs=2)


def test_below_the_threshold_nothing_is_marked() -> None:
    cells = np.full((4, 4), -5.0)
    cells[1, 2] = -1.0

    assert (drawn(np.full((512, 512), 60, np.uint8), cells) == 60).all()


def test_colours_rise_in_lightness_for_gray_print_and_any_colour_vision() -> None:
    colours = scale.colours(np.linspace(0.0, 1.0, 100)[None])

    luminance = cv2.cvtColor(colours, cv2.COLOR_BGR2LAB)[0, :, 0].astype(int)
    assert (np.diff(luminance) >= 0).all()
    assert luminance[-1] - luminance[0] > 100


def test_border_of_the_picture_is_no_line() -> None:
    image = drawn(np.full((512, 512), 60, np.uint8), np.full((4, 4), 1.0))

    assert (image == image[256, 256]).all()


def test_what_was_cropped_away_is_dimmed_and_uncoloured() -> None:
    image = drawn(np.full((600, 600), 100, np.uint8), np.full((4, 4), 9.0), CROPPED).astype(int)

    assert image[30, 300].tolist() == [55, 55, 55]
    assert np.ptp(image[300, 300]) > 20


@pytest.mark.parametrize("shape", [(200, 100), (100, 200), (100, 100)], ids=str)
def test_each_cell_lies_where_preprocessing_took_it_from(shape: tuple[int, int]) -> None:
    """Hold the drawn place of a cell against the plane that preprocessing really makes."""
    spot = np.zeros(shape, np.uint8)
    row, column = (3 * shape[0]) // 4, shape[1] // 4
    spot[row - 6 : row + 6, column - 6 : column + 6] = 255
    plane = preprocess.apply(Frame(pixels=spot, source="scan.png"), CROPPED)
    cells = cv2.resize(plane, (16, 16), interpolation=cv2.INTER_AREA).astype(np.float64)

    where = placement.follow(shape, CROPPED, cells=cells.shape, size=shape)

    weights = where.interpolate(cells) * where.seen
    centre = [
        (np.arange(side) * weights.sum(axis=axis)).sum() / weights.sum()
        for side, axis in zip(shape, (1, 0), strict=True)
    ]
    assert centre == pytest.approx([row, column], abs=0.02 * max(shape))


def test_deep_frame_is_drawn_in_eight_bits() -> None:
    pixels = tiny.picture(512)

    deep = drawn(pixels.astype(np.uint16) << 4, np.full((4, 4), -5.0), bits=12)

    assert (deep == pixels[..., None]).all()


@pytest.mark.parametrize("threshold", [0.0, 1.0], ids=str)
def test_threshold_at_either_end_is_drawn(threshold: float) -> None:
    rule = tiny.rule(b"model", threshold=threshold)
    frame = Frame(pixels=tiny.picture(64), source="scan.png")

    image = evidence.overlay(frame, screening(np.zeros((4, 4))), preprocessing=STRETCH, rule=rule)

    assert image.shape[0] > 512
    assert image.shape[1:] == (512, 3)


@pytest.mark.parametrize("missing", ["evidence", "score"])
def test_refused_screening_has_no_overlay(missing: str) -> None:
    refused = dataclasses.replace(SCREENING, **{missing: None})

    with pytest.raises(ValueError, match="screening: expected evidence and a score"):
        evidence.overlay(tiny.frame(), refused, preprocessing=STRETCH, rule=RULE)


def test_picture_survives_its_png() -> None:
    image = drawn(tiny.picture(64), np.linspace(-5, 9, 16).reshape(4, 4))

    decoded = cv2.imdecode(np.frombuffer(evidence.encode_png(image), np.uint8), cv2.IMREAD_COLOR)

    assert (decoded == image).all()
