"""Whether a bundle answers right on this very unit, asked of another process: one that may crash, hang or be killed.

Rules: the check reads the very file that would be activated; whatever keeps the process from an answer is a failure of
the bundle, and the process does not outlive the question. Its time does not run while it waits for a core that others
have: a busy device condemns no bundle. A p99 is called exceeded only where so many of the samples lie above the limit
that chance is a poor excuse: two of twenty (binomial: 1.7 %).

    report = health.check(store, store.file("b", INCOMING), target=target)
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal, Protocol

import msgspec
from msgspec import Meta

from edgemed import schema
from edgemed.device import standby
from edgemed.device.store import Store
from edgemed.errors import InstallError
from edgemed.targets import Accelerator, Target

__all__ = [
    "ANSWER_LIMIT_BYTES",
    "Check",
    "Health",
    "Question",
    "Stage",
    "TargetCheck",
    "asking",
    "check",
    "starved_s",
    "timeout_s",
]

ANSWER_LIMIT_BYTES = 256 << 10
_SHOWN = 1000  # characters of what a failed child said
_TIMEOUT_S = 120.0
_ENGINE_TIMEOUT_S = 900.0  # TensorRT builds its engine when a model is first loaded, which takes minutes

_STARVED_S = 1.0  # waits for a core that are shorter prolong nothing

Milliseconds = Annotated[float, Meta(ge=0.0)]
Starved = Callable[[int], float]  # process id -> seconds that it was ready to run while others had the cores


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the process of the health check reads from stdin.

    Attributes:
        limit_s: how long it is waited for.
        path: of the bundle, as the file system has it: bytes.
        target: what this device is, read by who asks, while the process imports what it needs.
    """

    limit_s: Annotated[float, Meta(gt=0.0)]
    path: bytes
    target: Target


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


class TargetCheck(Protocol):
    """A `Check` that is told what the device is; `check`, or what `asking` gives."""

    def __call__(self, store: Store, path: Path, /, *, target: Target) -> Health:
        """Return what was found, or raise `InstallError`."""
        ...


def timeout_s(target: Target) -> float:
    """Return how long a healthy bundle may take on a target."""
    return _ENGINE_TIMEOUT_S if target.accelerator is Accelerator.TENSORRT else _TIMEOUT_S


def starved_s(pid: int, *, proc: Path = Path("/proc")) -> float:
    """Return how many seconds a process was ready to run while others had the cores; 0 where the kernel does not count.

    Source: Linux, Documentation/scheduler/sched-stats.rst, "/proc/<pid>/schedstat": the second field, in nanoseconds.
    """
    try:
        return int((proc / str(pid) / "schedstat").read_bytes().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def check(
    store: Store,
    path: Path,
    /,
    *,
    target: Target,
    limit_s: float | None = None,
    starved: Starved = starved_s,
    command: Sequence[str] = standby.PROBE,
) -> Health:
    """Return what a process of its own finds in a bundle file.

    Args:
        store: whose trust and target count.
        path: the bundle.
        target: what this device is.
        limit_s: after which it counts as hanging; None takes `timeout_s` of the target.
        starved: how long a process has waited for a core.
        command: the program; it gets the store, then on stdin a `Question`, and prints a `Health`, both as JSON.

    Raises:
        InstallError: golden vectors outside their tolerance, any other error of the bundle, a crash, a hang, a kill, or
            an answer that is none.
        DeviceError: the process cannot be started.
    """
    with standby.started([*command, str(store.path)]) as child:
        return asking(child, limit_s=limit_s, starved=starved)(store, path, target=target)


def asking(
    child: subprocess.Popen[bytes], *, limit_s: float | None = None, starved: Starved = starved_s
) -> TargetCheck:
    """Return the one check that a process does which was started for this store; its time begins with its work."""

    def asked(_: Store, path: Path, /, *, target: Target) -> Health:
        limit = timeout_s(target) if limit_s is None else limit_s
        return _answer(child, Question(limit_s=limit, path=os.fsencode(path), target=target), starved)

    return asked


def _answer(child: subprocess.Popen[bytes], question: Question, starved: Starved) -> Health:
    out, err = _said(child, schema.encode_json(question), question.limit_s, starved)
    if child.returncode != 0:
        raise InstallError(_failure(child.returncode, err))
    # The last line: a native library may write to stdout before.
    last = out[-ANSWER_LIMIT_BYTES:].strip().rsplit(b"\n", 1)[-1]
    return schema.decode_json(last, Health, source="health check", error=InstallError)


def _said(child: subprocess.Popen[bytes], line: bytes, limit_s: float, starved: Starved) -> tuple[bytes, bytes]:
    """Return what a process writes until it ends; what it waits for a core comes on top of its time."""
    granted = 0.0
    left = limit_s
    while True:
        try:
            return child.communicate(line, timeout=left)
        except subprocess.TimeoutExpired as late:
            left = starved(child.pid) - granted
            if left < _STARVED_S:
                raise InstallError(f"the health check gave no answer within {limit_s:g} s") from late
            granted += left
            line = b""  # it is on its way already


def _failure(code: int, err: bytes) -> str:
    said = " ".join(err.decode("utf-8", "replace").split())[-_SHOWN:]
    if code < 0:
        return f"the health check was ended by {signal.Signals(-code).name}" + (f": {said}" if said else "")
    return said.removeprefix("health: ") if said.startswith("health: ") else f"the health check exited {code}: {said}"
