from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the jetson extra")
pytest.importorskip("onnxruntime", reason="needs the jetson extra")

import onnx
import onnxruntime as library

from converters import jetson
from edgemed.errors import ConfigError, InferenceError, MissingDependencyError
from edgemed.runtime import backends
from edgemed.runtime.backends import onnx_session, onnxruntime
from edgemed.runtime.classifier import Classifier
from edgemed.runtime.interpreter import Kernels
from tests.converters.jetson import graphs
from tests.runtime import tiny

ROOT = Path(__file__).resolve().parents[2]
KEY = onnx_session.QUANTIZATION_KEY


@pytest.fixture(scope="module")
def tflite() -> bytes:
    return graphs.screening()


@pytest.fixture(scope="module")
def qdq(tflite: bytes) -> bytes:
    return jetson.qdq_onnx(tflite)


def changed(raw: bytes, **metadata: str) -> bytes:
    """Return the model with other metadata."""
    model = onnx.load_from_string(raw)
    onnx.helper.set_model_props(model, metadata)
    return bytes(model.SerializeToString())


def refusal(raw: bytes) -> str:
    with pytest.raises(InferenceError) as caught:
        backends.load(raw, backend="onnxruntime")
    return str(caught.value)


def test_ends_are_those_of_the_tflite_model(tflite: bytes, qdq: bytes) -> None:
    mine, theirs = (backends.load(raw) for raw in (qdq, tflite))

    assert (mine.backend, theirs.backend) == ("onnxruntime", backends.available()[0])
    assert mine.inputs == theirs.inputs
    assert dict(mine.outputs) == dict(theirs.outputs)


@pytest.mark.parametrize("kernels", list(Kernels), ids=lambda kernels: kernels.value)
@pytest.mark.parametrize("threads", [1, 2])
def test_integers_are_those_of_tflite_to_little(tflite: bytes, qdq: bytes, kernels: Kernels, threads: int) -> None:
    mine = backends.load(qdq, kernels=kernels, threads=threads)
    theirs = backends.load(tflite, backend="litert", kernels=Kernels.REFERENCE)

    assert (mine.kernels, mine.threads) == (kernels, threads)
    for fed in graphs.inputs(theirs):
        answered, expected = mine.invoke(fed), theirs.invoke(fed)
        assert answered.keys() == expected.keys()
        for name, values in answered.items():
            assert values.dtype == np.int8
            assert np.abs(values.astype(int) - expected[name]).max() <= 2


def test_integers_are_recovered_exactly() -> None:
    raw = graphs.raw(graphs.with_numbers("RESHAPE", [1, 396], shape=(1, 396), scale=0.0123), scales=(0.0123,))
    interpreter = backends.load(jetson.qdq_onnx(raw))

    for fed in graphs.inputs(interpreter):
        assert interpreter.invoke(fed)["tensor_2"].tolist() == fed["tensor_0"].reshape(1, 396).tolist()


def test_classifier_reads_it_like_any_other(tflite: bytes, qdq: bytes) -> None:
    plane = graphs.planes(1)[0]
    readings = []
    for raw in (qdq, tflite):
        classifier = Classifier(backends.load(raw), height=16, width=16)
        readings.append(classifier.read(classifier.infer(plane)))

    assert readings[0].logits[0] == pytest.approx(readings[1].logits[0], abs=0.041)
    assert readings[0].evidence is not None
    assert readings[0].embedding is not None
    # What a screening explains with: the logit is the mean of the map to one LSB of the logit.
    assert readings[0].logits[0] == pytest.approx(readings[0].evidence.mean(), abs=0.0201)


def test_float_model_takes_and_gives_real_numbers(qdq: bytes) -> None:
    interpreter = backends.load(changed(qdq))

    specs = [*interpreter.inputs.values(), *interpreter.outputs.values()]
    assert {(spec.dtype, spec.quantization) for spec in specs} == {("float32", None)}
    answered = interpreter.invoke({"plane": np.full((1, 16, 16, 1), 100, np.float32)})
    assert {values.dtype for values in answered.values()} == {np.dtype(np.float32)}


def test_cpu_is_no_accelerator(qdq: bytes) -> None:
    interpreter = backends.load(qdq)
    assert interpreter.accelerated is (onnxruntime.TENSORRT in onnxruntime.providers())
    assert backends.load(qdq, kernels=Kernels.REFERENCE).accelerated is False


class Library:
    """The library on a machine where TensorRT is installed: it runs the model, or fails and says so."""

    capi, SessionOptions = library.capi, library.SessionOptions
    GraphOptimizationLevel = library.GraphOptimizationLevel

    def __init__(self, *, fails: bool) -> None:
        self.fails = fails
        self.asked: list[str] = []

    def InferenceSession(self, model: bytes, options: object, providers: list[tuple[str, object]]) -> object:  # noqa: N802
        self.asked = [name for name, _ in providers]
        session = library.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        if self.fails:
            print("EP Error: no GPU")
        else:
            session.get_providers = lambda: [onnxruntime.TENSORRT, "CPUExecutionProvider"]
        return session


@pytest.mark.parametrize("fails", [False, True], ids=["runs", "fails"])
def test_whether_tensorrt_computes_is_told_and_nothing_is_printed(
    qdq: bytes, fails: bool, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    fake = Library(fails=fails)
    providers = (onnxruntime.TENSORRT, "CPUExecutionProvider")

    interpreter = onnx_session.open_model(fake, qdq, providers=providers, threads=1, kernels=Kernels.XNNPACK)

    assert fake.asked == list(providers)
    assert interpreter.accelerated is not fails
    assert capsys.readouterr().out == ""
    assert caplog.messages == (["onnxruntime: EP Error: no GPU"] if fails else [])


def test_reference_kernels_are_those_of_the_cpu(qdq: bytes) -> None:
    fake = Library(fails=True)
    onnx_session.open_model(fake, qdq, providers=(onnxruntime.TENSORRT,), threads=1, kernels=Kernels.REFERENCE)
    assert fake.asked == ["CPUExecutionProvider"]


def test_tensorrt_is_asked_first_and_may_use_int8_only_for_a_quantized_model() -> None:
    asked = onnx_session._asked(b"..QuantizeLinear..", (onnxruntime.TENSORRT, "CPUExecutionProvider"))
    assert asked == [
        ("TensorrtExecutionProvider", {"trt_int8_enable": True, "trt_fp16_enable": False}),
        ("CPUExecutionProvider", {}),
    ]
    assert onnx_session._asked(b"..Conv..", (onnxruntime.TENSORRT,)) == [
        ("TensorrtExecutionProvider", {"trt_int8_enable": False, "trt_fp16_enable": True})
    ]


def test_providers_are_those_of_the_library() -> None:
    assert set(onnxruntime.providers()) <= set(library.get_available_providers())
    assert onnxruntime.providers()[-1] == "CPUExecutionProvider"


def test_products_do_not_saturate_at_sixteen_bits() -> None:
    # Largest inputs times largest weights, of one sign: pairs of products leave 16 bits, the sum stays in int8.
    graph = graphs.Graph()
    x = graph.input((1, 4, 4, 16), scales=(0.01,))
    ones = graph.tensor((8, 1, 1, 16), data=np.full((8, 1, 1, 16), 127, np.int8), scales=(0.01,) * 8)
    raw = graph.finish(
        graph.op("CONV_2D", (x, ones, graphs.bias(graph, 8)), (1, 4, 4, 8), options=graphs.ONE, scales=(0.25,))
    )
    fed = {"tensor_0": np.full((1, 4, 4, 16), 127, np.int8)}

    found = [
        next(iter(backends.load(model, backend=name).invoke(fed).values()))
        for model, name in ((jetson.qdq_onnx(raw), "onnxruntime"), (raw, "litert"))
    ]

    assert 90 < found[1].mean() < 127
    assert np.abs(found[0].astype(int) - found[1]).max() <= 1


def test_results_belong_to_the_caller(qdq: bytes) -> None:
    interpreter = backends.load(qdq)
    fed = graphs.inputs(interpreter)
    first = interpreter.invoke(fed[0])
    kept = {name: values.copy() for name, values in first.items()}

    interpreter.invoke(fed[1])

    assert {name: values.tolist() for name, values in first.items()} == {
        name: values.tolist() for name, values in kept.items()
    }


@pytest.mark.parametrize(
    ("plane", "got"),
    [
        pytest.param(np.zeros((1, 8, 8, 1), np.int8), "int8 (1, 8, 8, 1)", id="shape"),
        pytest.param(np.zeros((1, 16, 16, 1), np.float32), "float32 (1, 16, 16, 1)", id="type"),
    ],
)
def test_tensor_that_does_not_fit_is_refused(qdq: bytes, plane: np.ndarray, got: str) -> None:
    with pytest.raises(InferenceError) as caught:
        backends.load(qdq).invoke({"plane": plane})
    assert str(caught.value) == (
        f"onnxruntime: inference failed: Cannot set tensor plane: expected int8 (1, 16, 16, 1), got {got}"
    )


def test_input_of_another_name_is_refused(qdq: bytes) -> None:
    with pytest.raises(InferenceError) as caught:
        backends.load(qdq).invoke({"image": np.zeros((1, 16, 16, 1), np.int8)})
    assert str(caught.value) == "inputs: expected ['plane'], got ['image']"


def test_output_that_is_not_a_number_is_refused(qdq: bytes) -> None:
    model = onnx.load_from_string(qdq)
    for node in model.graph.node:
        if "logit" in node.output:
            node.output[:] = ["real"]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32("nan"), "nan"))
    model.graph.node.append(onnx.helper.make_node("Add", ["real", "nan"], ["logit"]))

    with pytest.raises(InferenceError) as caught:
        backends.load(bytes(model.SerializeToString())).invoke({"plane": np.zeros((1, 16, 16, 1), np.int8)})
    assert str(caught.value) == (
        "onnxruntime: inference failed: output logit: values: expected finite numbers, got NaN or infinity"
    )


@pytest.mark.parametrize(
    "raw", [b"", b"no model", tiny.MODEL_PATH.read_bytes()], ids=["empty", "other-bytes", "tflite"]
)
def test_other_bytes_are_refused(raw: bytes) -> None:
    assert refusal(raw).startswith("onnxruntime: expected an ONNX model it can run: [ONNXRuntimeError] : ")


def test_truncated_file_is_refused(qdq: bytes) -> None:
    assert refusal(qdq[: len(qdq) // 2]).startswith("onnxruntime: expected an ONNX model it can run: ")


def test_shape_that_is_not_static_is_refused(qdq: bytes) -> None:
    model = onnx.load_from_string(qdq)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    assert refusal(bytes(model.SerializeToString())) == (
        "model: plane: expected tensor(float) of a static shape, got tensor(float) ['n', 16, 16, 1]"
    )


END = {"scale": 0.1, "zero_point": 0}
OUTPUTS = dict.fromkeys(("logit", "evidence", "embedding"), END)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param("{", f"model: metadata {KEY}: ", id="no-json"),
        pytest.param(
            json.dumps({"inputs": {"image": END}, "outputs": OUTPUTS}),
            f"model: metadata {KEY}: expected the names ['plane'], got ['image']",
            id="other-name",
        ),
        pytest.param(
            json.dumps({"inputs": {"plane": {"scale": 0.0, "zero_point": 0}}, "outputs": OUTPUTS}),
            f"model: metadata {KEY}: plane: scale: expected a finite number above 0, got 0.0",
            id="scale-0",
        ),
        pytest.param(
            json.dumps({"inputs": {"plane": {"scale": 1.0, "zero_point": 300}}, "outputs": OUTPUTS}),
            f"model: metadata {KEY}: plane: zero_point: expected -128..127, got 300",
            id="zero-point-300",
        ),
    ],
)
def test_metadata_that_say_nothing_sensible_are_refused(qdq: bytes, document: str, expected: str) -> None:
    assert refusal(changed(qdq, **{KEY: document})).startswith(expected)


def test_onnx_given_to_another_back_end_is_refused(qdq: bytes) -> None:
    with pytest.raises(InferenceError, match=r"^litert: expected a TFLite model it can run: "):
        backends.load(qdq, backend="litert")


def test_unknown_back_end_lists_this_one() -> None:
    with pytest.raises(ConfigError) as caught:
        backends.load(b"", backend="onnx")
    assert str(caught.value) == "backend: expected one of litert, tflite-runtime, onnxruntime, got 'onnx'"


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, qdq: bytes) -> None:
    monkeypatch.setattr(onnxruntime.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError) as caught:
        backends.load(qdq)
    assert str(caught.value) == (
        "no inference back end can be loaded: onnxruntime needs the package onnxruntime "
        "(pip install 'edgemed[jetson]'; on a Jetson NVIDIA's onnxruntime-gpu)"
    )


def test_library_that_does_not_load_is_named(monkeypatch: pytest.MonkeyPatch, qdq: bytes) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError) as caught:
        onnxruntime.load(qdq)
    assert str(caught.value) == (
        "onnxruntime: cannot be loaded: import of onnxruntime halted; None in sys.modules; it needs the package "
        "onnxruntime (pip install 'edgemed[jetson]'; on a Jetson NVIDIA's onnxruntime-gpu)"
    )


def test_runtime_imports_without_the_library() -> None:
    code = (
        "import sys; sys.modules['onnxruntime'] = sys.modules['onnx'] = None\n"
        "import edgemed.runtime, edgemed.runtime.backends.onnxruntime as mine\n"
        "from edgemed.runtime import backends\n"
        "print(backends.available())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
