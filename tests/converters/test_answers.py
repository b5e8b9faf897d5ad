from __future__ import annotations

import numpy as np
import pytest

from converters import answers
from edgemed import targets
from edgemed.errors import ConversionError
from edgemed.runtime import backends
from edgemed.runtime.interpreter import Kernels
from edgemed.runtime.labels import Labels
from edgemed.tensors import TensorSpec
from tests.runtime import tiny
from tests.runtime.tiny import FakeInterpreter

PLANES = np.stack([tiny.picture(16, seed=seed) for seed in range(5)])


def test_int8_model_answers_integers_and_what_they_stand_for() -> None:
    found = answers.of(backends.load(tiny.model(), backend="litert"), PLANES)

    assert (found.backend, found.kernels, found.architecture, found.accelerated) == (
        "litert",
        Kernels.XNNPACK,
        targets.architecture(),
        False,
    )
    assert {name: (values.dtype, values.shape) for name, values in found.integers.items()} == {
        "logit": (np.int8, (5, 1)),
        "evidence": (np.int8, (5, 4, 4, 1)),
        "embedding": (np.int8, (5, 8)),
    }
    q = found.quantization("logit")
    assert found.scales["logit"] == q.scale
    expected = [(int(value) - q.zero_point) * q.scale for value in found.integers["logit"][:, 0]]
    assert found.logits.tolist() == expected


@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_float_model_answers_real_numbers(kind: str) -> None:
    interpreter = backends.load(tiny.float_model(kind), backend="litert")

    found = answers.of(interpreter, PLANES)

    single = [interpreter.invoke({"plane": plane[None, :, :, None].astype(np.float32)})["logit"] for plane in PLANES]
    assert found.logits.tolist() == [float(logit[0, 0]) for logit in single]
    assert (found.real("embedding").dtype, found.real("embedding").shape) == (np.float64, (5, 8))
    assert (found.integers, found.scales) == ({}, {})


def test_outputs_of_another_type_are_refused_by_name() -> None:
    half = TensorSpec(name="embedding", shape=(1, 8), dtype="float16", quantization=None)
    bare = TensorSpec(name="evidence", shape=(1, 4, 4, 1), dtype="int8", quantization=None)

    with pytest.raises(ConversionError) as caught:
        answers.of(FakeInterpreter(embedding=half, evidence=bare), PLANES)

    assert str(caught.value) == (
        "model: outputs embedding, evidence: expected float32, or int8 with a scale, got another type"
    )


def test_logits_of_several_labels_are_their_abnormality() -> None:
    model = backends.load(tiny.labels_model(), backend="litert")
    labels = Labels(names=tiny.LABELS["labels"], normal=tiny.LABELS["normal_labels"])
    planes = np.stack([tiny.picture(16, seed=seed) for seed in range(3)])

    found = answers.of(model, planes, labels=labels)

    assert found.real("logit").shape == (3, 3)
    assert found.logits.tolist() == labels.abnormality(found.real("logit")).tolist()
    assert found.logit_reach == 2 * found.scales["logit"]


def test_another_number_of_logits_than_of_labels_is_refused() -> None:
    model = backends.load(tiny.labels_model(), backend="litert")
    with pytest.raises(ConversionError) as caught:
        answers.of(model, tiny.picture(16)[None])
    assert str(caught.value) == (
        "model: output logit: expected 1, one for each label, got 3; give the recipe that the model was trained by"
    )
