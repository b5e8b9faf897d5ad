from __future__ import annotations

import math
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras

import converters
from converters import calibration, report
from converters.artifact import Artifact
from converters.mode import Mode
from converters.parity import Parity, ParityError
from converters.report import Report, Training
from edgemed import targets, tflite
from edgemed.bundle import archive, trust
from edgemed.errors import ConfigError, ConversionError
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.imaging.out_of_fold import Answer, OutOfFold
from edgemed.runtime import backends, golden, selection
from tests.bundle.tiny import KEY
from tests.converters import converted
from tests.converters.converted import convert, part
from tests.converters.test_edgetpu import compiler

pytestmark = pytest.mark.tensorflow

FOLD_ANSWERS = tuple(
    Answer(group=f"{index:04x}", label=label, abnormal=label == "blob", fold=index // 2, logit=0.0)
    for index, label in enumerate(("plain", "blob") * 2)
)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return converted.one_logit()


@pytest.fixture(scope="module")
def conversion(model: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return convert(model, tmp_path_factory.mktemp("images"))


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
    made = convert(model, tmp_path, mode=Mode.PTQ)
    assert tflite.float_tensors(tflite.read(made.model, source="ptq")) == ()
    assert (made.report.parity.mode, made.report.parity.passed) == (Mode.PTQ, True)
    assert made.report.calibration is not None
    assert made.report.calibration.proof is not None
    assert made.report.calibration.proof.differing > 0
    assert "golden/vectors.json" in made.members


def test_validation_with_too_few_images_is_refused_before_the_work(tmp_path: Path) -> None:
    few = part(64, seed=2, where=tmp_path)
    labels = np.zeros(64, np.int64)
    labels[5] = 1
    lone = LabelledPlanes(planes=few.planes, labels=labels, names=few.names, read=few.read)
    with pytest.raises(ConfigError) as caught:
        convert(keras.Sequential(), tmp_path, validation=lone)
    assert str(caught.value) == (
        "validation: operating part: expected at least 10 normal and 10 abnormal images, got 31 normal and 0 abnormal, "
        "out of 64 validation images, of which 1 are abnormal; give validation more images, of other patients"
    )


def test_calibration_of_another_size_is_refused_before_the_work(model: keras.Model, tmp_path: Path) -> None:
    halves = calibration.of(part(48, seed=1, where=tmp_path).planes[:, :16], name="halves")
    with pytest.raises(ConversionError) as caught:
        convert(model, tmp_path, calibration=halves)
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
        convert(model, tmp_path, fit=ruin)
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
        return convert(model, where, target=devices)


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


def test_altered_views_of_the_operating_part_choose_beside_it(model: keras.Model, tmp_path: Path) -> None:
    validation = part(96, seed=2, where=tmp_path)
    # Twice the light: plain pictures pass for blobs where nothing but pictures as they were taken chose.
    brighter = np.clip(validation.planes.astype(np.int64) * 2, 0, 255).astype(np.uint8)
    found = convert(model, tmp_path, validation=validation, altered=brighter[np.newaxis]).rule.operating_point
    assert found.criterion == (
        "sensitivity >= 0.9 on the operating part of validation, each image as it is and in 1 altered view"
    )
    assert (found.n_abnormal, found.n_normal) == (48, 48)
    assert found.confirmed is not None
    assert found.confirmed.n_normal == 24


def test_altered_views_beside_out_of_fold_answers_are_refused(model: keras.Model, tmp_path: Path) -> None:
    validation = part(96, seed=2, where=tmp_path)
    folds = OutOfFold(schema=1, recipe="x", labels=("plain", "blob"), images="x", folds=2, answers=FOLD_ANSWERS)
    with pytest.raises(ConfigError) as caught:
        convert(model, tmp_path, validation=validation, altered=validation.planes[np.newaxis], out_of_fold=folds)
    assert str(caught.value) == (
        "calibration: views: expected 0 beside out-of-fold answers, got 1: fold models answered unaltered images only, "
        "and their scores would be of another scale; leave one of the two out"
    )
