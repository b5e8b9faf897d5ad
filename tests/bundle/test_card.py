from __future__ import annotations

import msgspec

from edgemed.bundle import card

FIGURE = {"value": 0.9, "ci95": [0.8, 0.95]}
EVALUATION = {
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
        "- rule-out, threshold 0.4000: sensitivity 0.9000 [0.8000, 0.9500], specificity no such images, "
        "accuracy 0.9000 [0.8000, 0.9500]\n"
        "- Decisions: 12 alert, 28 clear\n"
        "- Intervals: 95 %; Wilson\n"
    )


def test_card_without_evaluation_is_unchanged() -> None:
    assert card.with_evaluations(b"# tiny\n", {}) == b"# tiny\n"
