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


def test_figures_of_the_whole_document_enter_the_card() -> None:
    point = {
        **EVALUATION["operating_points"][0],
        "ppv": FIGURE,
        "npv": None,
        "f1": FIGURE,
        "likelihood_ratio_positive": {"value": 14.6, "ci95": [6.7, None]},
        "likelihood_ratio_negative": None,
        "at_prevalence": [{"prevalence": 0.05, "ppv": FIGURE, "npv": FIGURE}],
    }
    table = {"brier": 0.05, "expected_calibration_error": 0.02, "bins": []}
    subgroup = {"attribute": "site", "n_abnormal": 4, "few": True, "auc": None, "sensitivity": FIGURE}
    refused = {"name": "photos", "n": 15, "refused": FIGURE, "by": {}, "auroc": FIGURE}
    whole = {
        **EVALUATION,
        "operating_points": [point],
        "average_precision": FIGURE,
        "calibrations": [{"method": name, **table} for name in ("none", "in force", "isotonic")],
        "several": {"macro_auc": FIGURE, "accuracy": FIGURE, "labels": ["a", "b", "c"]},
        "subgroups": [{**subgroup, "value": "a|b\nc", "n": 9, "specificity": None}],
        "out_of_distribution": {"in_domain": {**refused, "name": "in domain", "auroc": None}, "sets": [refused]},
        "cautions": ["Only 10 abnormal images."],
    }
    shown = "0.9000 [0.8000, 0.9500]"
    assert card.with_evaluations(b"# tiny\n", {"evidence/test.json": msgspec.json.encode(whole)}).decode() == (
        "# tiny\n\n"
        "## Measured on test (`evidence/test.json`)\n\n"
        "- 40 images, 10 abnormal; int8 model on litert\n"
        f"- AUC {shown}\n"
        f"- Average precision {shown}, at the prevalence of these images\n"
        f"- Labels: macro AUC {shown}; accuracy {shown}\n"
        f"- rule-out, threshold 0.4000: sensitivity {shown}; specificity no such images; accuracy {shown}\n"
        f"- rule-out, at the prevalence of these images: PPV {shown}; NPV no such images; F1 {shown}; "
        "LR+ 14.6 [6.7, unbounded]; LR- no such images\n"
        f"- rule-out, where 5 % are abnormal: PPV {shown}; NPV {shown}\n"
        "- Calibration none: ECE 0.0200, Brier 0.0500\n"
        "- Calibration in force: ECE 0.0200, Brier 0.0500\n"
        "- Decisions: 12 alert, 28 clear\n"
        "- Intervals: 95 %; Wilson\n"
        "- Caution: Only 10 abnormal images.\n\n"
        "| subgroup | images | abnormal | AUC | sensitivity | specificity |\n"
        "|---|---|---|---|---|---|\n"
        f"| site: a/b c (few) | 9 | 4 | no such images | {shown} | no such images |\n\n"
        "| images | count | refused | AUROC of the distance |\n"
        "|---|---|---|---|\n"
        f"| in domain | 15 | {shown} |  |\n"
        f"| photos | 15 | {shown} | {shown} |\n"
    )
