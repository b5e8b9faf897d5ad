"""Reading ONNX files: what is no whole model of fixed size is refused in words, whatever its bytes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the jetson extra")

import onnx

from edgemed.errors import EdgemedError, MissingDependencyError, TargetMismatchError
from tests.converters.compat.onnx_graphs import Graph
from tests.converters.compat.tensorrt_checked import checked, good, refusal, refused

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        pytest.param(
            ("n", 4, 8, 8),
            "x: expected a static shape, got (?, 4, 8, 8); export the model with a fixed input size and batch 1",
            id="dynamic",
        ),
        pytest.param(
            None,
            "x: expected a static shape, got none; export the model with a fixed input size and batch 1",
            id="absent",
        ),
        pytest.param((2, 4, 8, 8), "x: expected batch 1, got (2, 4, 8, 8); export it with batch 1", id="batch-2"),
    ],
)
def test_shape_of_the_input_is_static_and_of_batch_1(shape: Any, expected: str) -> None:
    graph = Graph()
    raw = graph.finish(graph.node("Relu", ["x"], "y"), shape=shape, output_shape=(1, 4, 8, 8))
    assert refusal(raw) == f"model.onnx: {expected}"


def test_truncated_file_is_refused() -> None:
    raw = good()
    assert refusal(raw[: len(raw) - 7]) == f"model.onnx: expected an ONNX file, got {len(raw) - 7} other bytes"


def test_random_bytes_are_refused() -> None:
    assert refusal(np.random.default_rng(4).bytes(500)) == "model.onnx: expected an ONNX file, got 500 other bytes"


def test_empty_file_is_refused() -> None:
    assert refusal(b"") == "model.onnx: expected an ONNX file, got one without a graph of operators"


def test_tflite_file_is_another_format() -> None:
    with pytest.raises(TargetMismatchError, match=r"^model.onnx: TensorRT on jetson-orin-nano runs no TFLite file"):
        checked((ROOT / "tests/data/tiny_int8.tflite").read_bytes())


def test_data_outside_the_file_are_refused() -> None:
    model = onnx.load_from_string(good())
    weights = next(one for one in model.graph.initializer if one.name == "w")
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="/etc/passwd")
    assert refusal(bytes(model.SerializeToString())) == (
        "model.onnx: constant 'w': expected its data in the file, got data in another file"
    )


def test_constant_without_its_data_is_named() -> None:
    model = onnx.load_from_string(good())
    scale = next(one for one in model.graph.initializer if one.name == "x.scale")
    scale.dims[:] = [1 << 39]
    found = refused(bytes(model.SerializeToString()))
    assert [(kind, verdict, remedy) for kind, verdict, _, remedy in found] == [
        (kind, "cpu", "export the model again: the file is damaged") for kind in ("QuantizeLinear", "DequantizeLinear")
    ]
    assert found[0][2].startswith("constant 'x.scale': expected float32 (549755813888,), got other data: ")


def test_value_that_two_nodes_make_is_refused() -> None:
    model = onnx.load_from_string(good())
    model.graph.node.append(model.graph.node[0])
    assert refusal(bytes(model.SerializeToString())) == (
        "model.onnx: graph: expected each value to be made once, got a name that repeats"
    )


def test_opset_that_is_missing_is_refused() -> None:
    model = onnx.load_from_string(good())
    del model.opset_import[:]
    assert refusal(bytes(model.SerializeToString())) == (
        "model.onnx: opset_import: expected one version of the standard operators, got []"
    )


def test_without_onnx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependencyError) as caught:
        checked(b"")
    assert str(caught.value) == (
        "onnx: cannot be loaded: import of onnx halted; None in sys.modules; reading ONNX needs the extra 'jetson': "
        "pip install 'edgemed[jetson]'"
    )


def damaged(raw: bytes, rng: np.random.Generator) -> bytes:
    """Return the file with up to four bytes changed, or cut, or a part of it doubled."""
    changed = bytearray(raw)
    for place in rng.integers(0, len(raw), rng.integers(1, 5)):
        changed[place] = rng.integers(0, 256)
    start, end = sorted(int(place) for place in rng.integers(0, len(raw), 2))
    match rng.integers(0, 4):
        case 0:
            return bytes(changed[:end])
        case 1:
            return bytes(changed[:end] + changed[start:])
        case _:
            return bytes(changed)


def survey(count: int, seed: int) -> dict[str, int]:
    """Check damaged files and count how they end; anything but a report or an `EdgemedError` gets out."""
    raw, rng = good(), np.random.default_rng(seed)
    ends = {"report": 0, "error": 0}
    for _ in range(count):
        try:
            checked(damaged(raw, rng))
            ends["report"] += 1
        except EdgemedError:
            ends["error"] += 1
    return ends


def test_damaged_files_give_a_report_or_an_error() -> None:
    assert min(survey(500, seed=1).values()) > 20


@pytest.mark.slow
def test_ten_thousand_damaged_files_in_bounded_memory() -> None:
    """In a process of its own, whose largest size is measured."""
    code = "from tests.converters.compat import test_onnx_graph as mine; print(mine.measured_survey())"
    environment = {**os.environ, "PYTHONPATH": os.fspath(ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    reports, errors, grown_mib = (int(part) for part in done.stdout.split())
    assert reports + errors == 10_000
    assert min(reports, errors) > 500
    assert grown_mib < 60


def measured_survey() -> str:
    survey(100, seed=2)  # libraries are loaded
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ends = survey(10_000, seed=3)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return f"{ends['report']} {ends['error']} {grown // 1024}"
