from __future__ import annotations

import re

import cv2
import msgspec
import numpy as np

from edgemed.benchmark import budget, compare, report
from edgemed.benchmark.control import noise
from tests.benchmark import made


def judged(rng: np.random.Generator, limit_ms: float) -> made.Result:
    times = made.columns(rng, 1000)
    allowed = [budget.Limit(stage="total", percentile="p99", limit_ms=limit_ms, source="target")]
    rows = budget.judge(times, allowed, noise=noise(times["control"]))
    return made.result(times, budget=rows)


def test_page_needs_nothing_from_outside_and_says_what_was_measured(rng: np.random.Generator) -> None:
    text = report.page(judged(rng, 100.0))
    assert not re.search(r"(src|href)=|<script|@import|url\(", text)
    assert "A measurement, no prediction" in text
    assert "<strong>Within the budget</strong>" in text
    assert "CPU of a test" in text


def test_page_names_the_stage_that_broke_its_percentile(rng: np.random.Generator) -> None:
    text = report.page(judged(rng, 5.0))
    assert "<strong>Budget broken</strong>" in text
    assert re.search(r"<li>total p99: \d+\.\d{3} ms of 5 ms</li>", text)
    assert "BROKEN, 1000 above" in text


def test_page_shows_a_regression(rng: np.random.Generator) -> None:
    before, after = made.result(made.columns(rng)), made.result(made.columns(rng, slower={"infer": 1.5}))
    text = report.page(after, compare.compare(before, after))
    assert "<strong>Regression</strong>" in text
    assert "<h2>Against tiny 1.2.3</h2>" in text


def test_page_of_an_interrupted_run_says_so_and_escapes_names(rng: np.random.Generator) -> None:
    result = made.result(made.columns(rng, 3), interrupted=True)
    named = msgspec.structs.replace(result.bundle, name="a<b>")
    text = report.page(msgspec.structs.replace(result, bundle=named))
    assert "INTERRUPTED" in text
    assert "a<b>" not in text
    assert "a&lt;b&gt;" in text


def test_page_without_a_sample_is_still_a_page(rng: np.random.Generator) -> None:
    empty = {name: values[:0] for name, values in made.columns(rng).items()}
    assert "no sample" in report.page(made.result(empty, unaccounted=None))


def test_picture_is_a_png_with_something_on_it(rng: np.random.Generator) -> None:
    pixels = cv2.imdecode(np.frombuffer(report.png(made.result(made.columns(rng, 3000))), np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert pixels.shape == (1080, 1520, 3)
    assert 0.02 < float(np.mean(pixels.min(axis=2) < 200)) < 0.6


def test_picture_as_svg_has_a_point_for_the_worst_frame(rng: np.random.Generator) -> None:
    times = made.columns(rng, 5000)
    times["total"][2500] = 500.0
    assert ">500<" in report.svg(made.result(times))


def test_cautions_tell_noise_and_few_samples(rng: np.random.Generator) -> None:
    result = made.result(made.columns(rng, 3))
    assert report.cautions(result) == [
        "noise: 3 samples of the control loop, expected at least 40: nothing can be said of the noise",
        "3 samples: no p99 is given below 1000",
    ]
