from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgemed.bundle import models
from edgemed.errors import ConfigError, InferenceError, MissingDependencyError
from edgemed.runtime import backends
from edgemed.runtime.backends import litert, onnxruntime, signature, tflite_runtime
from edgemed.runtime.interpreter import Interpreter, Kernels
from tests.runtime import tiny

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=models.MODELS[models.INT8].backends)
def backend(request: pytest.FixtureRequest) -> str:
    """Return the name of each back end for TFLite in turn; one whose library is not installed is skipped."""
    name: str = request.param
    if name not in backends.available():
        pytest.skip(f"{name} is not installed in this environment")
    return name


@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_float_models_load_and_answer_real_numbers(backend: str, kind: str) -> None:
    interpreter = backends.load(tiny.float_model(kind), backend=backend)

    assert {name: (spec.dtype, spec.quantization) for name, spec in interpreter.inputs.items()} == {
        "plane": ("float32", None)
    }
    assert {(spec.dtype, spec.quantization) for spec in interpreter.outputs.values()} == {("float32", None)}
    answered = interpreter.invoke({"plane": np.full((1, 16, 16, 1), 128, np.float32)})
    assert {name: (values.dtype, values.shape) for name, values in answered.items()} == {
        "logit": (np.float32, (1, 1)),
        "evidence": (np.float32, (1, 4, 4, 1)),
        "embedding": (np.float32, (1, 8)),
    }
    # The logit is the mean of the evidence: in real numbers, to rounding.
    assert float(answered["logit"][0, 0]) == pytest.approx(float(answered["evidence"].mean()), abs=1e-5)


def test_integers_for_a_float_model_are_refused(backend: str) -> None:
    with pytest.raises(InferenceError, match=f"^{backend}: inference failed: "):
        backends.load(tiny.float_model(), backend=backend).invoke(tensor())


def test_kernels_of_the_cpu_are_no_accelerator(backend: str) -> None:
    assert backends.load(tiny.model(), backend=backend).accelerated is False


def tensor(seed: int = 1) -> dict[str, np.ndarray]:
    return {"plane": np.random.default_rng(seed).integers(-128, 128, (1, 16, 16, 1), dtype=np.int8)}


def test_a_back_end_is_installed() -> None:
    assert backends.available()


def test_default_is_the_first_that_is_installed() -> None:
    assert backends.load(tiny.model()).backend == backends.available()[0]


def test_signature_is_read_from_the_model(backend: str) -> None:
    interpreter = backends.load(tiny.model(), backend=backend)

    assert interpreter.backend == backend
    assert {name: (spec.shape, spec.dtype) for name, spec in interpreter.inputs.items()} == {
        "plane": ((1, 16, 16, 1), "int8")
    }
    assert {name: (spec.shape, spec.dtype) for name, spec in interpreter.outputs.items()} == {
        "logit": ((1, 1), "int8"),
        "evidence": ((1, 4, 4, 1), "int8"),
        "embedding": ((1, 8), "int8"),
    }
    assert all(spec.quantization is not None for spec in interpreter.outputs.values())


@pytest.mark.parametrize("kernels", list(Kernels), ids=lambda kernels: kernels.value)
@pytest.mark.parametrize("threads", [1, 2])
def test_answers_are_those_of_the_librarys_own_signature_runner(backend: str, kernels: Kernels, threads: int) -> None:
    interpreter = backends.load(tiny.model(), backend=backend, kernels=kernels, threads=threads)
    answered = interpreter.invoke(tensor())

    expected = _runner(backend, kernels)(**tensor())
    assert interpreter.kernels is kernels
    assert interpreter.threads == threads
    assert {name: values.tolist() for name, values in answered.items()} == {
        name: values.tolist() for name, values in expected.items()
    }


def test_kernels_differ_by_little(backend: str) -> None:
    answers = [backends.load(tiny.model(), backend=backend, kernels=kernels).invoke(tensor()) for kernels in Kernels]

    difference = answers[0]["evidence"].astype(int) - answers[1]["evidence"]
    assert np.abs(difference).max() <= 8


def test_results_belong_to_the_caller(backend: str) -> None:
    interpreter = backends.load(tiny.model(), backend=backend)
    first = interpreter.invoke(tensor(1))
    kept = first["evidence"].copy()

    first["logit"][...] = 0
    interpreter.invoke(tensor(2))

    assert first["evidence"].tolist() == kept.tolist()


def test_same_input_gives_the_same_answer(backend: str) -> None:
    interpreter = backends.load(tiny.model(), backend=backend, threads=2)

    answers = [interpreter.invoke(tensor())["evidence"].tobytes() for _ in range(5)]

    assert len(set(answers)) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"plane": np.zeros((1, 8, 8, 1), np.int8)}, id="shape"),
        pytest.param({"plane": np.zeros((1, 16, 16, 1), np.float32)}, id="type"),
    ],
)
def test_tensor_that_does_not_fit_is_refused(backend: str, wrong: dict[str, np.ndarray]) -> None:
    interpreter = backends.load(tiny.model(), backend=backend)

    with pytest.raises(InferenceError, match=f"^{backend}: inference failed: Cannot set tensor"):
        interpreter.invoke(wrong)


def test_input_of_another_name_is_refused(backend: str) -> None:
    interpreter = backends.load(tiny.model(), backend=backend)

    with pytest.raises(InferenceError) as caught:
        interpreter.invoke({"image": tensor()["plane"]})

    assert str(caught.value) == "inputs: expected ['plane'], got ['image']"


def test_bytes_that_are_no_model_are_refused(backend: str) -> None:
    with pytest.raises(InferenceError, match=f"^{backend}: expected a TFLite model it can run: "):
        backends.load(b"PK\x03\x04 not a model", backend=backend)


def test_unknown_back_end_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        backends.load(tiny.model(), backend="onnx")

    assert str(caught.value) == "backend: expected one of litert, tflite-runtime, onnxruntime, got 'onnx'"


def test_no_threads_are_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="threads: expected at least 1, got 0"):
        backends.load(tiny.model(), threads=0)


def test_absent_back_end_says_what_it_lacks() -> None:
    absent = [name for name in backends.BACKENDS if name not in backends.available()]
    if not absent:
        pytest.skip("every back end is installed in this environment")
    requires = {
        "litert": litert.REQUIRES,
        "tflite-runtime": tflite_runtime.REQUIRES,
        "onnxruntime": onnxruntime.REQUIRES,
    }

    with pytest.raises(MissingDependencyError) as caught:
        backends.load(tiny.model(), backend=absent[0])

    assert str(caught.value) == (f"no inference back end can be loaded: {absent[0]} needs {requires[absent[0]]}")


def test_without_any_library_the_error_lists_each_back_end() -> None:
    program = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "hidden = ('ai_edge_litert', 'tflite_runtime')\n"
        "importlib.util.find_spec = lambda name, *rest: None if name in hidden else find(name, *rest)\n"
        "from edgemed.runtime import backends\n"
        "try:\n    backends.load(b'')\nexcept ImportError as error:\n    print(error)\n"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == (
        f"no inference back end can be loaded: litert needs {litert.REQUIRES}; "
        f"tflite-runtime needs {tflite_runtime.REQUIRES}\n"
    )


def test_import_loads_no_back_end() -> None:
    program = (
        "import sys, edgemed.runtime.backends as b; b.available();"
        "print([m for m in ('ai_edge_litert', 'tflite_runtime', 'onnxruntime', 'cv2', 'msgspec') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


class Library:
    """A library's interpreter as far as `signature` looks at it, with the signatures it is told."""

    def __init__(self, signatures: list[str], outputs: list[str]) -> None:
        self._signatures = signatures
        self._outputs = outputs

    def get_signature_list(self) -> dict[str, object]:
        return dict.fromkeys(self._signatures)

    def get_input_details(self) -> list[dict[str, object]]:
        return [_detail("serving_default_plane:0", 0)]

    def get_output_details(self) -> list[dict[str, object]]:
        return [_detail(name, index) for index, name in enumerate(self._outputs, start=1)]


def test_model_without_signature_goes_by_its_tensor_names() -> None:
    native = Library([], ["logit", "evidence:0"])

    interpreter: Interpreter = signature.SignatureInterpreter(
        native, backend="litert", threads=1, kernels=Kernels.XNNPACK
    )

    assert sorted(interpreter.inputs) == ["plane"]
    assert sorted(interpreter.outputs) == ["evidence", "logit"]


@pytest.mark.parametrize(
    ("signatures", "outputs", "message"),
    [
        pytest.param(
            ["b", "a"],
            [],
            "signatures: expected one, or one named 'serving_default', got ['a', 'b']",
            id="several signatures",
        ),
        pytest.param(
            [],
            ["out:0", "out:1"],
            "model: has no signature and its tensor names repeat; convert it again with a signature",
            id="names that repeat",
        ),
    ],
)
def test_ambiguous_model_is_refused(signatures: list[str], outputs: list[str], message: str) -> None:
    with pytest.raises(InferenceError) as caught:
        signature.SignatureInterpreter(
            Library(signatures, outputs), backend="litert", threads=1, kernels=Kernels.XNNPACK
        )

    assert str(caught.value) == message


def _detail(name: str, index: int) -> dict[str, object]:
    parameters = {"scales": [0.5], "zero_points": [0]}
    return {"name": name, "index": index, "shape": [1, 1], "dtype": np.int8, "quantization_parameters": parameters}


def _runner(backend: str, kernels: Kernels) -> object:
    if backend == "litert":
        from ai_edge_litert import interpreter as library
    else:
        from tflite_runtime import interpreter as library
    resolver = library.OpResolverType
    wanted = resolver.AUTO if kernels is Kernels.XNNPACK else resolver.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    return library.Interpreter(model_content=tiny.model(), experimental_op_resolver_type=wanted).get_signature_runner()
