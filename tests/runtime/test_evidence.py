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
from edgemed.runtime import caption, evidence, scale
from edgemed.runtime.decision import Calibration, Decision
from edgemed.runtime.screening import Latency, Screening
from tests.runtime import tiny

RULE = tiny.rule(b"model", threshold=0.5)
STRETCH = Preprocessing(schema=1, height=32, width=32, steps=(Resize(method="area", fit="stretch"),))
LETTERBOX = msgspec.structs.replace(STRETCH, steps=(Resize(method="area", fit="letterbox"),))
CROPPED = msgspec.structs.replace(STRETCH, steps=(CropBorder(fraction=0.1), *LETTERBOX.steps))
SCREENING = Screening(
    source="scan.png",
    frame=0,
    modality=None,
    decision=Decision.ALERT,
    score=0.93,
    logit=(2.6,),
    operating_point="rule-out",
    threshold=0.5,
    latency=Latency(decode_ms=0.0),
    evidence=np.full((4, 4), -5.0),
)


def screening(cells: np.ndarray) -> Screening:
    return dataclasses.replace(SCREENING, evidence=cells)


def drawn(pixels: np.ndarray, cells: np.ndarray, preprocessing: Preprocessing = STRETCH, bits: int = 8) -> np.ndarray:
    """Return the overlay without its caption."""
    frame = Frame(pixels=pixels, source="scan.png", bits=bits)
    image = evidence.overlay(frame, screening(cells), preprocessing=preprocessing, rule=RULE)
    return image[: -caption.HEIGHT_PX]


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

    placed = evidence.on_frame(cells, shape, CROPPED, size=shape)

    weights = np.nan_to_num(placed)
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

    assert image.shape == (512 + caption.HEIGHT_PX, 512, 3)


@pytest.mark.parametrize("missing", ["evidence", "score"])
def test_refused_screening_has_no_overlay(missing: str) -> None:
    refused = dataclasses.replace(SCREENING, **{missing: None})

    with pytest.raises(ValueError, match="screening: expected evidence and a score"):
        evidence.overlay(tiny.frame(), refused, preprocessing=STRETCH, rule=RULE)


@pytest.mark.parametrize("decided", [Decision.ALERT, Decision.CLEAR, Decision.INDETERMINATE], ids=str)
def test_caption_marks_the_decision(decided: Decision) -> None:
    image = np.zeros((40, 600, 3), np.uint8)

    strip = caption.below(image, dataclasses.replace(SCREENING, decision=decided))[40:]

    others = [
        caption.below(image, dataclasses.replace(SCREENING, decision=other))[40:]
        for other in (Decision.ALERT, Decision.CLEAR, Decision.INDETERMINATE)
        if other is not decided
    ]
    assert strip.shape == (caption.HEIGHT_PX, 600, 3)
    assert all((strip[:, 2] != other[:, 2]).any() and (strip[:40, 20:] != other[:40, 20:]).any() for other in others)


def test_picture_survives_its_png() -> None:
    image = drawn(tiny.picture(64), np.linspace(-5, 9, 16).reshape(4, 4))

    decoded = cv2.imdecode(np.frombuffer(evidence.encode_png(image), np.uint8), cv2.IMREAD_COLOR)

    assert (decoded == image).all()
