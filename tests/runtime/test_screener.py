from __future__ import annotations

import dataclasses
import math
import tracemalloc
from typing import Any

import cv2
import numpy as np
import pytest

from edgemed import tensors
from edgemed.bundle.archive import Bundle
from edgemed.errors import BundleError, InferenceError
from edgemed.imaging import preprocess
from edgemed.imaging.frame import Frame
from edgemed.runtime import backends
from edgemed.runtime.decision import Calibration, Decision
from edgemed.runtime.screener import Latency, Refusal, Screener, Screening
from edgemed.runtime.selection import Selection
from edgemed.tensors import TensorSpec
from tests.runtime import tiny, tiny_onnx
from tests.runtime.tiny import FakeInterpreter

# The fake's logit is 0.5 * (integer + 10): the score is 0.5 at -10.
LOGIT_ONE = -8
FLOAT16 = "model/float16.onnx"


def fake_screener(
    interpreter: FakeInterpreter | None = None, *, clock: Any = None, bundle: Bundle | None = None, **changes: Any
) -> Screener:
    clocks = {} if clock is None else {"clock": clock}
    return Screener(
        bundle or tiny.bundle(b"model", tiny.rule(b"model", **changes)), interpreter or FakeInterpreter(), **clocks
    )


def test_score_and_decision_come_from_the_logit() -> None:
    screener = fake_screener(FakeInterpreter(logit_lsb=LOGIT_ONE), calibration=Calibration(slope=2.0, intercept=-0.5))

    found = screener.screen(tiny.frame(source="a.png", index=3), decode_ms=1.5)

    assert found.logit == (1.0,)
    assert found.score == pytest.approx(1 / (1 + math.exp(-1.5)), rel=1e-12)
    assert (found.source, found.frame, found.modality) == ("a.png", 3, None)
    assert (found.decision, found.operating_point, found.threshold) == (Decision.ALERT, "rule-out", 0.5)
    assert (found.reasons, found.ood_distance) == ((), None)
    assert found.evidence is not None
    assert found.evidence.tolist() == np.ones((4, 4)).tolist()


def test_refused_frames_say_by_what() -> None:
    far = fake_screener(FakeInterpreter(embedding_lsb=0), out_of_distribution=tiny.limits(limit=1e-3))
    plain = fake_screener()

    assert far.screen(tiny.frame()).refusal is Refusal.DISTANCE
    assert plain.screen(tiny.frame(modality="US")).refusal is Refusal.MODALITY
    assert plain.screen(tiny.frame(coloured_fraction=0.9)).refusal is Refusal.QUALITY
    assert plain.screen(tiny.frame()).refusal is None


def test_distance_is_measured_whatever_the_gates_before_it_say() -> None:
    screener = fake_screener(FakeInterpreter(embedding_lsb=0), out_of_distribution=tiny.limits(limit=2.0))
    coloured = tiny.frame(coloured_fraction=0.9)

    assert screener.screen(coloured).ood_distance is None
    assert screener.distance(coloured) == pytest.approx(5.0 * math.sqrt(tiny.EMBEDDING) / 2.0)
    assert fake_screener().distance(coloured) is None


def test_one_logit_has_a_score_for_no_label() -> None:
    found = fake_screener(FakeInterpreter(logit_lsb=LOGIT_ONE)).screen(tiny.frame())
    assert (found.abnormality, found.label_scores) == (1.0, None)


@pytest.mark.parametrize(
    ("logit_lsb", "zone", "expected"),
    [
        pytest.param(-10, (0.5, 0.5), Decision.ALERT, id="at the threshold"),
        pytest.param(-11, (0.5, 0.5), Decision.CLEAR, id="below the threshold"),
        pytest.param(-11, (0.3, 0.7), Decision.INDETERMINATE, id="in the zone"),
        pytest.param(-4, (0.3, 0.7), Decision.ALERT, id="above the zone"),
    ],
)
def test_decision_heeds_the_indeterminate_zone(logit_lsb: int, zone: tuple[float, float], expected: Decision) -> None:
    bundle = tiny.bundle(b"model", tiny.rule(b"model", zone=zone))

    assert Screener(bundle, FakeInterpreter(logit_lsb=logit_lsb)).screen(tiny.frame()).decision is expected


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        pytest.param(
            {"is_dicom": True},
            "Modality: absent from the DICOM header, expected one of DX, CR",
            id="DICOM without a modality",
        ),
        pytest.param(
            {"is_dicom": True, "modality": "MR"},
            "Modality: got 'MR', the bundle is meant for DX, CR; choose a bundle for this modality",
            id="another modality",
        ),
        pytest.param(
            {"is_dicom": True, "modality": "Doe^Jane"},
            "Modality: got a value that is not a CS, the bundle is meant for DX, CR; choose a bundle for this modality",
            id="free text as modality",
        ),
    ],
)
def test_wrong_modality_is_refused_before_inference(fields: dict[str, Any], reason: str) -> None:
    interpreter = FakeInterpreter()

    found = fake_screener(interpreter).screen(tiny.frame(**fields))

    assert (found.decision, found.reasons) == (Decision.REFUSED, (reason,))
    assert interpreter.given == []


@pytest.mark.parametrize("fields", [{}, {"is_dicom": True, "modality": "CR"}], ids=["no DICOM", "listed modality"])
def test_right_modality_is_screened(fields: dict[str, Any]) -> None:
    assert fake_screener().screen(tiny.frame(**fields)).decision is not Decision.REFUSED


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        pytest.param(np.zeros((48, 48), np.uint8), "almost no contrast", id="all black"),
        pytest.param(tiny.picture(4), "too small", id="too small"),
    ],
)
def test_poor_quality_is_refused_before_inference(pixels: np.ndarray, reason: str) -> None:
    interpreter = FakeInterpreter()
    frame = dataclasses.replace(tiny.frame(), pixels=pixels)

    found = fake_screener(interpreter).screen(frame)

    assert found.decision is Decision.REFUSED
    assert found.reasons[0].startswith(reason)
    assert interpreter.given == []


def test_refusal_before_inference_leaves_the_later_values_out() -> None:
    found = fake_screener().screen(tiny.frame(is_dicom=True), decode_ms=2.0)

    assert (found.score, found.logit, found.threshold, found.ood_distance, found.evidence) == (None,) * 5
    assert (found.latency.infer_ms, found.latency.decide_ms, found.latency.record_ms) == (None,) * 3
    assert found.latency.preprocess_ms is not None
    assert found.latency.total_ms == 2.0 + found.latency.preprocess_ms
    assert found.operating_point == "rule-out"


def test_out_of_distribution_is_refused_after_inference() -> None:
    # The fake's embedding is eight times 0.5 * (6 + 10) = 8.
    interpreter = FakeInterpreter(logit_lsb=LOGIT_ONE, embedding_lsb=6)

    found = fake_screener(interpreter, out_of_distribution=tiny.limits(limit=10.0)).screen(tiny.frame())

    distance = 8 * math.sqrt(8) / 10
    assert (found.decision, found.score, found.logit) == (Decision.REFUSED, None, (1.0,))
    assert found.ood_distance == pytest.approx(distance)
    assert found.threshold == 0.5
    assert found.reasons == (
        f"out of distribution: distance {distance:.2f} of the limit, expected at most 1; "
        "not like the images the model was trained on",
    )


def test_distance_within_the_limit_is_reported() -> None:
    interpreter = FakeInterpreter(embedding_lsb=6)

    found = fake_screener(interpreter, out_of_distribution=tiny.limits(limit=8 * math.sqrt(8))).screen(tiny.frame())

    assert found.ood_distance == 1.0
    assert found.decision is not Decision.REFUSED


def test_latency_has_each_stage_from_the_clock() -> None:
    seconds = iter([0.0, 0.5, 1.5, 3.5])

    found = fake_screener(clock=lambda: next(seconds)).screen(tiny.frame(), decode_ms=10.0)

    assert found.latency == Latency(
        decode_ms=10.0, preprocess_ms=500.0, infer_ms=1000.0, decide_ms=2000.0, record_ms=0.0
    )
    assert found.latency.total_ms == 3510.0


def test_same_frame_gives_the_same_result() -> None:
    screener = Screener.open(tiny.bundle(tiny.model()))
    frame = tiny.frame()
    first = screener.screen(frame)

    screener.screen(tiny.frame(seed=9))
    again = screener.screen(frame)

    assert (again.score, again.logit, again.decision) == (first.score, first.logit, first.decision)
    assert first.evidence is not None
    assert again.evidence is not None
    assert again.evidence.tolist() == first.evidence.tolist()


@pytest.mark.parametrize("threads", [1, 2])
def test_tiny_model_gives_what_a_bare_loop_gives(threads: int) -> None:
    screener = Screener.open(tiny.bundle(tiny.model()), threads=threads)
    pixels = tiny.picture(48)

    found = screener.screen(tiny.frame(48))

    plane = cv2.resize(pixels, (16, 16), interpolation=cv2.INTER_AREA)
    interpreter = backends.load(tiny.model())
    tensor = (plane.astype(np.int16) - 128).astype(np.int8)[None, :, :, None]
    q = interpreter.outputs["logit"].quantization
    assert q is not None
    logit = tensors.dequantize(interpreter.invoke({"plane": tensor})["logit"], q)[0, 0]
    assert screener.classifier.interpreter.threads == threads
    assert found.logit == (float(logit),)
    assert found.score == pytest.approx(1 / (1 + math.exp(-logit)))


def test_float_model_screens_as_the_int8_model_does() -> None:
    bundle = tiny.bundle(tiny.model(), extra={FLOAT16: b"onnx"}, targets=("jetson-nano",))
    selected = Selection(target="jetson-nano", member=FLOAT16)
    int8 = Screener(bundle, backends.load(tiny.model()))
    real = Screener(bundle, backends.load(tiny.float_model("float16")), selected=selected)

    one, other = int8.screen(tiny.frame()), real.screen(tiny.frame())

    assert one.decision is other.decision
    assert one.score is not None
    assert one.score != other.score
    assert one.score == pytest.approx(other.score, abs=0.01)
    assert other.evidence is not None
    assert other.evidence.shape == (4, 4)


def test_float_onnx_screens_what_its_graph_says() -> None:
    pytest.importorskip("onnx")
    if "onnxruntime" not in backends.available():
        pytest.skip("onnxruntime is not installed in this environment")
    admitting = tiny.bundle(tiny.model(), extra={FLOAT16: tiny_onnx.model()}, targets=("jetson-nano",))

    screener = Screener.open(admitting, target="jetson-nano")
    found = screener.screen(tiny.frame())

    plane = preprocess.apply(tiny.frame(), screener.preprocessing)
    logit = tiny_onnx.logit(plane)
    assert screener.selection.member == FLOAT16
    assert found.logit is not None
    assert found.logit[0] == pytest.approx(logit, rel=1e-5)
    assert found.score == pytest.approx(1 / (1 + math.exp(-logit)), rel=1e-5)
    assert found.evidence is not None
    assert found.evidence.mean() == pytest.approx(logit, rel=1e-5)


def test_int8_member_that_is_no_int8_model_is_refused() -> None:
    with pytest.raises(BundleError) as caught:
        Screener(tiny.bundle(tiny.model()), backends.load(tiny.float_model()))

    assert str(caught.value) == (
        "model: input plane: expected int8 (1, 16, 16, 1) as preprocessing.json says, got float32 (1, 16, 16, 1)"
    )


def test_failing_back_end_is_an_error() -> None:
    interpreter = FakeInterpreter()
    interpreter.failing = True

    with pytest.raises(InferenceError):
        fake_screener(interpreter).screen(tiny.frame())


def test_what_is_absent_is_said() -> None:
    bundle = tiny.bundle(b"model", outputs=("logit",))

    screener = Screener(bundle, FakeInterpreter(without=("evidence", "embedding")))

    assert screener.absent == (
        "the model has no evidence output: no heatmaps",
        "the bundle has no out-of-distribution limit: unlike images are not refused",
    )
    assert screener.screen(tiny.frame()).evidence is None


def test_complete_bundle_lacks_nothing() -> None:
    assert fake_screener(out_of_distribution=tiny.limits(limit=1.0)).absent == ()


@pytest.mark.parametrize(
    ("bundle", "interpreter", "message"),
    [
        pytest.param(
            lambda: tiny.bundle(b"model", outputs=("logit", "evidence")),
            FakeInterpreter(without=("evidence",)),
            "manifest.json: outputs: the model has no evidence; it has ['embedding', 'logit']",
            id="output that the manifest promises",
        ),
        pytest.param(
            lambda: tiny.bundle(b"model", task="segment"),
            FakeInterpreter(),
            "manifest.json: task: this release runs 'classify', got 'segment'",
            id="task of another release",
        ),
        pytest.param(
            lambda: tiny.bundle(
                b"model", tiny.rule(b"model", out_of_distribution=tiny.limits(limit=1.0)), outputs=("logit",)
            ),
            FakeInterpreter(without=("embedding",)),
            "decision.json: out_of_distribution.size: expected the length of the model's embedding, None, got 8",
            id="limit without an embedding",
        ),
        pytest.param(
            lambda: tiny.bundle(b"model"),
            FakeInterpreter(plane=TensorSpec(name="plane", shape=(1, 8, 8, 1), dtype="int8", quantization=None)),
            "model: input plane: expected int8 (1, 16, 16, 1) as preprocessing.json says, got int8 (1, 8, 8, 1)",
            id="plane of another size",
        ),
    ],
)
def test_bundle_that_contradicts_itself_is_refused(bundle: Any, interpreter: FakeInterpreter, message: str) -> None:
    with pytest.raises(BundleError) as caught:
        Screener(bundle(), interpreter)

    assert str(caught.value) == message


def test_decision_for_another_model_is_refused() -> None:
    bundle = tiny.bundle(b"model")
    other = tiny.bundle(b"other")
    mixed = dataclasses.replace(bundle, members={**bundle.members, "decision.json": other.members["decision.json"]})

    with pytest.raises(BundleError) as caught:
        Screener(mixed, FakeInterpreter())

    digests = [b.manifest.members["model/int8.tflite"].sha256 for b in (bundle, other)]
    assert str(caught.value) == (
        f"decision.json: model: expected {digests[0]}, the digest of model/int8.tflite, got {digests[1]!r}"
    )


def test_results_are_frozen() -> None:
    found: Screening = fake_screener().screen(tiny.frame())

    with pytest.raises(dataclasses.FrozenInstanceError):
        found.score = 1.0  # type: ignore[misc]
    assert found.evidence is not None
    assert not found.evidence.flags.writeable


@pytest.mark.parametrize(
    ("kind", "bits"), [(np.uint8, 8), (np.uint16, 12), (np.uint16, 16)], ids=["8 bits", "12 bits", "16 bits"]
)
@pytest.mark.parametrize("shape", [(700, 900), (900, 700)], ids=["broad", "high"])
def test_no_picture_is_allocated_after_the_first_frame(kind: Any, bits: int, shape: tuple[int, int]) -> None:
    steps = [
        {"step": "crop_border", "fraction": 0.04},
        {"step": "contrast", "method": {"kind": "percentile", "low_percent": 1.0, "high_percent": 99.0}},
        {"step": "denoise", "method": {"kind": "median", "size": 3}},
        {"step": "sharpen", "method": {"kind": "unsharp", "size": 3, "sigma": 1.0, "amount": 0.5}},
        {"step": "resize", "method": "area", "fit": "letterbox"},
    ]
    bundle = tiny.bundle(tiny.model(), preprocessing={**tiny.PREPROCESSING, "steps": steps})
    screener = Screener(bundle, backends.load(tiny.model()))
    pixels = (tiny.picture(900)[: shape[0], : shape[1]].astype(np.uint32) * ((1 << bits) - 1) // 255).astype(kind)
    frame = Frame(pixels=pixels, source="scan.png", bits=bits)
    first = screener.screen(frame)

    tracemalloc.start()
    try:
        again = screener.screen(frame)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (first.refusal, again.logit) == (None, first.logit)
    assert peak_bytes < pixels.size // 2


def test_scratch_of_one_frame_leaves_nothing_in_the_next() -> None:
    screener = Screener(tiny.bundle(tiny.model()), backends.load(tiny.model()))
    frames = [tiny.frame(side, seed=side) for side in (48, 200, 48, 31, 200)]

    fresh = [Screener(screener.bundle, backends.load(tiny.model())).screen(frame) for frame in frames]

    assert [screener.screen(frame).logit for frame in frames] == [found.logit for found in fresh]
