from __future__ import annotations

import numpy as np
import pytest

from edgemed import tensors
from edgemed.errors import BundleError
from edgemed.runtime import backends
from edgemed.runtime.classifier import Classifier
from edgemed.tensors import Quantization, TensorSpec
from tests.runtime import tiny
from tests.runtime.tiny import FakeInterpreter

HALF = Quantization(scale=0.5, zero_point=-10)
SHAPES = {"plane": (1, 16, 16, 1), "logit": (1, 1), "evidence": (1, 4, 4, 1), "embedding": (1, tiny.EMBEDDING)}


def classifier(interpreter: FakeInterpreter) -> Classifier:
    return Classifier(interpreter, height=tiny.SIDE, width=tiny.SIDE)


def spec(name: str, *shape: int, dtype: str = "int8", quantization: Quantization | None = HALF) -> TensorSpec:
    return TensorSpec(name=name, shape=shape, dtype=dtype, quantization=quantization)


def test_the_model_is_given_each_grey_level_through_scale_and_zero_point() -> None:
    q = Quantization(scale=1.7, zero_point=-90)
    fake = FakeInterpreter(plane=spec("plane", 1, 16, 16, 1, quantization=q))
    plane = np.arange(256, dtype=np.uint8).reshape(16, 16)

    classifier(fake).infer(plane)

    expected = [min(127, max(-128, int(np.floor(level / 1.7 + 0.5)) - 90)) for level in range(256)]
    assert fake.given[0].reshape(-1).tolist() == expected
    assert fake.given[0].shape == (1, 16, 16, 1)


def test_outputs_are_read_in_real_units() -> None:
    fake = FakeInterpreter(logit_lsb=127, embedding_lsb=-128)
    subject = classifier(fake)

    reading = subject.read(subject.infer(np.zeros((16, 16), np.uint8)))

    assert reading.logits.tolist() == [0.5 * (127 + 10)]
    assert reading.evidence is not None
    assert reading.evidence.tolist() == np.full((4, 4, 1), 68.5).tolist()
    assert reading.embedding is not None
    assert reading.embedding.tolist() == [0.5 * (-128 + 10)] * tiny.EMBEDDING


def test_a_float_model_is_given_the_grey_levels_and_read_as_it_answers() -> None:
    ends = {name: spec(name, *shape, dtype="float32", quantization=None) for name, shape in SHAPES.items()}
    fake = FakeInterpreter(logit_lsb=-3, embedding_lsb=7, **ends)
    plane = np.arange(256, dtype=np.uint8).reshape(16, 16)
    subject = classifier(fake)

    reading = subject.read(subject.infer(plane))

    assert (fake.given[0].dtype, fake.given[0].reshape(-1).tolist()) == (np.float32, list(range(256)))
    assert reading.logits.tolist() == [-3.0]
    assert reading.evidence is not None
    assert (reading.evidence.dtype, reading.evidence.tolist()) == (np.float64, np.full((4, 4, 1), -3.0).tolist())
    assert reading.embedding is not None
    assert reading.embedding.tolist() == [7.0] * tiny.EMBEDDING


@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_float_model_answers_what_its_int8_twin_answers(kind: str) -> None:
    int8, real = (
        Classifier(backends.load(raw, backend="litert"), height=16, width=16)
        for raw in (tiny.model(), tiny.float_model(kind))
    )
    planes = [tiny.picture(16, seed=seed) for seed in range(20)]
    logits = np.array([[one.read(one.infer(plane)).logits[0] for one in (int8, real)] for plane in planes])
    q = int8.interpreter.outputs["logit"].quantization
    assert q is not None

    lowest, highest = tensors.dequantize(np.array([-128, 127], np.int8), q)
    assert np.abs(logits[:, 0] - np.clip(logits[:, 1], lowest, highest)).max() < 8 * q.scale


def test_arrays_of_a_reading_are_read_only() -> None:
    subject = classifier(FakeInterpreter())

    reading = subject.read(subject.infer(np.zeros((16, 16), np.uint8)))

    assert reading.evidence is not None
    with pytest.raises(ValueError, match="read-only"):
        reading.evidence[0, 0] = 1.0


def test_absent_outputs_are_none() -> None:
    subject = classifier(FakeInterpreter(without=("evidence", "embedding")))

    reading = subject.read(subject.infer(np.zeros((16, 16), np.uint8)))

    assert (reading.evidence, reading.embedding) == (None, None)
    assert (subject.has_evidence, subject.embedding_size) == (False, None)


def test_evidence_mean_is_the_logit_to_one_lsb(rng: np.random.Generator) -> None:
    interpreter = backends.load(tiny.model())
    subject = Classifier(interpreter, height=16, width=16)
    q = interpreter.outputs["logit"].quantization
    assert q is not None
    lowest, highest = tensors.dequantize(np.array([-128, 127], np.int8), q)

    for seed in range(50):
        plane = tiny.picture(16, seed=seed)
        reading = subject.read(subject.infer(plane))
        assert reading.evidence is not None
        mean = float(np.clip(reading.evidence.mean(), lowest, highest))
        assert abs(reading.logits[0] - mean) <= q.scale * 1.000001


MODELS = {
    "another plane size": (
        FakeInterpreter(plane=spec("plane", 1, 32, 32, 1)),
        "model: input plane: expected int8 or float32 (1, 16, 16, 1) as preprocessing.json says, "
        "got int8 (1, 32, 32, 1)",
    ),
    "uint8 input": (
        FakeInterpreter(plane=spec("plane", 1, 16, 16, 1, dtype="uint8", quantization=HALF)),
        "model: input plane: expected int8 or float32 (1, 16, 16, 1) as preprocessing.json says, "
        "got uint8 (1, 16, 16, 1)",
    ),
    "input without scale": (
        FakeInterpreter(plane=spec("plane", 1, 16, 16, 1, quantization=None)),
        "model: plane: expected one scale and zero point, got none; convert to full int8",
    ),
    "no logit": (
        FakeInterpreter(without=("logit",)),
        "model: outputs: expected one named logit, got ['embedding', 'evidence']",
    ),
    "logits without a batch": (
        FakeInterpreter(logit=spec("logit", 3)),
        "model: output logit: not of the contract's shape, got int8 (3,)",
    ),
    "one map for three logits": (
        FakeInterpreter(logit=spec("logit", 1, 3)),
        "model: output evidence: expected 3 maps, one for each logit, got shape (1, 4, 4, 1)",
    ),
    "float16 evidence": (
        FakeInterpreter(evidence=spec("evidence", 1, 4, 4, 1, dtype="float16", quantization=None)),
        "model: output evidence: not of the contract's shape, got float16 (1, 4, 4, 1)",
    ),
    "evidence without channel": (
        FakeInterpreter(evidence=spec("evidence", 1, 4, 4)),
        "model: output evidence: not of the contract's shape, got int8 (1, 4, 4)",
    ),
    "embedding of two axes": (
        FakeInterpreter(embedding=spec("embedding", 1, 2, 4)),
        "model: output embedding: not of the contract's shape, got int8 (1, 2, 4)",
    ),
}


@pytest.mark.parametrize(("interpreter", "message"), MODELS.values(), ids=MODELS.keys())
def test_model_outside_the_contract_is_refused(interpreter: FakeInterpreter, message: str) -> None:
    with pytest.raises(BundleError) as caught:
        classifier(interpreter)

    assert str(caught.value) == message


FLOAT_ENDS = {
    "input": (
        FakeInterpreter(plane=spec("plane", 1, 16, 16, 1, dtype="float32", quantization=None)),
        "model: input plane: expected int8 (1, 16, 16, 1) as preprocessing.json says, got float32 (1, 16, 16, 1)",
    ),
    "output": (
        FakeInterpreter(logit=spec("logit", 1, 1, dtype="float32", quantization=None)),
        "model: output logit: not of the contract's shape, got float32 (1, 1)",
    ),
}


@pytest.mark.parametrize(("interpreter", "message"), FLOAT_ENDS.values(), ids=FLOAT_ENDS)
def test_float_ends_are_refused_where_int8_is_promised(interpreter: FakeInterpreter, message: str) -> None:
    with pytest.raises(BundleError) as caught:
        Classifier(interpreter, height=16, width=16, ends=("int8",))

    assert str(caught.value) == message
