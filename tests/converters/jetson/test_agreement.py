from __future__ import annotations

import msgspec
import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the jetson extra")
pytest.importorskip("onnxruntime", reason="needs the jetson extra")

import onnx

from converters import answers, jetson
from converters.jetson import agreement
from edgemed.errors import InferenceError
from edgemed.runtime import backends
from edgemed.runtime.decision import DecisionRule, Zone
from edgemed.runtime.interpreter import Kernels
from tests.converters.jetson import graphs
from tests.runtime import tiny

COUNT = 80


@pytest.fixture(scope="module")
def tflite() -> bytes:
    return graphs.screening()


@pytest.fixture(scope="module")
def planes() -> np.ndarray:
    return graphs.planes(COUNT)


@pytest.fixture(scope="module")
def labels(tflite: bytes, planes: np.ndarray) -> np.ndarray:
    """Return labels that the model's own logits mostly agree with."""
    logits = answers.of(backends.load(tflite, backend="litert"), planes).logits
    noise = np.random.default_rng(3).normal(0, logits.std() / 2, COUNT)
    return (logits + noise > np.median(logits)).astype(np.int64)


def rule(tflite: bytes, planes: np.ndarray, *, width: float) -> DecisionRule:
    """Return a rule whose threshold is the median score, in a zone of this many logit units to both sides."""
    logit = float(np.median(answers.of(backends.load(tflite, backend="litert"), planes).logits))
    low, middle, high = (1 / (1 + np.exp(-(logit + shift))) for shift in (-width, 0, width))
    return tiny.rule(tflite, threshold=middle, zone=(low, high))


def test_written_model_agrees(tflite: bytes, planes: np.ndarray, labels: np.ndarray) -> None:
    found = jetson.compare(tflite, jetson.qdq_onnx(tflite), planes, labels, rule=rule(tflite, planes, width=0.05))

    assert [run.kernels for run in found.runs] == [Kernels.REFERENCE, Kernels.XNNPACK]
    assert (found.n, found.n_abnormal) == (COUNT, int(labels.sum()))
    assert 0.6 < found.auc_tflite < 1
    for run in found.runs:
        assert sum(run.logit_lsb.values()) == COUNT
        assert set(run.logit_lsb) <= {-2, -1, 0, 1, 2}
        assert run.contradicted == 0
    assert found.passed
    jetson.require(found)


def test_document_goes_through_json(tflite: bytes, planes: np.ndarray, labels: np.ndarray) -> None:
    found = jetson.compare(tflite, jetson.qdq_onnx(tflite), planes, labels, rule=rule(tflite, planes, width=0.05))
    assert msgspec.json.decode(msgspec.json.encode(found), type=jetson.Agreement) == found


def shifted(onnx_file: bytes, lsb: int) -> bytes:
    """Return the model with another bias before its evidence map, so that every logit moves."""
    model = onnx.load_from_string(onnx_file)
    bias = next(one for one in model.graph.initializer if one.name == "conv_2d_3/bias")
    moved = onnx.numpy_helper.to_array(bias) + np.float32(0.02 * lsb)
    bias.CopyFrom(onnx.numpy_helper.from_array(moved, bias.name))
    return bytes(model.SerializeToString())


def test_another_model_is_refused_with_the_figures(tflite: bytes, planes: np.ndarray, labels: np.ndarray) -> None:
    wrong = shifted(jetson.qdq_onnx(tflite), 20)
    found = jetson.compare(tflite, wrong, planes, labels, rule=rule(tflite, planes, width=0.05))

    with pytest.raises(jetson.AgreementError) as caught:
        jetson.require(found)

    worst = max(found.runs, key=lambda run: (run.contradicted, abs(run.difference)))
    assert worst.contradicted > 5
    assert caught.value.exit_code == 3
    assert caught.value.agreement is found
    assert str(caught.value) == (
        f"ONNX against TFLite: AUC {worst.auc:.4f} and {found.auc_tflite:.4f}, difference {worst.difference:+.4f}, "
        f"{worst.contradicted} decisions contradicted on 80 validation images with {worst.kernels.value} kernels; "
        "expected a difference of at most 0.002 and none contradicted; train with symmetric ranges longer, or widen "
        "the indeterminate zone"
    )


def test_histogram_counts_lsb_of_the_tflite_logit(tflite: bytes, planes: np.ndarray, labels: np.ndarray) -> None:
    wrong = shifted(jetson.qdq_onnx(tflite), 20)
    found = jetson.compare(tflite, wrong, planes, labels, rule=rule(tflite, planes, width=0.05))

    # Each place of the map moves by 20 * 0.02, and so does the mean, but for rounding and where either saturates.
    middle = [lsb for lsb, count in found.runs[0].logit_lsb.items() for _ in range(count)]
    assert 19 <= np.median(middle) <= 21


def test_change_into_the_zone_is_no_contradiction(tflite: bytes, planes: np.ndarray, labels: np.ndarray) -> None:
    wide = rule(tflite, planes, width=0.5)
    found = jetson.compare(tflite, shifted(jetson.qdq_onnx(tflite), 20), planes, labels, rule=wide)

    assert [run.contradicted for run in found.runs] == [0, 0]
    assert min(run.moved for run in found.runs) > 0


def test_loss_of_auc_alone_fails(tflite: bytes, planes: np.ndarray, labels: np.ndarray) -> None:
    all_zone = msgspec.structs.replace(rule(tflite, planes, width=0.05), indeterminate=Zone(low=0.0, high=1.0))
    model = onnx.load_from_string(jetson.qdq_onnx(tflite))
    weights = next(one for one in model.graph.initializer if one.name == "conv_2d_3/weights")
    weights.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(weights), weights.name))

    found = jetson.compare(tflite, bytes(model.SerializeToString()), planes, labels, rule=all_zone)

    assert not found.passed
    assert max(abs(run.difference) for run in found.runs) > agreement.AUC_MARGIN
    assert [run.contradicted for run in found.runs] == [0, 0]


def test_file_that_cannot_be_run_is_an_inference_error(tflite: bytes, planes: np.ndarray, labels: np.ndarray) -> None:
    with pytest.raises(InferenceError, match=r"^onnxruntime: expected an ONNX model it can run: "):
        jetson.compare(tflite, b"no model", planes, labels, rule=rule(tflite, planes, width=0.05))
