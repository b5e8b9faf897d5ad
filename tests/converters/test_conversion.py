from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras
from keras import layers

import converters
from converters import calibration, report
from converters.artifact import Artifact
from converters.gate import Criterion, Gate
from converters.mode import Mode
from converters.parity import Parity, ParityError
from converters.report import Report, Training
from edgemed import targets, tflite
from edgemed.bundle import archive, trust
from edgemed.bundle.manifest import Description
from edgemed.errors import ConfigError, ConversionError
from edgemed.imaging import out_of_fold, preprocess
from edgemed.imaging.frame import Frame
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.imaging.out_of_fold import Answer, OutOfFold
from edgemed.runtime import backends, golden, selection
from edgemed.runtime.decision import Decision
from edgemed.runtime.labels import Labels
from edgemed.runtime.screener import Screener
from edgemed.training import recipe as recipes
from tests.bundle.tiny import KEY
from tests.converters.test_card import FACTS
from tests.converters.test_edgetpu import compiler
from tests.training import blobs

pytestmark = pytest.mark.tensorflow

RECIPE = recipes.parse(blobs.RECIPE.encode(), source="blobs.yaml")
RULE_OUT = Criterion(name="rule-out", sensitivity=0.9)
RULE_IN = Criterion(name="rule-in", specificity=0.9)
DESCRIPTION = Description(
    name="blobs",
    task="classify",
    intended_use="Tests.",
    modalities=("US",),
    body_part="PHANTOM",
    labels=("plain", "blob"),
)


def _part(count: int, *, seed: int, where: Path, **fields: Any) -> LabelledPlanes:
    """Return pictures that carry a patient's name in theirs, as hospitals' do."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    names = tuple(f"MUELLER-{index:03d}.png" for index in range(count))
    frames = [
        Frame(pixels=blobs.picture(rng, blob=bool(label)), source=str(where / name))
        for label, name in zip(labels, names, strict=True)
    ]
    planes = np.stack([preprocess.apply(frame, RECIPE.preprocessing) for frame in frames])
    return LabelledPlanes(**{"planes": planes, "labels": labels, "names": names, "read": frames.__getitem__, **fields})


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """Return a network that needs no training: evidence is how far a patch lies above the speckle."""
    plane = keras.Input((32, 32, 1), name="plane")
    x = layers.Rescaling(1 / 128, offset=-1.0, name="range")(plane)
    features = layers.ReLU(6.0, name="relu")(layers.Conv2D(8, 3, strides=2, padding="same", name="conv")(x))
    pooled = layers.GlobalAveragePooling2D(name="embedding")(features)
    evidence = layers.Conv2D(1, 1, name="evidence")(features)
    logit = layers.GlobalAveragePooling2D(name="logit")(evidence)
    made = keras.Model(plane, {"logit": logit, "evidence": evidence, "embedding": pooled})
    gains = np.linspace(0.5, 1.5, 8)
    made.get_layer("conv").set_weights([np.ones((3, 3, 1, 8)) / 9 * gains, np.linspace(-0.1, 0.3, 8) * gains])
    made.get_layer("evidence").set_weights([np.ones((1, 1, 8, 1)), np.array([-2.0])])
    return made


@pytest.fixture(scope="module")
def model_of_three() -> keras.Model:
    """Return a network of three labels, two of them blobs, the second a little less probable than the first."""
    plane = keras.Input((32, 32, 1), name="plane")
    x = layers.Rescaling(1 / 128, offset=-1.0, name="range")(plane)
    features = layers.ReLU(6.0, name="relu")(layers.Conv2D(8, 3, strides=2, padding="same", name="conv")(x))
    pooled = layers.GlobalAveragePooling2D(name="embedding")(features)
    evidence = layers.Conv2D(3, 1, name="evidence")(features)
    logit = layers.GlobalAveragePooling2D(name="logit")(evidence)
    made = keras.Model(plane, {"logit": logit, "evidence": evidence, "embedding": pooled})
    gains = np.linspace(0.5, 1.5, 8)
    made.get_layer("conv").set_weights([np.ones((3, 3, 1, 8)) / 9 * gains, np.linspace(-0.1, 0.3, 8) * gains])
    kernel = np.stack([np.zeros(8), np.ones(8), 0.9 * np.ones(8)], axis=1).reshape(1, 1, 8, 3)
    made.get_layer("evidence").set_weights([kernel, np.array([0.5, -2.0, -2.0])])
    return made


THREE: dict[str, Any] = {"label_names": ("plain", "blob", "spot"), "normal_labels": ("plain",)}


def _of_three(count: int, *, seed: int, where: Path) -> LabelledPlanes:
    """Return pictures of which each third blob is called a spot."""
    labels = np.arange(count) % 2
    labels[5::6] = 2
    return _part(count, seed=seed, where=where, labels=labels, **THREE)


@pytest.fixture(scope="module")
def of_three(model_of_three: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    where = tmp_path_factory.mktemp("three")
    train, validation = _of_three(48, seed=1, where=where), _of_three(96, seed=2, where=where)
    return _converted(
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
        _converted(
            model_of_three,
            tmp_path,
            validation=_of_three(96, seed=2, where=tmp_path),
            description=msgspec.structs.replace(DESCRIPTION, labels=("plain", "a", "b"), normal_labels=("plain",)),
        )
    assert str(caught.value) == (
        "blobs: labels: expected those of the images, plain, blob, spot (normal: plain), got plain, a, b "
        "(normal: plain)"
    )


def test_model_of_one_logit_for_three_labels_is_refused(model: keras.Model, tmp_path: Path) -> None:
    with pytest.raises(ConversionError) as caught:
        _converted(
            model,
            tmp_path,
            validation=_of_three(96, seed=2, where=tmp_path),
            description=msgspec.structs.replace(DESCRIPTION, labels=THREE["label_names"], normal_labels=("plain",)),
        )
    assert str(caught.value) == (
        "output of 'logit': has 1 unit, expected 3, one for each label; check the labels of the recipe"
    )


def _converted(model: keras.Model, where: Path, **changes: Any) -> Artifact:
    train = _part(48, seed=1, where=where)
    usual: dict[str, Any] = {
        "target": targets.load("generic-x86-64"),
        "train": train,
        "validation": _part(96, seed=2, where=where),
        "calibration": calibration.drawn(train.planes, 32, name="train", seed=1),
        "preprocessing": RECIPE.preprocessing,
        "fit": lambda twin: None,
        "gate": Gate(points=(RULE_OUT,), active="rule-out", margin=0.05),
        "description": DESCRIPTION,
        "quality": RECIPE.quality,
        "facts": FACTS,
    }
    return converters.convert(model, **{**usual, **changes})


@pytest.fixture(scope="module")
def conversion(model: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return _converted(model, tmp_path_factory.mktemp("images"))


def test_artifact_has_every_member_of_the_design(conversion: Artifact) -> None:
    assert sorted(conversion.members) == [
        "card.md",
        "decision.json",
        "evidence/conversion.json",
        "evidence/parity.json",
        "evidence/training.json",
        *(f"golden/{number:02d}{kind}.png" for number in range(4) for kind in (".plane", "")),
        "golden/tolerance.json",
        "golden/vectors.json",
        "model/int8.tflite",
        "preprocessing.json",
    ]
    assert conversion.description.outputs == ("embedding", "evidence", "logit")
    assert set(conversion.description.targets) >= {"generic-x86-64", "generic-aarch64", "raspberry-pi-5"}
    assert "coral-usb" not in conversion.description.targets


def test_no_member_names_an_image_or_a_path(conversion: Artifact, tmp_path: Path) -> None:
    words = [b"MUELLER", str(tmp_path.parent.parent).encode(), str(Path(__file__).parents[2]).encode()]
    assert [name for name, raw in conversion.members.items() if any(word in raw for word in words)] == []


def test_parity_holds_and_counts_what_it_names_outside_the_bundle(conversion: Artifact) -> None:
    assert conversion.report.parity.passed
    assert conversion.report.parity.flipped == len(conversion.flips)
    stored = msgspec.json.decode(conversion.members["evidence/parity.json"], type=Parity)
    assert stored == conversion.report.parity
    assert (stored.gate.n, stored.gate.n_abnormal, stored.operating.n) == (48, 24, 48)


def test_report_of_the_folder_is_the_evidence_of_the_bundle(conversion: Artifact) -> None:
    assert conversion.reports["conversion.json"] == conversion.members["evidence/conversion.json"]
    stored = msgspec.json.decode(conversion.reports["conversion.json"], type=Report)
    assert stored == conversion.report
    assert (stored.targets, stored.coverage.float_tensors, stored.training) == (
        ("generic-x86-64",),
        (),
        Training(images=64, epochs=1, learning_rate=0.001),
    )
    assert stored.calibration is not None
    assert (stored.calibration.name, stored.calibration.size) == ("train, 32 of 48, seed 1", 32)
    assert stored.fidelity is not None
    assert stored.fidelity.against == "the trained twin without quantization"
    page = conversion.reports["conversion.html"].decode()
    assert page.lower().startswith("<!doctype html>")
    assert "MUELLER" not in page


def test_operating_point_says_what_chose_it(conversion: Artifact) -> None:
    point = conversion.rule.operating_point
    assert point.criterion == "sensitivity >= 0.9 on the operating part of validation"
    assert (point.n_normal, point.n_abnormal) == (24, 24)


def test_indeterminate_zone_is_at_least_one_lsb_to_both_sides(conversion: Artifact) -> None:
    rule = conversion.rule
    interpreter = backends.load(conversion.members["model/int8.tflite"], backend="litert")
    q = interpreter.outputs["logit"].quantization
    assert q is not None
    zone, threshold = rule.indeterminate, rule.operating_point.threshold
    low, centre, high = (
        (math.log(score / (1 - score)) - rule.calibration.intercept) / rule.calibration.slope
        for score in (zone.low, threshold, zone.high)
    )
    assert min(centre - low, high - centre) >= q.scale * (1 - 1e-9)


def test_golden_vectors_replay_exactly_on_the_back_end_that_made_them(conversion: Artifact) -> None:
    raw = archive.build(conversion.description, conversion.members, version="1.0.0", release=1, private_keys=[KEY])
    bundle = trust.verify(raw, keys=[KEY.public])
    report = golden.replay(bundle, backends.load(bundle.members["model/int8.tflite"], backend="litert"))
    assert report.verdict is golden.Verdict.WITHIN
    assert {(vector.plane_gray, *vector.lsb.values(), vector.score) for vector in report.vectors} == {(0, 0, 0, 0, 0.0)}


def test_calibration_alone_gives_an_int8_model_that_passes(model: keras.Model, tmp_path: Path) -> None:
    made = _converted(model, tmp_path, mode=Mode.PTQ)
    assert tflite.float_tensors(tflite.read(made.model, source="ptq")) == ()
    assert (made.report.parity.mode, made.report.parity.passed) == (Mode.PTQ, True)
    assert made.report.calibration is not None
    assert made.report.calibration.proof is not None
    assert made.report.calibration.proof.differing > 0
    assert "golden/vectors.json" in made.members


def test_validation_with_too_few_images_is_refused_before_the_work(tmp_path: Path) -> None:
    few = _part(64, seed=2, where=tmp_path)
    labels = np.zeros(64, np.int64)
    labels[5] = 1
    lone = LabelledPlanes(planes=few.planes, labels=labels, names=few.names, read=few.read)
    with pytest.raises(ConfigError) as caught:
        _converted(keras.Sequential(), tmp_path, validation=lone)
    assert str(caught.value) == (
        "validation: operating part: expected at least 10 normal and 10 abnormal images, got 31 normal and 0 abnormal, "
        "out of 64 validation images, of which 1 are abnormal; give validation more images, of other patients"
    )


def test_calibration_of_another_size_is_refused_before_the_work(model: keras.Model, tmp_path: Path) -> None:
    halves = calibration.of(_part(48, seed=1, where=tmp_path).planes[:, :16], name="halves")
    with pytest.raises(ConversionError) as caught:
        _converted(model, tmp_path, calibration=halves)
    assert str(caught.value) == (
        f"calibration: expected planes of 32 x 32 (height x width), the input of {model.name!r}, got 16 x 32; make "
        "them with the preprocessing of this model"
    )


def test_collapsed_model_is_refused_by_the_gate(model: keras.Model, tmp_path: Path) -> None:
    """What users meet in the field: quantization ends with a model that still answers, and wrongly."""

    def ruin(twin: keras.Model) -> None:
        kernel, bias = twin.get_layer("conv").get_weights()
        noise = np.random.default_rng(4).normal(scale=0.1, size=kernel.shape)
        twin.get_layer("conv").set_weights([noise - noise.mean(axis=(0, 1, 2)), bias])

    with pytest.raises(ParityError) as caught:
        _converted(model, tmp_path, fit=ruin)
    assert not caught.value.parity.passed
    assert len(caught.value.flips) == caught.value.parity.flipped > 0
    assert str(caught.value).startswith("parity: AUC qat minus float -")


@pytest.fixture(scope="module")
def for_accelerators(model: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Return a conversion for every kind of accelerator, with a compiler on PATH that knows the real log format."""
    pytest.importorskip("onnxruntime", reason="needs the jetson extra")
    where = tmp_path_factory.mktemp("accelerators")
    compiler(where)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{where}{os.pathsep}{os.environ['PATH']}")
        devices = [targets.load(name) for name in ("coral-usb", "jetson-orin-nano", "jetson-nano", "generic-x86-64")]
        return _converted(model, where, target=devices)


def test_each_accelerator_gets_its_model(for_accelerators: Artifact) -> None:
    assert [name for name in sorted(for_accelerators.members) if name.startswith("model/")] == [
        "model/edgetpu.tflite",
        "model/float16.onnx",
        "model/int8.tflite",
        "model/qdq.onnx",
    ]
    assert set(for_accelerators.description.targets) == set(targets.available())


def test_differences_of_the_compilers_log_are_told(for_accelerators: Artifact) -> None:
    # Its log is that of another model.
    told = [line for line in for_accelerators.notes if line.startswith("Edge TPU compiler: ")]
    assert any("DEPTHWISE_CONV_2D" in line for line in told)


def test_onnx_members_are_held_against_tflite(for_accelerators: Artifact) -> None:
    found = for_accelerators.report.agreements
    assert set(found) == {"model/qdq.onnx", "model/float16.onnx"}
    for agreement in found.values():
        assert agreement.passed
        assert (agreement.n, sum(images for _, images in agreement.runs[0].logit_lsb)) == (96, 96)
    measured = {entry.member for entry in for_accelerators.report.tolerance.entries}
    assert measured == {"model/int8.tflite", "model/qdq.onnx", "model/float16.onnx"}
    page = for_accelerators.reports["conversion.html"].decode()
    assert "model/qdq.onnx against TFLite" in page
    assert dict(report.table_rows(for_accelerators.report))["model/qdq.onnx"].startswith("against TFLite: AUC ")


def test_bundle_of_all_members_opens_for_each_target(for_accelerators: Artifact, tmp_path: Path) -> None:
    converters.write(tmp_path / "artifact", for_accelerators)
    built = archive.build_from_folders([tmp_path / "artifact"], version="1.0.0", release=1, private_keys=[KEY])
    bundle = trust.verify(built, keys=[KEY.public])
    for name, member in {"jetson-nano": "model/float16.onnx", "jetson-orin-nano": "model/qdq.onnx"}.items():
        loaded = selection.open_model(bundle, targets.load(name))
        assert (loaded.selection.member, loaded.selection.fallback) == (member, True)
        assert golden.replay(bundle, loaded.interpreter, member=member).verdict is golden.Verdict.WITHIN
