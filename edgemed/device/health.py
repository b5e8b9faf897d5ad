"""Whether a bundle answers right on this very unit, asked of another process: one that may crash, hang or be killed.

Rules: the check reads the very file that would be activated; whatever keeps the process from an answer is a failure of
the bundle, and the process does not outlive the question. A p99 is called exceeded only where so many of the samples
lie above the limit that chance is a poor excuse: two of twenty (binomial: 1.7 %).

    report = health.check(store, store.file("b", INCOMING), timeout_s=health.timeout_s(target))
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Protocol

import msgspec
from msgspec import Meta

from edgemed import schema
from edgemed.device import standby
from edgemed.device.store import Store
from edgemed.errors import InstallError
from edgemed.targets import Accelerator, Target

__all__ = ["ANSWER_LIMIT_BYTES", "Check", "Health", "Stage", "TimedCheck", "asking", "check", "timeout_s"]

ANSWER_LIMIT_BYTES = 256 << 10
_SHOWN = 1000  # characters of what a failed child said
_TIMEOUT_S = 120.0
_ENGINE_TIMEOUT_S = 900.0  # TensorRT builds its engine when a model is first loaded, which takes minutes

Milliseconds = Annotated[float, Meta(ge=0.0)]


class Stage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Times of one stage, in ms, against the 99th percentile that the target's budget allows.

    Attributes:
        worst_ms: of all samples; of so few, it stands for the 99th percentile.
        over: how many samples exceed the limit.
    """

    stage: str
    p50_ms: Milliseconds
    worst_ms: Milliseconds
    limit_ms: Milliseconds
    over: Annotated[int, Meta(ge=0)]


class Health(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the check found.

    Attributes:
        golden: ``unmeasured`` where the bundle states no tolerance for this member, back end and architecture.
        logit_lsb: largest difference of a golden vector's logit, in LSB of the int8 model's.
        allowed_logit_lsb: what the bundle allows here.
        budget: the use whose budget the stages were held against.
        n: samples of each stage.
        slow: stages that exceed the budget, a sentence each.
        warnings: what else to know, a sentence each.
    """

    golden: Literal["within", "unmeasured"]
    vectors: Annotated[int, Meta(ge=1)]
    logit_lsb: Annotated[int, Meta(ge=0)]
    allowed_logit_lsb: Annotated[int, Meta(ge=0)] | None
    member: str
    backend: str
    kernels: str
    architecture: str
    budget: str
    n: Annotated[int, Meta(ge=0)]
    stages: tuple[Stage, ...]
    slow: tuple[str, ...]
    warnings: tuple[str, ...]


class Check(Protocol):
    """What an install asks; `check`, or a fake."""

    def __call__(self, store: Store, path: Path, /) -> Health:
        """Return what was found in the bundle file at ``path``, or raise `InstallError`."""
        ...


class TimedCheck(Protocol):
    """A `Check` whose time is set by who asks; `check`, or what `asking` gives."""

    def __call__(self, store: Store, path: Path, /, *, timeout_s: float = _TIMEOUT_S) -> Health:
        """Return what was found, or raise `InstallError`."""
        ...


def timeout_s(target: Target) -> float:
    """Return how long a healthy bundle may take on a target."""
    return _ENGINE_TIMEOUT_S if target.accelerator is Accelerator.TENSORRT else _TIMEOUT_S


def check(store: Store, path: Path, *, timeout_s: float = _TIMEOUT_S, command: Sequence[str] = standby.PROBE) -> Health:
    """Return what a process of its own finds in a bundle file.

    Args:
        store: whose trust and target count.
        path: the bundle.
        timeout_s: after which it counts as hanging.
        command: the program; it gets the store, then on stdin the time and the file, and prints a `Health` as JSON.

    Raises:
        InstallError: golden vectors outside their tolerance, any other error of the bundle, a crash, a hang, a kill, or
            an answer that is none.
        DeviceError: the process cannot be started.
    """
    with standby.started([*command, str(store.path)]) as child:
        return asking(child)(store, path, timeout_s=timeout_s)


def asking(child: subprocess.Popen[bytes]) -> TimedCheck:
    """Return the one check that a process does which was started for this store; its time begins with its work."""

    def asked(_: Store, path: Path, /, *, timeout_s: float = _TIMEOUT_S) -> Health:
        return _answer(child, path, timeout_s)

    return asked


def _answer(child: subprocess.Popen[bytes], path: Path, timeout_s: float) -> Health:
    try:
        out, err = child.communicate(f"{timeout_s} ".encode() + os.fsencode(path), timeout=timeout_s)
    except subprocess.TimeoutExpired as late:
        raise InstallError(f"the health check gave no answer within {timeout_s:g} s") from late
    if child.returncode != 0:
        raise InstallError(_failure(child.returncode, err))
    # The last line: a native library may write to stdout before.
    last = out[-ANSWER_LIMIT_BYTES:].strip().rsplit(b"\n", 1)[-1]
    return schema.decode_json(last, Health, source="health check", error=InstallError)


def _failure(code: int, err: bytes) -> str:
    said = " ".join(err.decode("utf-8", "replace").split())[-_SHOWN:]
    if code < 0:
        return f"the health check was ended by {signal.Signals(-code).name}" + (f": {said}" if said else "")
    return said.removeprefix("health: ") if said.startswith("health: ") else f"the health check exited {code}: {said}"
