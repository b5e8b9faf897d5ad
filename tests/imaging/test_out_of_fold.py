from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgemed import schema
from edgemed.errors import ConfigError
from edgemed.imaging import out_of_fold
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.imaging.out_of_fold import Answer, OutOfFold

LABELS = ("normal", "pneumonia")


def answer(fold: int, label: str, **changes: Any) -> dict[str, Any]:
    return {
        "group": f"{fold:08x}",
        "label": label,
        "abnormal": label == "pneumonia",
        "fold": fold,
        "logit": 0.5,
        **changes,
    }


def tree(**changes: Any) -> dict[str, Any]:
    answers = [answer(fold, label) for fold in (0, 1) for label in LABELS]
    return {
        "schema": 1,
        "recipe": "cxr",
        "labels": LABELS,
        "images": "sha256:" + "1" * 64,
        "folds": 2,
        "answers": answers,
        **changes,
    }


def parsed(**changes: Any) -> OutOfFold:
    return out_of_fold.parse(schema.encode_json(tree(**changes)), source="out_of_fold.json")


def test_document_gives_its_columns() -> None:
    found = parsed()
    assert found.logits.tolist() == [0.5] * 4
    assert found.abnormal.tolist() == [0, 1, 0, 1]
    assert found.fold_of.tolist() == [0, 0, 1, 1]
    assert found.groups.tolist() == ["00000000", "00000000", "00000001", "00000001"]


def test_document_survives_its_file(tmp_path: Path) -> None:
    (tmp_path / "out_of_fold.json").write_bytes(schema.encode_json(parsed()))
    assert out_of_fold.read(tmp_path / "out_of_fold.json") == parsed()


FAULTS = {
    "fold without abnormal images": (
        {"answers": [answer(0, "normal"), answer(0, "pneumonia"), answer(1, "normal")]},
        "out_of_fold.json: answers: fold 1: expected normal and abnormal images, got 1 normal and 0 abnormal; train "
        "with fewer folds",
    ),
    "fold beyond the last": (
        {"answers": [*tree()["answers"], answer(2, "normal")]},
        "out_of_fold.json: answers: fold 2: expected folds below 2",
    ),
    "logit that is none": (
        {"answers": [*tree()["answers"], answer(0, "normal", logit="high")]},
        "out_of_fold.json: answers[4].logit: expected `float`, got `str`, value 'high'",
    ),
    "name of a patient": (
        {"answers": [*tree()["answers"], answer(0, "normal", name="x")]},
        "out_of_fold.json: answers[4].name: unknown key",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faulty_document_is_refused(name: str) -> None:
    changes, message = FAULTS[name]
    with pytest.raises(ConfigError) as caught:
        parsed(**changes)
    assert str(caught.value) == message


FOREIGN = {
    "recipe": (
        {"recipe": "breast"},
        "out_of_fold.json: recipe: expected 'cxr', got 'breast'; give the folds of this recipe",
    ),
    "labels": (
        {"labels": ("normal", "abnormal")},
        "out_of_fold.json: labels: expected normal, pneumonia, got normal, abnormal; train the folds again",
    ),
    "a label without images": (
        {"answers": [{**row, "label": "normal"} for row in tree()["answers"]]},
        "out_of_fold.json: answers: expected images of every label, got none of 'pneumonia'; train the folds again",
    ),
    "other images": (
        {"images": "sha256:" + "2" * 64},
        f"out_of_fold.json: images: the folds were trained on other images, labels or preprocessing (sha256:{'2' * 64}"
        f", now sha256:{'1' * 64}); train the folds again, or give the data that they were trained on with --data",
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_document_of_something_else_is_refused(name: str) -> None:
    changes, message = FOREIGN[name]
    with pytest.raises(ConfigError) as caught:
        out_of_fold.require_own(parsed(**changes), recipe="cxr", labels=LABELS, images="sha256:" + "1" * 64)
    assert str(caught.value) == message


def test_own_document_is_taken() -> None:
    out_of_fold.require_own(parsed(), recipe="cxr", labels=LABELS, images="sha256:" + "1" * 64)


def planes(count: int, seed: int) -> LabelledPlanes:
    drawn = np.random.default_rng(seed).integers(0, 256, (count, 4, 4)).astype(np.uint8)
    names = tuple(map(str, range(count)))
    return LabelledPlanes(planes=drawn, labels=np.arange(count) % 2, names=names, read=lambda _: pytest.fail("read"))


def part(whole: LabelledPlanes, chosen: slice) -> LabelledPlanes:
    return LabelledPlanes(
        planes=whole.planes[chosen], labels=whole.labels[chosen], names=whole.names[chosen], read=whole.read
    )


def test_digest_is_that_of_the_images_however_they_are_divided() -> None:
    whole = planes(6, seed=1)
    assert out_of_fold.digest([part(whole, slice(0, 2)), part(whole, slice(2, 6))]) == out_of_fold.digest(
        [part(whole, slice(5, None, -1))]
    )


def test_digest_changes_with_a_pixel_a_label_or_an_image() -> None:
    whole = planes(6, seed=1)
    changed = whole.planes.copy()
    changed[3, 1, 1] ^= 1
    others = [
        LabelledPlanes(planes=changed, labels=whole.labels, names=whole.names, read=whole.read),
        LabelledPlanes(planes=whole.planes, labels=1 - whole.labels, names=whole.names, read=whole.read),
        part(whole, slice(0, 5)),
    ]
    assert len({out_of_fold.digest([one]) for one in (whole, *others)}) == 4


def test_answer_is_hashable_value() -> None:
    assert Answer(**answer(0, "normal")) == Answer(**answer(0, "normal"))
