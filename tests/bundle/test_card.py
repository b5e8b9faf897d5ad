from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from edgemed.bundle import card

FIGURE = {"value": 0.9, "ci95": [0.8, 0.95]}
EVALUATION: dict[str, Any] = {
    "schema_version": 1,
    "bundle": {"name": "tiny"},
    "backend": "litert",
    "split": "test",
    "n": 40,
    "n_abnormal": 10,
    "auc": FIGURE,
    "operating_points": [
        {"name": "rule-out", "threshold": 0.4, "sensitivity": FIGURE, "specificity": None, "accuracy": FIGURE}
    ],
    "decisions": {"alert": 12, "clear": 28},
    "interval": "95 %; Wilson",
    "unit": "image",
}


def test_evaluation_becomes_a_section_and_other_evidence_does_not() -> None:
    evidence = {"evidence/test.json": msgspec.json.encode(EVALUATION), "evidence/parity.json": b'{"auc_float": 1}'}
    assert card.with_evaluations(b"# tiny\n", evidence).decode() == (
        "# tiny\n\n"
        "## Measured on test (`evidence/test.json`)\n\n"
        "- 40 images, 10 abnormal; int8 model on litert\n"
        "- AUC 0.9000 [0.8000, 0.9500]\n"
        "- rule-out, threshold 0.4000: sensitivity 0.9000 [0.8000, 0.9500]; specificity no such images; "
        "accuracy 0.9000 [0.8000, 0.9500]\n"
        "- Decisions: 12 alert, 28 clear\n"
        "- Intervals: 95 %; Wilson\n"
    )


def test_figures_by_patient_are_shown_beside_those_by_image() -> None:
    area = {**FIGURE, "ci95_by_patient": [0.7, 0.97]}
    known = {**EVALUATION, "n_groups": 25, "resamples": 2000, "auc": area}
    text = card.with_evaluations(b"# tiny\n", {"evidence/test.json": msgspec.json.encode(known)}).decode()
    assert "- 40 images of 25 patients, 10 abnormal; int8 model on litert\n" in text
    assert "- AUC 0.9000 [0.8000, 0.9500], by patient [0.7000, 0.9700]\n" in text


def test_images_are_not_called_patients_where_none_repeats() -> None:
    unknown = {**EVALUATION, "n_groups": 40, "resamples": None}
    text = card.with_evaluations(b"# tiny\n", {"evidence/test.json": msgspec.json.encode(unknown)}).decode()
    assert "- 40 images, 10 abnormal; int8 model on litert\n" in text


def test_card_without_evaluation_is_unchanged() -> None:
    assert card.with_evaluations(b"# tiny\n", {}) == b"# tiny\n"


def test_evaluations_come_in_the_order_of_their_names() -> None:
    raw = msgspec.json.encode(EVALUATION)
    assert list(card.evaluations({"evidence/b.json": raw, "evidence/a.json": raw})) == [
        "evidence/a.json",
        "evidence/b.json",
    ]


@given(
    st.one_of(st.binary(), st.text().map(str.encode), st.recursive(st.none(), st.lists).map(json.dumps).map(str.encode))
)
def test_any_bytes_are_an_evaluation_or_left_aside(raw: bytes) -> None:
    assert card.evaluations({"evidence/a.json": raw}) == {}


def test_deeply_nested_evidence_is_left_aside() -> None:
    assert card.evaluations({"evidence/a.json": b"[" * 100_000}) == {}
