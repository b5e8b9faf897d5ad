from __future__ import annotations

import base64
import json
import math
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed import schema, targets
from edgemed.errors import BundleError
from edgemed.imaging import preprocess
from edgemed.imaging.frame import Frame
from edgemed.runtime import backends, golden
from edgemed.runtime.classifier import Classifier
from edgemed.runtime.golden import Verdict
from edgemed.runtime.interpreter import Interpreter, Kernels
from tests.runtime import tiny
from tests.runtime.tiny import FakeInterpreter

FAKE = {"backend": "fake", "kernels": "reference", "architecture": targets.architecture()}


def members(answers: FakeInterpreter, **tolerance: Any) -> dict[str, bytes]:
    return tiny.golden_members(b"model", answers, **{**FAKE, **tolerance})


def report(answers: FakeInterpreter, extra: dict[str, bytes]) -> golden.GoldenReport:
    return golden.replay(tiny.bundle(b"model", extra=extra), answers)


def test_reference_replays_without_a_difference() -> None:
    found = report(FakeInterpreter(logit_lsb=4), members(FakeInterpreter(logit_lsb=4)))

    assert found.verdict is Verdict.WITHIN
    assert [(v.frame, v.plane_gray, v.lsb, v.score) for v in found.vectors] == [
        ("golden/00.png", 0, {"embedding": 0, "evidence": 0, "logit": 0}, 0.0)
    ]


def test_tiny_model_replays_on_the_installed_back_end() -> None:
    interpreter: Interpreter = backends.load(tiny.model())
    platform = {
        "backend": interpreter.backend,
        "kernels": interpreter.kernels.value,
        "architecture": targets.architecture(),
    }
    extra = tiny.golden_members(tiny.model(), interpreter, **platform)

    found = golden.replay(tiny.bundle(tiny.model(), extra=extra), interpreter)

    assert found.verdict is Verdict.WITHIN


def test_score_of_several_labels_is_that_of_their_abnormality() -> None:
    told, found = tiny.three_labels((-10, -10, -10)), tiny.three_labels((-10, -10, -8))
    bundle = tiny.bundle(b"model", extra=members(told, logit_lsb=2, score=1.0), **tiny.LABELS)

    (vector,) = golden.replay(bundle, found).vectors

    assert vector.lsb == {"embedding": 0, "evidence": 2, "logit": 2}
    assert vector.score == pytest.approx(math.e / (math.e + 2) - 1 / 3)


def test_differences_are_measured_without_overflow() -> None:
    found = report(FakeInterpreter(logit_lsb=127), members(FakeInterpreter(logit_lsb=-128)))

    assert found.vectors[0].lsb == {"embedding": 0, "evidence": 255, "logit": 255}
    assert found.vectors[0].score == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("logit_lsb", "score", "expected"),
    [
        pytest.param(2, 1.0, Verdict.WITHIN, id="at the limit"),
        pytest.param(1, 1.0, Verdict.OUTSIDE, id="logit beyond it"),
        pytest.param(2, 1e-6, Verdict.OUTSIDE, id="score beyond it"),
    ],
)
def test_verdict_heeds_logit_and_score(logit_lsb: int, score: float, expected: Verdict) -> None:
    extra = members(FakeInterpreter(logit_lsb=0), logit_lsb=logit_lsb, score=score)

    assert report(FakeInterpreter(logit_lsb=2), extra).verdict is expected


@pytest.mark.parametrize(("allowed", "expected"), [(3, Verdict.WITHIN), (2, Verdict.OUTSIDE)])
def test_verdict_heeds_the_plane(allowed: int, expected: Verdict) -> None:
    answers = FakeInterpreter()
    extra = members(answers, plane_gray=allowed)
    plane = tiny.picture(16)
    pixels = tiny.picture(16)
    pixels[3, 4] = plane[3, 4] + 3 if plane[3, 4] < 128 else plane[3, 4] - 3
    extra |= {"golden/00.png": tiny.png(pixels), "golden/00.plane.png": tiny.png(plane)}

    found = report(answers, extra)

    assert (found.vectors[0].plane_gray, found.verdict) == (3, expected)


FLOAT16 = "model/float16.onnx"


def float_report(**entry: Any) -> golden.GoldenReport:
    """Return how a float original stands to the vectors of the int8 model, as the float16 member of its bundle."""
    here = {"backend": "litert", "kernels": "xnnpack", "architecture": targets.architecture()}
    extra = tiny.golden_members(tiny.model(), backends.load(tiny.model(), backend="litert"), **{**here, **entry})
    bundle = tiny.bundle(tiny.model(), extra={**extra, FLOAT16: b"onnx"}, targets=("jetson-nano",))
    return golden.replay(bundle, backends.load(tiny.float_model("float16"), backend="litert"), member=FLOAT16)


def test_float_member_is_held_against_the_int8_vectors_in_their_lsb() -> None:
    found = float_report(member=FLOAT16, logit_lsb=3, score=1.0)

    (vector,) = found.vectors
    int8, real = (
        Classifier(backends.load(raw, backend="litert"), height=16, width=16)
        for raw in (tiny.model(), tiny.float_model("float16"))
    )
    plane = tiny.picture()
    plane = cv2.resize(cv2.resize(plane, (48, 48)), (16, 16), interpolation=cv2.INTER_AREA)
    apart = abs((int8.read(int8.infer(plane)).logits - real.read(real.infer(plane)).logits)[0])
    q = int8.interpreter.outputs["logit"].quantization
    assert q is not None
    assert vector.lsb["logit"] == math.ceil(apart / q.scale)
    assert 0.0 < vector.score < apart
    assert (found.member, found.verdict) == (FLOAT16, Verdict.WITHIN)


def test_float_member_outside_its_own_tolerance_is_outside() -> None:
    assert float_report(member=FLOAT16, logit_lsb=0, score=1.0).verdict is Verdict.OUTSIDE


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param({}, id="measured with the int8 model"),
        pytest.param({"member": "model/qdq.onnx"}, id="measured with another member"),
        pytest.param({"member": FLOAT16, "accelerated": True}, id="measured on the accelerator"),
    ],
)
def test_member_has_a_tolerance_of_its_own(entry: dict[str, Any]) -> None:
    assert float_report(**entry, logit_lsb=200, score=1.0).verdict is Verdict.UNMEASURED


def test_answer_of_an_accelerator_is_not_held_against_what_the_cpu_may_answer() -> None:
    answers = FakeInterpreter()
    answers.accelerated = True

    assert report(answers, members(answers)).verdict is Verdict.UNMEASURED
    assert report(answers, members(answers, accelerated=True)).verdict is Verdict.WITHIN


def test_member_with_other_ends_than_its_name_promises_is_refused() -> None:
    extra = {**members(FakeInterpreter()), FLOAT16: b"onnx"}
    bundle = tiny.bundle(b"model", extra=extra, targets=("jetson-nano",))

    with pytest.raises(BundleError) as caught:
        golden.replay(bundle, FakeInterpreter(), member=FLOAT16)

    assert str(caught.value) == (
        "model: input plane: expected float32 (1, 16, 16, 1) as preprocessing.json says, got int8 (1, 16, 16, 1)"
    )


def test_int8_model_that_cannot_be_read_gives_no_units() -> None:
    extra = {**members(FakeInterpreter()), "model/edgetpu.tflite": b"compiled"}
    bundle = tiny.bundle(b"model", extra=extra, targets=("coral-usb",))

    with pytest.raises(BundleError) as caught:
        golden.replay(bundle, FakeInterpreter(), member="model/edgetpu.tflite")

    assert str(caught.value) == (
        "model/int8.tflite: expected a TFLite file (identifier 'TFL3' at byte 4), got 5 other bytes"
    )


def test_tolerance_of_a_bundle_with_one_model_stays_as_it_was_written() -> None:
    raw = members(FakeInterpreter())["golden/tolerance.json"]

    assert b"member" not in raw
    assert golden.parse_tolerance(raw).entries[0].member == "model/int8.tflite"
    assert schema.encode_json(golden.parse_tolerance(raw)) == raw


@pytest.mark.parametrize("other", [{"backend": "litert"}, {"kernels": "xnnpack"}, {"architecture": "sparc"}], ids=str)
def test_platform_that_was_not_measured_is_unmeasured(other: dict[str, str]) -> None:
    found = report(FakeInterpreter(), members(FakeInterpreter(), **other))

    assert (found.allowed, found.verdict) == (None, Verdict.UNMEASURED)


def vectors(**changes: Any) -> dict[str, bytes]:
    plain = members(FakeInterpreter())
    tree = json.loads(plain["golden/vectors.json"])
    tree[0].update(changes)
    return {**plain, "golden/vectors.json": json.dumps(tree).encode()}


def without(name: str) -> dict[str, bytes]:
    return {key: value for key, value in members(FakeInterpreter()).items() if key != name}


OUTPUTS = json.loads(members(FakeInterpreter())["golden/vectors.json"])[0]["outputs"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        pytest.param(
            {}, "golden/vectors.json: missing from the bundle; convert again to measure golden vectors", id="no vectors"
        ),
        pytest.param(
            without("golden/tolerance.json"),
            "golden/tolerance.json: missing from the bundle; convert again to measure golden vectors",
            id="no tolerance",
        ),
        pytest.param(
            without("golden/00.png"),
            "golden/00.png: missing from the bundle; convert again to measure golden vectors",
            id="no frame",
        ),
        pytest.param(
            {**members(FakeInterpreter()), "golden/vectors.json": b"[]"},
            "golden/vectors.json: expected at least one vector, got none",
            id="empty list",
        ),
        pytest.param(
            {**members(FakeInterpreter()), "golden/00.plane.png": tiny.png(tiny.picture(17))},
            "golden/00.plane.png: expected uint8 (16, 16), got uint8 (17, 17)",
            id="plane of another size",
        ),
        pytest.param(
            vectors(outputs={"logit": OUTPUTS["logit"]}),
            "golden/vectors.json: golden/00.png: expected outputs ['embedding', 'evidence', 'logit'], got ['logit']",
            id="outputs missing",
        ),
        pytest.param(
            vectors(outputs={**OUTPUTS, "evidence": OUTPUTS["logit"]}),
            "golden/vectors.json: golden/00.png: evidence: expected base64 of int8 (1, 4, 4, 1)",
            id="output of another length",
        ),
        pytest.param(
            vectors(plane_="x"),
            "golden/vectors.json: [0].plane_: unknown key; did you mean 'plane'?",
            id="unknown key",
        ),
    ],
)
def test_faulty_vectors_are_refused(extra: dict[str, bytes], message: str) -> None:
    with pytest.raises(BundleError) as caught:
        report(FakeInterpreter(), extra)

    assert str(caught.value) == message


def test_damaged_picture_is_refused() -> None:
    extra = {**members(FakeInterpreter()), "golden/00.png": b"hello"}

    with pytest.raises(BundleError, match=r"^golden vector: golden/00\.png: expected PNG"):
        report(FakeInterpreter(), extra)


@given(st.lists(st.integers(-128, 127), min_size=1))
def test_int8_survives_its_base64(values: list[int]) -> None:
    encoded = golden.encode_int8(np.array(values, np.int8))

    assert np.frombuffer(base64.b64decode(encoded), np.int8).tolist() == values


def _deep() -> np.ndarray:
    """Return a (48, 48) uint16 picture of 12 significant bits."""
    return tiny.picture().astype(np.uint16) << 4 | 9


def _plane_of_twelve_bits() -> np.ndarray:
    frame = Frame(pixels=_deep(), source="scan.dcm", bits=12)
    return preprocess.apply(frame, preprocess.parse(schema.encode_json(tiny.PREPROCESSING)))


@pytest.mark.parametrize(
    ("bits", "plane_gray"),
    [pytest.param(12, 0, id="as it was"), pytest.param(None, 200, id="taken for 16 bits: nearly black")],
)
def test_depth_of_the_source_frame_is_kept_beside_its_png(bits: int | None, plane_gray: int) -> None:
    extra = vectors(bits=bits)
    extra |= {"golden/00.png": tiny.png(_deep()), "golden/00.plane.png": tiny.png(_plane_of_twelve_bits())}

    found = report(FakeInterpreter(), extra).vectors[0].plane_gray

    assert found == 0 if plane_gray == 0 else found > plane_gray


@pytest.mark.parametrize(
    ("pixels", "bits", "message"),
    [
        pytest.param(
            tiny.picture(),
            12,
            "golden vector: golden/00.png: bits: expected one of (8,) for uint8, got 12",
            id="8 bits",
        ),
        pytest.param(
            _deep(), 10, "golden vector: golden/00.png: pixels: expected values below 2^10, got one above", id="too few"
        ),
    ],
)
def test_depth_that_the_picture_does_not_have_is_refused(pixels: np.ndarray, bits: int, message: str) -> None:
    with pytest.raises(BundleError) as caught:
        report(FakeInterpreter(), {**vectors(bits=bits), "golden/00.png": tiny.png(pixels)})

    assert str(caught.value) == message


def test_vectors_without_a_depth_are_still_read() -> None:
    plain = members(FakeInterpreter())["golden/vectors.json"]

    assert "bits" not in json.loads(plain)[0]
    assert golden.parse_vectors(plain)[0].bits is None


def test_tolerance_survives_its_json() -> None:
    entry = golden.Entry(
        backend="litert",
        kernels=Kernels.XNNPACK,
        architecture="x86-64",
        n=7,
        plane_gray=0,
        logit_lsb=2,
        score=0.01,
    )
    tolerance = golden.Tolerance(schema=1, reference="litert 2.3.0, xnnpack, x86-64", entries=(entry,))

    assert golden.parse_tolerance(msgspec.json.encode(tolerance)) == tolerance


@given(st.binary(max_size=100))
def test_any_bytes_give_vectors_or_an_error(raw: bytes) -> None:
    for parse in (golden.parse_vectors, golden.parse_tolerance):
        try:
            parse(raw)
        except BundleError:
            continue
        assert raw.strip() == b"[]"
