from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from converters import answers, tolerance
from edgemed import schema, targets
from edgemed.errors import ConversionError
from edgemed.imaging import preprocess
from edgemed.runtime import backends, golden
from edgemed.runtime.decision import Calibration
from edgemed.runtime.interpreter import Kernels
from tests.runtime import tiny, tiny_onnx

PLANES = np.stack([tiny.picture(16, seed=seed) for seed in range(3)])
CLAHE = {"step": "contrast", "method": {"kind": "clahe", "clip_limit": 2.0, "tiles": 4}}


@pytest.fixture(scope="module")
def reference() -> answers.Answers:
    return answers.of(backends.load(tiny.model(), backend="litert"), PLANES)


def _measured(
    reference: answers.Answers,
    *peers: Path,
    first: list[object] | None = None,
    others: dict[str, bytes] | None = None,
) -> golden.Tolerance:
    document = {**tiny.PREPROCESSING, "steps": [*(first or []), *tiny.PREPROCESSING["steps"]]}
    return tolerance.measure(
        tiny.model(),
        reference,
        PLANES,
        preprocessing=preprocess.parse(schema.encode_json(document)),
        calibration=Calibration(slope=1.0, intercept=0.0),
        peers=peers,
        others=others or {},
    )


def _peer(tmp_path: Path, lines: str) -> Path:
    """Write a program that stands in for a Python; it finds the answers' path as its fifth argument."""
    path = tmp_path / "peer"
    path.write_text(f"#!{sys.executable}\nimport sys, time\nimport numpy as np\n{lines}\n")
    path.chmod(0o755)
    return path


def test_kernels_of_this_machine_and_of_a_peer_are_measured(reference: answers.Answers) -> None:
    found = _measured(reference, Path(sys.executable))
    here = targets.architecture()
    assert found.reference == f"litert/xnnpack/{here}"
    assert [(entry.backend, entry.kernels, entry.architecture, entry.n) for entry in found.entries] == [
        ("litert", Kernels.XNNPACK, here, 3),
        ("litert", Kernels.REFERENCE, here, 3),
        ("litert", Kernels.XNNPACK, here, 3),
        ("litert", Kernels.REFERENCE, here, 3),
    ]
    own, peers = found.entries[:2], found.entries[2:]
    assert own == peers, "the same Python answers the same"
    assert (own[0].logit_lsb, own[0].score) == (0, 0.0)
    assert golden.parse_tolerance(schema.encode_json(found)) == found


def test_peers_answer_to_some_of_many_planes_and_are_compared_on_those(tmp_path: Path) -> None:
    many = np.repeat(PLANES, 50, axis=0)
    lines = """
count = len(np.load("planes.npy"))
out = {"@backend": np.array("other"), "@machine": np.array("aarch64")}
for name, shape in (("logit", (1,)), ("evidence", (4, 4, 1)), ("embedding", (8,))):
    out[name] = np.zeros((count, *shape), np.int8)
np.savez(sys.argv[5], **out)
"""
    found = tolerance.measure(
        tiny.model(),
        answers.of(backends.load(tiny.model(), backend="litert"), many),
        many,
        preprocessing=preprocess.parse(schema.encode_json(tiny.PREPROCESSING)),
        calibration=Calibration(slope=1.0, intercept=0.0),
        peers=(_peer(tmp_path, lines),),
    )
    assert [entry.n for entry in found.entries] == [150, 150, 128, 128]


def test_differences_are_the_largest_of_the_planes(reference: answers.Answers, tmp_path: Path) -> None:
    lines = """
out = {"@backend": np.array("other"), "@machine": np.array("aarch64")}
for name, shape in (("logit", (3, 1)), ("evidence", (3, 4, 4, 1)), ("embedding", (3, 8))):
    out[name] = np.full(shape, 127, np.int8)
np.savez(sys.argv[5], **out)
"""
    entry = _measured(reference, _peer(tmp_path, lines)).entries[2]
    assert (entry.backend, entry.architecture) == ("other", "aarch64")
    assert entry.logit_lsb == int(127 - reference.integers["logit"].astype(int).min())
    assert 0.0 < entry.score <= 1.0


@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_float_member_is_measured_in_lsb_of_the_int8_model(reference: answers.Answers, kind: str) -> None:
    real = answers.of(backends.load(tiny.float_model(kind), backend="litert"), PLANES)
    calibration = Calibration(slope=2.0, intercept=0.5)

    found = tolerance.entry(reference, real, member="model/float16.onnx", calibration=calibration, plane_gray=0)

    q = reference.quantization("logit")
    lowest, highest = (q.scale * (end - q.zero_point) for end in (-128, 127))
    apart = [
        abs(one - min(max(other, lowest), highest)) for one, other in zip(reference.logits, real.logits, strict=True)
    ]
    scores = [[1 / (1 + math.exp(-2.0 * logit - 0.5)) for logit in side.logits] for side in (reference, real)]
    assert found.logit_lsb == max(math.ceil(one / q.scale) for one in apart) > 0
    assert found.score == pytest.approx(max(abs(one - other) for one, other in zip(*scores, strict=True)))
    assert (found.member, found.accelerated, found.n) == ("model/float16.onnx", False, len(PLANES))


def test_another_member_is_measured_on_the_back_end_that_runs_it(reference: answers.Answers) -> None:
    pytest.importorskip("onnx")
    if "onnxruntime" not in backends.available():
        pytest.skip("onnxruntime is not installed in this environment")

    found = _measured(reference, others={"model/float16.onnx": tiny_onnx.model()})

    own, other = found.entries[:2], found.entries[2]
    assert {entry.member for entry in own} == {"model/int8.tflite"}
    assert (other.member, other.backend, other.n) == ("model/float16.onnx", "onnxruntime", 3)
    apart = [
        abs(1 / (1 + math.exp(-logit)) - 1 / (1 + math.exp(-tiny_onnx.logit(plane))))
        for logit, plane in zip(reference.logits, PLANES, strict=True)
    ]
    assert other.score == pytest.approx(max(apart), rel=1e-5)
    assert golden.parse_tolerance(schema.encode_json(found)) == found


def test_entries_name_the_int8_model(reference: answers.Answers) -> None:
    assert {entry.member for entry in _measured(reference).entries} == {"model/int8.tflite"}


@pytest.mark.parametrize(("first", "gray"), [([], 0), ([CLAHE], 2)], ids=["exact steps", "a step that is not"])
def test_planes_may_differ_by_what_the_steps_declare(
    reference: answers.Answers, first: list[object], gray: int
) -> None:
    assert {entry.plane_gray for entry in _measured(reference, first=first).entries} == {gray}


SAVE = "np.savez(sys.argv[5], **{**{'@backend': np.array('x'), '@machine': np.array('y')}, %s})"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        pytest.param(
            "sys.exit('no such model')",
            "the tolerance measurement failed: no such model; check --peer-python",
            id="fails with a message",
        ),
        pytest.param(
            "sys.stderr.buffer.write(b'\\xff\\xfe'); sys.exit(3)",
            "the tolerance measurement failed: \ufffd\ufffd; check --peer-python",
            id="fails with bytes that are no text",
        ),
        pytest.param(
            "sys.exit(1)", "the tolerance measurement failed: no message; check --peer-python", id="fails in silence"
        ),
        pytest.param("time.sleep(60)", "did not answer within 1.5 s; check --peer-python", id="hangs"),
        pytest.param(
            SAVE % "'logit': np.zeros((3, 1))",
            "logit: expected int8 (3, 1), got float64 (3, 1); check --peer-python",
            id="floats",
        ),
        pytest.param(
            SAVE % "'logit': np.zeros((2, 1), np.int8)",
            "logit: expected int8 (3, 1), got int8 (2, 1); check --peer-python",
            id="too few",
        ),
        pytest.param(
            SAVE % "'@machine': np.arange(3)", "@machine: expected a text, got int64; check --peer-python", id="number"
        ),
    ],
)
def test_peer_that_fails_ends_the_conversion(
    reference: answers.Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, message: str
) -> None:
    monkeypatch.setattr(tolerance, "_START_SECONDS", 1.5 if "sleep" in lines else 60.0)
    monkeypatch.setattr(tolerance, "_SECONDS_A_PLANE", 0.0)
    others = "'evidence': np.zeros((3, 4, 4, 1), np.int8), 'embedding': np.zeros((3, 8), np.int8)"
    complete = lines.replace("**{**{", "**{'logit': np.zeros((3, 1), np.int8), " + others + ", **{")
    peer = _peer(tmp_path, complete)
    with pytest.raises(ConversionError) as caught:
        _measured(reference, peer)
    assert str(caught.value) == f"{peer}: {message}"


@pytest.mark.parametrize(
    "lines",
    [
        "pass",
        "open(sys.argv[5], 'wb')",
        "open(sys.argv[5], 'wb').write(b'garbage')",
        "open(sys.argv[5], 'wb').write(b'PK\\x03\\x04 cut short')",
        "np.save(open(sys.argv[5], 'wb'), np.zeros(3))",
        "np.savez(sys.argv[5], logit=np.zeros((3, 1), np.int8))",
        "np.savez(sys.argv[5], **{'@backend': np.array([{}], dtype=object)})",
    ],
    ids=["nothing", "empty", "no archive", "cut archive", "single array", "outputs missing", "pickle"],
)
def test_answers_that_cannot_be_read_end_the_conversion(reference: answers.Answers, tmp_path: Path, lines: str) -> None:
    peer = _peer(tmp_path, lines)
    with pytest.raises(ConversionError, match=r": its answers cannot be read: .*; check --peer-python\Z"):
        _measured(reference, peer)


def _absent(tmp_path: Path) -> Path:
    return tmp_path / "python"


def _no_program(tmp_path: Path) -> Path:
    path = tmp_path / "python"
    path.write_text("text")
    return path


@pytest.mark.parametrize(
    ("made", "message"),
    [
        pytest.param(_absent, "cannot be run: No such file or directory; check --peer-python", id="absent"),
        pytest.param(_no_program, "cannot be run: Permission denied; check --peer-python", id="no program"),
        pytest.param(
            lambda folder: _peer(folder, "sys.exit('replay: not installed: litert, tflite-runtime')"),
            "the tolerance measurement failed: replay: not installed: litert, tflite-runtime; check --peer-python",
            id="without a back end",
        ),
    ],
)
def test_peer_that_cannot_measure_is_found_out_before(
    tmp_path: Path, made: Callable[[Path], Path], message: str
) -> None:
    peer = made(tmp_path)
    with pytest.raises(ConversionError) as caught:
        tolerance.require_peers([Path(sys.executable), peer])
    assert str(caught.value) == f"{peer}: {message}"
