"""The Edge TPU compiler's wrapper, against a program that writes the real log format and can be told how to fail."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from converters import compat, edgetpu, edgetpu_log
from converters.compat import edgetpu_facts as facts
from edgemed import targets, tflite
from edgemed.errors import ConfigError, ConversionError
from tests.converters.compat.graphs import Graph
from tests.converters.compat.test_edgetpu import undecided_model

TINY = (Path(__file__).parents[1] / "data" / "tiny_int8.tflite").read_bytes()

# Format of 16.0: logs of google-coral/edgetpu#512 and dbro/frigate-detector-edgetpu-yolo9; counts of the tiny model.
LOG = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 38 ms.

Input model: model.tflite
Input size: 4.73KiB
Output model: ./model_edgetpu.tflite
Output size: 36.65KiB
On-chip memory used for caching model parameters: 5.25KiB
On-chip memory remaining for caching model parameters: 7.71MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 8
Operation log: ./model_edgetpu.log

Operator                       Count      Status

MUL                            1          Mapped to Edge TPU
ADD                            1          Mapped to Edge TPU
MEAN                           2          Mapped to Edge TPU
CONV_2D                        3          Mapped to Edge TPU
DEPTHWISE_CONV_2D              1          Mapped to Edge TPU
Compilation child process completed within timeout period.
Compilation succeeded!
"""
PARTLY = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 96 ms.

Input model: model.tflite
Input size: 7.02MiB
Output model: model_edgetpu.tflite
Output size: 7.14MiB
On-chip memory used for caching model parameters: 6.89MiB
On-chip memory remaining for caching model parameters: 1.00KiB
Off-chip memory used for streaming uncached model parameters: 175.00KiB
Number of Edge TPU subgraphs: 1
Total number of operations: 191
Operation log: model_edgetpu.log

Model successfully compiled but not all operations are supported by the Edge TPU. A percentage of the model will \
instead run on the CPU, which is slower. If possible, consider updating your model to use only operations supported by \
the Edge TPU. For details, visit g.co/coral/model-reqs.
Number of operations that will run on Edge TPU: 187
Number of operations that will run on CPU: 4

Operator                       Count      Status

CONV_2D                        2          More than one subgraph is not supported
CONV_2D                        187        Mapped to Edge TPU
TRANSPOSE                      2          Operation is otherwise supported, but not mapped due to some unspecified \
limitation
Compilation child process completed within timeout period.
Compilation succeeded!
"""


def compiled_file() -> bytes:
    """Return a file like those the compiler makes: one custom operator."""
    graph = Graph()
    return graph.finish(graph.op("CUSTOM", [graph.input((1, 8, 8, 4))], (1, 8, 8, 4), custom="edgetpu-custom-op"))


def program(folder: Path, body: str) -> Path:
    """Write an executable in the compiler's name that runs ``body``."""
    path = folder / "edgetpu_compiler"
    path.write_text(f"#!{sys.executable}\nimport os, subprocess, sys, time\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def compiler(folder: Path, *, prints: str = LOG, writes: bytes | None = None, code: int = 0) -> Path:
    """Return a compiler that prints a text, writes a file where it was told, and ends with a code."""
    made = compiled_file() if writes is None else writes
    (folder / "prints.txt").write_text(prints, encoding="utf-8")
    (folder / "made.bin").write_bytes(made)
    return program(
        folder,
        f"""
assert sys.argv[1:3] == ["-s", "-o"], sys.argv
assert open(sys.argv[-1], "rb").read(8)[4:] == b"TFL3"
made = open({str(folder / "made.bin")!r}, "rb").read()
if made:
    open(os.path.join(sys.argv[3], "model_edgetpu.tflite"), "wb").write(made)
sys.stdout.write(open({str(folder / "prints.txt")!r}).read())
sys.exit({code})""",
    )


def test_compiled_file_and_log_come_back(tmp_path: Path) -> None:
    made = edgetpu.compile(TINY, compiler=compiler(tmp_path))
    assert made is not None
    assert tflite.is_compiled(tflite.read(made.raw, source="made"))
    assert made.log == edgetpu_log.parse(LOG)
    assert made.log.fully_mapped


def test_compiler_on_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = compiler(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert edgetpu.find() == path
    assert edgetpu.compile(TINY) is not None


def test_absent_compiler_is_none_and_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert edgetpu.find() is None
    assert edgetpu.compile(TINY) is None
    assert edgetpu.ABSENT == (
        "edgetpu_compiler is not on PATH, so no model/edgetpu.tflite is made; it runs on x86-64 Linux and its licence "
        "forbids shipping it: install it from coral.ai/docs/edgetpu/compiler, or compile model/int8.tflite elsewhere"
    )


def test_given_compiler_that_is_no_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "edgetpu_compiler"
    path.write_text("not a program", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        edgetpu.compile(TINY, compiler=path)
    assert str(caught.value) == (f"{path}: expected the program edgetpu_compiler, got no program; give the path of one")


def test_compiler_of_another_machine_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "edgetpu_compiler"
    path.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(57))
    path.chmod(0o755)
    with pytest.raises(ConversionError) as caught:
        edgetpu.compile(TINY, compiler=path)
    assert str(caught.value) == f"{path}: cannot be started: Exec format error; it needs x86-64 Linux"


START = "Edge TPU Compiler version 16.0.384591198\nStarted a compilation timeout timer of 180 seconds.\n"
FAILED = "Compilation child process completed within timeout period.\nCompilation failed! \n"
REFUSALS = {
    "not-quantized": (
        "Edge TPU Compiler version 16.0.384591198\nInvalid model: model.tflite\nModel not quantized\n",
        "edgetpu_compiler: Model not quantized; quantize weights and activations to int8 first",
    ),
    "large-activations": (
        f"{START}ERROR: Restored original execution plan after delegate application failure.\n"
        f"Compilation failed: Compilation failed due to large activation tensors in model.\n{FAILED}",
        "edgetpu_compiler: Compilation failed: Compilation failed due to large activation tensors in model; "
        "use a smaller input or fewer channels",
    ),
    "newer-operator": (
        "Edge TPU Compiler version 16.0.384591198\n"
        "ERROR: Didn't find op for builtin opcode 'TRANSPOSE_CONV' version '4'. An older version of this builtin might "
        "be supported. Are you using an old TFLite binary with a newer model?\n\nERROR: Registration failed.\n\n"
        "Invalid model: model.tflite\nModel could not be parsed\n",
        "edgetpu_compiler: Didn't find op for builtin opcode 'TRANSPOSE_CONV' version '4'. An older version of this "
        "builtin might be supported. Are you using an old TFLite binary with a newer model?; the operator is newer "
        "than the compiler: see edgemed compat for what to use",
    ),
    "dynamic": (
        f"{START}ERROR: Attempting to use a delegate that only supports static-sized tensors with a graph that has "
        f"dynamic-sized tensors.\nCompilation failed: Model failed in Tflite interpreter. Please ensure model can be "
        f"loaded/run in Tflite interpreter.\n{FAILED}",
        "edgetpu_compiler: Attempting to use a delegate that only supports static-sized tensors with a graph that has "
        "dynamic-sized tensors; build the model with Input(shape, batch_size=1)",
    ),
    "internal-error": (
        "Edge TPU Compiler version 14.1.317412892\n\nInternal compiler error. Aborting! \n",
        "edgetpu_compiler: Internal compiler error. Aborting; see edgemed compat; a smaller input or other channel "
        "counts often help",
    ),
    "its-own-timeout": (
        f"{START}Compilation timed out.\nCompilation failed! \n",
        "edgetpu_compiler: Compilation timed out; give it more time",
    ),
    "without-a-word": (
        "",
        "edgetpu_compiler: expected a compiled model, got exit code 1 and 'nothing'; "
        "see edgemed compat for what it maps",
    ),
    "of-another-kind": (
        f"{START}{FAILED}",
        "edgetpu_compiler: expected a compiled model, got exit code 1 and 'Compilation failed!'; "
        "see edgemed compat for what it maps",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_is_told_in_the_compilers_words(name: str, tmp_path: Path) -> None:
    prints, message = REFUSALS[name]
    with pytest.raises(ConversionError) as caught:
        edgetpu.compile(TINY, compiler=compiler(tmp_path, prints=prints, writes=b"", code=1))
    assert str(caught.value) == message


def test_failure_with_exit_code_0_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"^edgetpu_compiler: expected a compiled model, got exit code 0 and "):
        edgetpu.compile(TINY, compiler=compiler(tmp_path, prints=START + FAILED, writes=b""))


def test_missing_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError) as caught:
        edgetpu.compile(TINY, compiler=compiler(tmp_path, writes=b""))
    assert str(caught.value) == (
        "edgetpu_compiler: expected it to write model_edgetpu.tflite, got no such file; compile it by hand"
    )


def test_output_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError) as caught:
        edgetpu.compile(TINY, compiler=compiler(tmp_path, writes=b"half of a fi"))
    assert str(caught.value) == (
        "model_edgetpu.tflite: expected a TFLite file (identifier 'TFL3' at byte 4), got 12 other bytes"
    )


def test_output_without_the_segment_of_the_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError) as caught:
        edgetpu.compile(TINY, compiler=compiler(tmp_path, writes=TINY))
    assert str(caught.value) == (
        "edgetpu_compiler: model_edgetpu.tflite: expected 1 segments as its log says, got a file of another model"
    )


def is_running(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text("ascii").rsplit(")", 1)[1].split()[0] != "Z"


def test_hang_is_killed_with_its_children(tmp_path: Path) -> None:
    numbers = tmp_path / "numbers.txt"
    path = program(
        tmp_path,
        f"""
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(numbers)!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
print("Started a compilation timeout timer of 1 seconds.", flush=True)
time.sleep(600)""",
    )
    started = time.monotonic()
    with pytest.raises(ConversionError) as caught:
        edgetpu.compile(TINY, compiler=path, timeout_s=2)
    assert str(caught.value) == (
        "edgetpu_compiler: expected an end within 2 s, got none; it was killed: give it more time, or a smaller model"
    )
    assert time.monotonic() - started < 30
    waited = time.monotonic() + 10
    processes = [int(number) for number in numbers.read_text("ascii").split()]
    while any(map(is_running, processes)) and time.monotonic() < waited:
        time.sleep(0.05)
    assert [process for process in processes if is_running(process)] == []


def test_time_of_its_own_is_passed_on(tmp_path: Path) -> None:
    path = program(tmp_path, "print(sys.argv[1:]); sys.exit(1)")
    with pytest.raises(ConversionError, match=r"\['-t', '7', '-s', '-o', '\.', 'model\.tflite'\]"):
        edgetpu.compile(TINY, compiler=path, timeout_s=7)


def test_endless_output_is_not_kept(tmp_path: Path) -> None:
    path = program(tmp_path, "sys.stdout.write('x' * (16 << 20)); sys.exit(1)")
    with pytest.raises(ConversionError) as caught:
        edgetpu.compile(TINY, compiler=path)
    assert len(str(caught.value)) < 1000


# The log.


def test_log_is_parsed() -> None:
    assert edgetpu_log.parse(PARTLY) == edgetpu_log.Log(
        version="16.0.384591198",
        on_chip_bytes=round(6.89 * (1 << 20)),
        on_chip_remaining_bytes=1024,
        off_chip_bytes=175 * 1024,
        segments=1,
        operators=191,
        statuses=(
            edgetpu_log.Status(op="CONV_2D", count=2, status=facts.STRANDED),
            edgetpu_log.Status(op="CONV_2D", count=187, status=facts.MAPPED),
            edgetpu_log.Status(op="TRANSPOSE", count=2, status=facts.UNSPECIFIED),
        ),
    )


STRANGE = {
    "garbage": (
        "\x00\x01 lots of noise",
        "edgetpu_compiler: expected 'Edge TPU Compiler version ...' in its output, got none",
    ),
    "line-missing": (
        LOG.replace("Number of Edge TPU subgraphs: 1\n", ""),
        "edgetpu_compiler 16.0.384591198: expected the line 'Number of Edge TPU subgraphs' in its output, got none; "
        "its log is not in the format of 16.0",
    ),
    "size-without-unit": (
        LOG.replace("5.25KiB", "5376"),
        "edgetpu_compiler 16.0.384591198: On-chip memory used for caching model parameters: "
        "expected a size like 1.50MiB, got '5376'",
    ),
    "count-in-words": (
        LOG.replace("operations: 8", "operations: eight"),
        "edgetpu_compiler 16.0.384591198: Total number of operations: expected a whole number, got 'eight'",
    ),
    "table-of-another-version": (
        LOG.replace("CONV_2D                        3          Mapped to Edge TPU\n", "conv2d | 3 | mapped\n"),
        "edgetpu_compiler 16.0.384591198: expected a table of 8 operators as it counts them, got 5; "
        "its log is not in the format of 16.0",
    ),
}


@pytest.mark.parametrize("name", STRANGE)
def test_log_in_another_format_is_refused(name: str) -> None:
    text, message = STRANGE[name]
    with pytest.raises(ConversionError) as caught:
        edgetpu_log.parse(text)
    assert str(caught.value) == message


# The log against the prediction.


def predicted(raw: bytes = TINY) -> compat.Report:
    return compat.check(raw, source="model.tflite", target=targets.load("coral-usb"))


def test_prediction_that_came_true_has_no_differences() -> None:
    assert edgetpu_log.differences(predicted(), edgetpu_log.parse(LOG)) == ()


def test_every_difference_is_said() -> None:
    text = (
        LOG.replace("16.0.384591198", "14.1.317412892")
        .replace("5.25KiB", "1.00MiB")
        .replace("0.00B", "3.00MiB")
        .replace("subgraphs: 1", "subgraphs: 0")
        .replace(
            "MEAN                           2          Mapped to Edge TPU",
            f"MEAN                           1          Mapped to Edge TPU\n"
            f"MEAN                           1          {facts.UNSPECIFIED}",
        )
        .replace("ADD                            1          Mapped to Edge TPU\n", "")
        .replace("operations: 8", "operations: 7")
    )
    assert edgetpu_log.differences(predicted(), edgetpu_log.parse(text)) == (
        "compiler: the prediction is of version 16.0, this is 14.1.317412892",
        "ADD: predicted 1 'Mapped to Edge TPU'; the compiler says none",
        "MEAN: predicted 2 'Mapped to Edge TPU'; the compiler says 1 'Mapped to Edge TPU', "
        "1 'Operation is otherwise supported, but not mapped due to some unspecified limitation'",
        "segments: predicted 1, the compiler made 0",
        "parameters on chip: predicted 5442 bytes, the compiler placed 1048576",
        "parameters off chip: predicted 0 bytes, the compiler placed 3145728",
    )


def log_of(*statuses: tuple[str, int, str]) -> edgetpu_log.Log:
    return edgetpu_log.Log(
        version="16.0.384591198",
        on_chip_bytes=0,
        on_chip_remaining_bytes=0,
        off_chip_bytes=0,
        segments=1,
        operators=sum(count for _, count, _ in statuses),
        statuses=tuple(edgetpu_log.Status(op=op, count=count, status=status) for op, count, status in statuses),
    )


def test_open_verdict_comes_true_either_way() -> None:
    mapped = log_of(("CONV_2D", 2, facts.MAPPED), ("TRANSPOSE", 1, facts.MAPPED))
    split = log_of(("CONV_2D", 1, facts.MAPPED), ("CONV_2D", 1, facts.STRANDED), ("TRANSPOSE", 1, facts.UNSPECIFIED))
    report = predicted(undecided_model())
    assert edgetpu_log.differences(report, mapped) == edgetpu_log.differences(report, split) == ()


def test_certain_verdict_beside_open_ones_is_still_held() -> None:
    nothing = log_of(("CONV_2D", 2, facts.STRANDED), ("TRANSPOSE", 1, facts.UNSPECIFIED))
    assert edgetpu_log.differences(predicted(undecided_model()), nothing) == (
        "CONV_2D: predicted 1 'Mapped to Edge TPU', 1 not decided; "
        "the compiler says 2 'More than one subgraph is not supported'",
    )
