from __future__ import annotations

import re

import msgspec
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")
pytest.importorskip("matplotlib", reason="needs the train extra")

from converters import report
from converters.report import page, plots
from tests.converters import reported
from tests.pages.seen import Seen, require_whole

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def text() -> str:
    return page.render_html(reported.made(), paired=reported.paired())


@pytest.fixture(scope="module")
def seen(text: str) -> Seen:
    return Seen(text)


def test_page_is_whole_and_needs_nothing_from_outside(text: str) -> None:
    require_whole(text)


def test_names_of_elements_are_not_used_twice_for_different_things(text: str) -> None:
    defined: dict[str, str] = {}
    for whole, tag, name in re.findall(r'(<(\w+) id="([^"]+)"[^>]*>)', text):
        end = text.index(f"</{tag}>", text.index(whole)) if tag == "clipPath" else text.index(whole) + len(whole)
        content = " ".join(text[text.index(whole) : end].split())
        assert defined.setdefault(name, content) == content
    assert len(defined) > 20


def test_every_row_of_the_table_and_layer_is_on_the_page(seen: Seen) -> None:
    words = seen.words
    for name, value in report.table_rows(reported.made()):
        assert f"{name}" in words
        assert value in words
    for shown in ("thin", "late", "pool", "extra", "TANH", "all-zero channels: 1 of 4, the first at 2", "Some CPU"):
        assert shown in words
    assert "the trained twin without quantization" in words


def test_every_picture_has_words_for_those_who_do_not_see_it(seen: Seen) -> None:
    labels = seen.values("aria-label")
    assert len(labels) == sum(1 for tag, name, _ in seen.attributes if (tag, name) == ("svg", "viewbox")) == 5
    assert labels[0] == "Bar chart of signal-to-noise ratios; the worst layer is thin with 21.4 dB"
    assert labels[1] == "Scatter of 60 logits, float against qat; 1 images are decided differently"


def test_failed_gate_says_which_rules() -> None:
    words = Seen(page.render_html(reported.made(passed=False))).words
    assert "Parity gate: failed" in words
    assert "AUC qat minus float -0.0010 [-0.0030, +0.0010], expected a lower end above -0.002" in words


def test_names_cannot_break_out_of_the_page() -> None:
    evil = '<script>alert("x")</script>'
    made = reported.made(name=evil)
    assert made.fidelity is not None
    worst = msgspec.structs.replace(made.fidelity.layers[0], layer=evil)
    made = msgspec.structs.replace(made, fidelity=msgspec.structs.replace(made.fidelity, layers=(worst,)))
    text = page.render_html(made)
    assert "<script" not in text
    assert Seen(text).words.count(evil) >= 3


def test_parts_that_are_absent_are_left_out() -> None:
    bare = msgspec.structs.replace(reported.made(), fidelity=None, latency=None, tolerance=None)
    seen = Seen(page.render_html(bare))
    assert seen.open == []
    assert len(seen.values("aria-label")) == 1
    assert "Latency" not in seen.words
    assert "noise" not in seen.words


def test_equal_reports_give_equal_pages(text: str) -> None:
    assert page.render_html(reported.made(), paired=reported.paired()) == text


def test_images_that_are_decided_differently_are_found() -> None:
    assert reported.paired().flipped.nonzero()[0].tolist() == [0]


def test_plots_leave_the_style_of_others_alone() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    plots.scales(reported.covered())
    assert dict(matplotlib.rcParams) == before
