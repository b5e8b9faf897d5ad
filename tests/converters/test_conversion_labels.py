"""`converters.convert` with a model of several labels, and thresholds chosen out of fold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras

from converters import report
from converters.artifact import Artifact
from converters.gate import Gate
from converters.mode import Mode
from converters.parity import Parity
from edgemed.bundle import archive, trust
from edgemed.errors import ConfigError, ConversionError
from edgemed.imaging import out_of_fold
from edgemed.imaging.frame import Frame
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.imaging.out_of_fold import Answer, OutOfFold
from edgemed.runtime import backends, golden
from edgemed.runtime.decision import Decision
from edgemed.runtime.labels import Labels
from edgemed.runtime.screener import Screener
from tests.bundle.tiny import KEY
from tests.converters import converted
from tests.converters.converted import DESCRIPTION, RULE_IN, RULE_OUT, convert
from tests.training import blobs

pytestmark = pytest.mark.tensorflow

THREE: dict[str, Any] = {"label_names": ("plain", "blob", "spot"), "normal_labels": ("plain",)}


def _of_three(count: int, *, seed: int, where: Path) -> LabelledPlanes:
    """Return pictures of which each third blob is called a spot."""
    labels = np.arange(count) % 2
    labels[5::6] = 2
    return converted.part(count, seed=seed, where=where, labels=labels, **THREE)


@pytest.fixture(scope="module")
def model_of_three() -> keras.Model:
    return converted.three_logits()


@pytest.fixture(scope="module")
def of_three(model_of_three: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    where = tmp_path_factory.mktemp("three")
    train, validation = _of_three(48, seed=1, where=where), _of_three(96, seed=2, where=where)
    return convert(
        model_of_three,
        where,
        mode=Mode.PTQ,
        train=train,
        validation=validation,
        out_of_fold=_answered(model_of_three, (train, validation)),
        gate=Gate(points=(RULE_OUT, RULE_IN), active="rule-out", margin=0.05),
        description=msgspec.structs.replace(DESCRIPTION, labels=THREE["label_names"], normal_labels=("plain",)),
    )


def _answered(model: keras.Model, parts: tuple[LabelledPlanes, ...]) -> OutOfFold:
    """Return what the model answers as if two models of a cross-validation did."""
    meaning = Labels(names=THREE["label_names"], normal=THREE["normal_labels"])
    rows = []
    for part in parts:
        logits = model.predict_on_batch(part.planes[..., np.newaxis].astype(np.float32))["logit"]
        for index, z in enumerate(meaning.abnormality(logits.astype(np.float64))):
            label = part.label_names[part.labels[index]]
            abnormal = bool(part.abnormal[index])
            group = f"{len(rows):08x}"
            rows.append(Answer(group=group, label=label, abnormal=abnormal, fold=index // 2 % 2, logit=float(z)))
    return OutOfFold(
        schema=1,
        recipe="blobs",
        labels=THREE["label_names"],
        images=out_of_fold.digest(parts),
        folds=2,
        answers=tuple(rows),
    )


def test_thresholds_are_chosen_out_of_fold_and_confirmed_on_the_model_that_ships(of_three: Artifact) -> None:
    ruling_out, ruling_in = of_three.rule.operating_points
    assert ruling_out.criterion == "sensitivity >= 0.9 out of fold on train and validation, 2 folds"
    assert ruling_in.criterion == "specificity >= 0.9 out of fold on train and validation, 2 folds"
    assert (ruling_out.n_normal, ruling_out.n_abnormal) == (72, 72)
    assert ruling_out.confirmed is not None
    assert (ruling_out.confirmed.n_normal, ruling_out.confirmed.n_abnormal) == (48, 48)
    assert ruling_out.confirmed.sensitivity > 0.8


def test_model_of_three_labels_is_judged_by_its_abnormality(of_three: Artifact) -> None:
    parity = of_three.report.parity
    assert parity.passed
    assert (parity.gate.n, parity.gate.n_abnormal) == (48, 24)
    assert parity.labels is not None
    assert parity.labels.agreed.n == 48
    assert parity.labels.agreed.value > 0.9
    rows = dict(report.table_rows(of_three.report))
    assert rows["label"].startswith("the same 0.9") or rows["label"].startswith("the same 1.0")
    assert "label" not in dict(report.table_rows(msgspec.structs.replace(of_three.report, parity=_unlabelled(parity))))


def _unlabelled(parity: Parity) -> Parity:
    return msgspec.structs.replace(parity, labels=None)


def test_model_of_three_labels_becomes_a_bundle_that_screens(of_three: Artifact) -> None:
    assert of_three.description.normal_labels == ("plain",)
    raw = archive.build(of_three.description, of_three.members, version="1.0.0", release=1, private_keys=[KEY])
    bundle = trust.verify(raw, keys=[KEY.public])
    replayed = golden.replay(bundle, backends.load(bundle.members["model/int8.tflite"], backend="litert"))
    assert replayed.verdict is golden.Verdict.WITHIN
    screener = Screener.open(bundle)
    rng = np.random.default_rng(9)
    found = [screener.screen(Frame(pixels=blobs.picture(rng, blob=blob), source="x")) for blob in (False, True)]
    assert [one.decision for one in found] == [Decision.CLEAR, Decision.ALERT]
    for one in found:
        assert one.logit is not None
        assert one.label_scores is not None
        assert one.evidence is not None
        assert list(one.label_scores) == ["plain", "blob", "spot"]
        assert one.label_scores["plain"] == pytest.approx(1 - (one.score or 0.0))
        assert one.evidence.mean() == pytest.approx(one.abnormality, abs=0.1)


def test_labels_of_another_recipe_are_refused_before_the_work(model_of_three: keras.Model, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        convert(
            model_of_three,
            tmp_path,
            validation=_of_three(96, seed=2, where=tmp_path),
            description=msgspec.structs.replace(DESCRIPTION, labels=("plain", "a", "b"), normal_labels=("plain",)),
        )
    assert str(caught.value) == (
        "blobs: labels: expected those of the images, plain, blob, spot (normal: plain), got plain, a, b "
        "(normal: plain)"
    )


def test_model_of_one_logit_for_three_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError) as caught:
        convert(
            converted.one_logit(),
            tmp_path,
            validation=_of_three(96, seed=2, where=tmp_path),
            description=msgspec.structs.replace(DESCRIPTION, labels=THREE["label_names"], normal_labels=("plain",)),
        )
    assert str(caught.value) == (
        "output of 'logit': has 1 unit, expected 3, one for each label; check the labels of the recipe"
    )
