"""Google's Edge TPU compiler, run on one model: where it is found, what it made, and why it made nothing.

It runs on x86-64 Linux only and its licence forbids shipping it, so it is the user's own copy on PATH. It is run in a
folder of its own that is removed afterwards, with a limit on its time that ends its children too.

    made = edgetpu.compile(raw)
    if made is None:
        note(edgetpu.ABSENT)
    else:
        member, lines = made.raw, edgetpu_log.differences(report, made.log)

Source: coral.ai/docs/edgetpu/compiler; the messages are those of published logs of 16.0.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from converters import edgetpu_log
from converters.edgetpu_log import Log
from edgemed import tflite
from edgemed.errors import ConfigError, ConversionError

__all__ = ["ABSENT", "COMPILER", "Compiled", "compile", "find"]

COMPILER = "edgetpu_compiler"
ABSENT = (
    f"{COMPILER} is not on PATH, so no model/edgetpu.tflite is made; it runs on x86-64 Linux and its licence forbids "
    "shipping it: install it from coral.ai/docs/edgetpu/compiler, or compile model/int8.tflite elsewhere"
)
DEFAULT_TIMEOUT_S = 180  # the compiler's own, which it is not told again: older versions do not know the option
_GRACE = 1.1  # it may end itself first, with a message
_OUTPUT_LIMIT_BYTES = 4 << 20
_MODEL_LIMIT_BYTES = 1 << 30
_LINE_LIMIT = 400  # characters of the compiler's own words in a message

# What it prints when it makes no file, and what to do.
_FAILURES: Mapping[str, str] = {
    "Model not quantized": "quantize weights and activations to int8 first",
    "large activation tensors": "use a smaller input or fewer channels",
    "Didn't find op for builtin opcode": "the operator is newer than the compiler: see edgemed compat for what to use",
    "dynamic-sized tensors": "build the model with Input(shape, batch_size=1)",
    "Regular TensorFlow ops are not supported": "convert without SELECT_TF_OPS",
    "no_integer_overflow_from_quantization": "scales have degenerated: calibrate with images like those it will see",
    "Internal compiler error": "see edgemed compat; a smaller input or other channel counts often help",
    "Compilation timed out": "give it more time",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Compiled:
    """What the compiler made of a model: the file for the Edge TPU delegate, and its log."""

    raw: bytes = field(repr=False)
    log: Log


def find(compiler: Path | None = None) -> Path | None:
    """Return the compiler: the one given, else the one on PATH, else None.

    Raises:
        ConfigError: the one given is no program.
    """
    found = shutil.which(COMPILER if compiler is None else str(compiler))
    if found is None and compiler is not None:
        raise ConfigError(f"{compiler}: expected the program {COMPILER}, got no program; give the path of one")
    return None if found is None else Path(found)


def compile(  # noqa: A001  # edgetpu.compile says what it does
    raw: bytes, *, compiler: Path | None = None, timeout_s: int = DEFAULT_TIMEOUT_S
) -> Compiled | None:
    """Return a full int8 TFLite file compiled for the Edge TPU, or None where the compiler is not installed.

    Args:
        raw: the file's bytes.
        compiler: the program; None looks for it on PATH.
        timeout_s: after this the compiler and its children are killed.

    Raises:
        ConfigError: ``compiler`` is no program.
        ConversionError: the compiler refused, failed, took too long, or printed what cannot be understood.
    """
    program = find(compiler)
    if program is None:
        return None
    with tempfile.TemporaryDirectory(prefix="edgemed-edgetpu-") as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(raw)
        log = edgetpu_log.parse(_run(program, folder, timeout_s))
        return Compiled(raw=_output(folder, log), log=log)


def _run(program: Path, folder: Path, timeout_s: int) -> str:
    """Return what the compiler printed, both streams in the order written.

    Raises:
        ConversionError: it could not be started, took too long, or ended with an error.
    """
    command = [str(program.resolve()), "-s", "-o", ".", "model.tflite"]
    if timeout_s != DEFAULT_TIMEOUT_S:
        command[1:1] = ["-t", str(timeout_s)]
    # A file, not a pipe: a child that outlives its parent would hold a pipe open, and output may be of any length.
    with tempfile.TemporaryFile() as output:
        code = _guarded(command, folder, output, timeout_s)
        output.seek(0)
        text = output.read(_OUTPUT_LIMIT_BYTES).decode("utf-8", errors="replace")
    if code != 0 or "Compilation failed" in text:
        raise ConversionError(_failure(text, code))
    return text


def _guarded(command: Sequence[str], folder: Path, output: BinaryIO, timeout_s: int) -> int:
    try:
        # A session of its own, so that its children can be ended with it.
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    except OSError as err:
        raise ConversionError(f"{command[0]}: cannot be started: {err.strerror or err}; it needs x86-64 Linux") from err
    try:
        return process.wait(timeout_s * _GRACE)
    except BaseException as err:
        # Its number is ours until it is waited for: the whole session ends with it.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if not isinstance(err, subprocess.TimeoutExpired):
            raise
        raise ConversionError(
            f"{COMPILER}: expected an end within {timeout_s} s, got none; it was killed: give it more time, "
            "or a smaller model"
        ) from err


def _failure(text: str, code: int) -> str:
    """Return the compiler's own line about the failure and what to do, for a `ConversionError`."""
    lines = [line.strip()[:_LINE_LIMIT] for line in text.splitlines() if line.strip()]
    for words, remedy in _FAILURES.items():
        for line in lines:
            if words in line:
                return f"{COMPILER}: {line.removeprefix('ERROR: ').rstrip('.! ')}; {remedy}"
    last = lines[-1] if lines else "nothing"
    return (
        f"{COMPILER}: expected a compiled model, got exit code {code} and {last!r}; see edgemed compat for what it maps"
    )


def _output(folder: Path, log: Log) -> bytes:
    made = folder / "model_edgetpu.tflite"
    if not made.is_file():
        raise ConversionError(f"{COMPILER}: expected it to write {made.name}, got no such file; compile it by hand")
    with made.open("rb") as stream:
        raw = stream.read(_MODEL_LIMIT_BYTES)
    if tflite.is_compiled(tflite.read(raw, source=made.name)) is not (log.segments > 0):
        raise ConversionError(
            f"{COMPILER}: {made.name}: expected {log.segments} segments as its log says, got a file of another model"
        )
    return raw
