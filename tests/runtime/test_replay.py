from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgemed.errors import InferenceError
from edgemed.runtime import backends, replay
from edgemed.runtime.interpreter import Kernels
from tests.runtime import tiny

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def planes(tmp_path: Path) -> Path:
    path = tmp_path / "planes.npy"
    np.save(path, np.stack([tiny.picture(16, seed=seed) for seed in range(3)]))
    return path


@pytest.mark.parametrize("reference", [False, True], ids=["default kernels", "reference kernels"])
def test_program_writes_the_outputs_of_every_plane(tmp_path: Path, planes: Path, reference: bool) -> None:
    words = [str(tiny.MODEL_PATH), str(planes), str(tmp_path / "out"), *(["--reference-kernels"] if reference else [])]

    assert replay.main(words) == 0

    kernels = Kernels.REFERENCE if reference else Kernels.XNNPACK
    interpreter = backends.load(tiny.model(), kernels=kernels)
    with np.load(tmp_path / "out") as written:
        assert sorted(written) == ["@backend", "@machine", "embedding", "evidence", "logit"]
        assert (str(written["@backend"]), str(written["@machine"])) == (interpreter.backend, platform.machine())
        assert written["evidence"].shape == (3, 4, 4, 1)
        for index, plane in enumerate(np.load(planes)):
            tensor = (plane.astype(np.int16) - 128).astype(np.int8)[None, :, :, None]
            expected = interpreter.invoke({"plane": tensor})
            assert {n: written[n][index].tolist() for n in expected} == {n: v[0].tolist() for n, v in expected.items()}


@pytest.mark.parametrize(
    ("installed", "words", "ending"),
    [
        pytest.param(("litert",), [], (0, ""), id="one of two"),
        pytest.param(("tflite-runtime",), ["--backend", "tflite-runtime"], (0, ""), id="the named one"),
        pytest.param(
            ("litert",),
            ["--backend", "tflite-runtime"],
            (1, "replay: not installed: tflite-runtime\n"),
            id="another than the named one",
        ),
        pytest.param((), [], (1, "replay: not installed: litert, tflite-runtime\n"), id="none"),
        pytest.param(
            ("onnxruntime",), [], (1, "replay: not installed: litert, tflite-runtime\n"), id="none that reads TFLite"
        ),
    ],
)
def test_check_tells_whether_a_back_end_is_installed(
    installed: tuple[str, ...],
    words: list[str],
    ending: tuple[int, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(backends, "available", lambda: installed)

    code = replay.main(["--check", *words])

    assert (code, capsys.readouterr().err) == ending


def test_program_writes_the_real_numbers_of_a_float_model(tmp_path: Path, planes: Path) -> None:
    assert replay.main([str(tiny.DATA / "tiny_float32.tflite"), str(planes), str(tmp_path / "out")]) == 0

    interpreter = backends.load(tiny.float_model())
    with np.load(tmp_path / "out") as written:
        assert written["logit"].dtype == np.float32
        for index, plane in enumerate(np.load(planes)):
            expected = interpreter.invoke({"plane": plane[None, :, :, None].astype(np.float32)})
            assert written["logit"][index].tolist() == expected["logit"][0].tolist()


def test_run_without_its_three_paths_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        replay.main(["model.tflite"])

    assert caught.value.code == 2
    assert capsys.readouterr().err.endswith("error: expected MODEL PLANES OUT\n")


def test_program_loads_no_more_than_it_needs(tmp_path: Path, planes: Path) -> None:
    program = (
        "import sys; from edgemed.runtime import replay;"
        f"code = replay.main([{str(tiny.MODEL_PATH)!r}, {str(planes)!r}, {str(tmp_path / 'out.npz')!r}]);"
        "print(code, [m for m in ('msgspec', 'typer', 'yaml', 'cryptography', 'pydicom') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "0 []\n"


def test_check_loads_no_more_than_it_needs() -> None:
    program = (
        "import sys; from edgemed.runtime import replay; code = replay.main(['--check']);"
        "print(code, [m for m in ('msgspec', 'yaml', 'onnxruntime', 'ai_edge_litert') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "0 []\n"


@pytest.mark.parametrize(
    ("array", "message"),
    [
        pytest.param(
            np.zeros((16, 16), np.uint8), "planes: expected uint8 (N, H, W), N >= 1, got uint8 (16, 16)", id="one plane"
        ),
        pytest.param(
            np.zeros((1, 16, 16)), "planes: expected uint8 (N, H, W), N >= 1, got float64 (1, 16, 16)", id="float"
        ),
        pytest.param(
            np.zeros((0, 16, 16), np.uint8),
            "planes: expected uint8 (N, H, W), N >= 1, got uint8 (0, 16, 16)",
            id="none",
        ),
    ],
)
def test_planes_of_another_form_are_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(InferenceError) as caught:
        replay.outputs_of(tiny.FakeInterpreter(), array)

    assert str(caught.value) == message


def test_program_ends_with_the_exit_code_of_its_error(
    tmp_path: Path, planes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planes.write_bytes(b"hello")

    code = replay.main([str(tiny.MODEL_PATH), str(planes), str(tmp_path / "out.npz")])

    assert code == InferenceError.exit_code
    assert capsys.readouterr().err.startswith(f"replay: {planes}: expected an npy file: ")


def test_missing_model_is_one_line(tmp_path: Path, planes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = replay.main([str(tmp_path / "no.tflite"), str(planes), str(tmp_path / "out.npz")])

    assert (code, capsys.readouterr().err) == (1, f"replay: {tmp_path / 'no.tflite'}: No such file or directory\n")
