"""Targets: what a device is, and how fast it must be, one YAML file of `firmware_configs` each.

Rules: the file stem is the id; every key is present, ``null`` where the device has none; an unknown key is an error,
so a number without its unit (``ram`` for ``ram_mib``) is one too. Code asks ``target.accelerator``, never the id.

    target = targets.load("coral-usb")
    target.budget(Use.US_CINE_30).total_p99_ms
"""

from __future__ import annotations

import enum
import functools
import platform
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from edgemed import schema
from edgemed.errors import ConfigError, TargetMismatchError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = [
    "Accelerator",
    "Budget",
    "Delegate",
    "Fallback",
    "Memory",
    "Precision",
    "Store",
    "Target",
    "Transport",
    "Use",
    "architecture",
    "available",
    "generic",
    "generic_id",
    "load",
    "parse",
]

Id = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}\Z")]
Text = Annotated[str, Meta(min_length=1, max_length=200)]
Mebibytes = Annotated[int, Meta(ge=1, le=1 << 24)]
Milliseconds = Annotated[float, Meta(gt=0.0, le=1e6)]
PythonVersion = Annotated[str, Meta(pattern=r"^3\.\d{1,2}\Z")]
Architecture = Literal["x86-64", "aarch64"]

_ARCHITECTURES: Mapping[str, Architecture] = {
    "x86_64": "x86-64",
    "amd64": "x86-64",
    "aarch64": "aarch64",
    "arm64": "aarch64",
}


class Accelerator(str, enum.Enum):
    """What runs the graph besides the CPU."""

    NONE = "none"
    EDGETPU = "edgetpu"
    TENSORRT = "tensorrt"


class Precision(str, enum.Enum):
    """Numbers that the accelerator, or the CPU where there is none, computes the graph in."""

    INT8 = "int8"
    FLOAT16 = "float16"


class Use(str, enum.Enum):
    """A way of working that a latency budget is written for."""

    XRAY_STILL = "xray-still"
    US_CINE_30 = "us-cine-30"


class Fallback(str, enum.Enum):
    """What happens while the accelerator cannot compute."""

    CPU = "cpu"
    """The CPU computes in its place, and every result says so."""

    STOP = "stop"
    """Nothing is judged."""


class Delegate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TFLite delegate library per operating system, and where it looks for its device; null where there is none."""

    linux: Text | None
    macos: Text | None
    windows: Text | None
    device: Literal["usb", "pci"] | None = None

    def library(self, system: str = sys.platform) -> str | None:
        """Return the library for an operating system as ``sys.platform`` names it; None where there is none."""
        return {"linux": self.linux, "darwin": self.macos, "win32": self.windows}.get(system)


class Memory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Memory of the smallest variant sold (null: that of the host) and on-chip memory of the accelerator."""

    ram_mib: Mebibytes | None
    sram_mib: Mebibytes | None


class Store(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the device store lies: an absolute path on the device, or null for the user's own data folder."""

    path: Annotated[str, Meta(pattern=r"^/[^\x00]*\Z", max_length=1024)] | None


class Transport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a bundle reaches the device by default; user and port are of ssh only, null leaves them to the caller."""

    kind: Literal["directory", "ssh"]
    user: Text | None
    port: Annotated[int, Meta(ge=1, le=65535)] | None


class Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Requirement on the 99th percentile of each stage of one frame, in ms; the stages fit into the total."""

    decode_p99_ms: Milliseconds
    preprocess_p99_ms: Milliseconds
    infer_p99_ms: Milliseconds
    decide_p99_ms: Milliseconds
    record_p99_ms: Milliseconds
    total_p99_ms: Milliseconds

    def __post_init__(self) -> None:
        parts = sum(limit for stage, limit in self.limits.items() if stage != "total")
        # A billionth of slack for decimal fractions that binary cannot hold.
        if parts > self.total_p99_ms * (1 + 1e-9):
            raise ValueError(f"stages sum to {parts:g} ms, expected at most total_p99_ms {self.total_p99_ms:g}")

    @property
    def limits(self) -> Mapping[str, float]:
        """The limit of each stage and of the total, in ms, in the order of the stages."""
        return {
            "decode": self.decode_p99_ms,
            "preprocess": self.preprocess_p99_ms,
            "infer": self.infer_p99_ms,
            "decide": self.decide_p99_ms,
            "record": self.record_p99_ms,
            "total": self.total_p99_ms,
        }


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One device.

    Attributes:
        id: the stem of its file in `firmware_configs`.
        arch: architectures of the CPU that runs edgemed, as `architecture` names them.
        python: of the vendor's system, for which wheels are collected; null where edgemed needs one of its own, or
            where the machine is anybody's.
        precision: of the graph on the accelerator; without one, on the CPU. Float16 is for TensorRT without INT8.
        fallback: while the accelerator is absent or does not answer.
        threads: inference threads on the CPU.
        budget_xray_still: for `Use.XRAY_STILL`; benchmark scenario ``single`` is held against it.
        budget_us_cine_30: for `Use.US_CINE_30`; benchmark scenario ``stream`` is held against it.
    """

    schema: Literal[1]
    id: Id
    summary: Text
    arch: Annotated[tuple[Architecture, ...], Meta(min_length=1, max_length=2)]
    python: PythonVersion | None
    accelerator: Accelerator
    precision: Precision
    delegate: Delegate
    fallback: Fallback = Fallback.CPU
    threads: Annotated[int, Meta(ge=1, le=256)]
    memory: Memory
    store: Store
    transport: Transport
    budget_xray_still: Budget
    budget_us_cine_30: Budget

    def __post_init__(self) -> None:
        if self.precision is Precision.FLOAT16 and self.accelerator is not Accelerator.TENSORRT:
            raise ValueError(f"precision: expected int8 with accelerator {self.accelerator.value}, got float16")

    def budget(self, use: Use) -> Budget:
        """Return the latency budget of a use."""
        return self.budget_xray_still if use is Use.XRAY_STILL else self.budget_us_cine_30


def parse(raw: bytes, *, source: str) -> Target:
    """Return one YAML document as a value.

    Raises:
        ConfigError: not YAML, an unknown or missing key, a wrong type, a value out of range, or stages that exceed
            their total.
    """
    return schema.decode_yaml(raw, Target, source=source)


@functools.cache
def load(target_id: str) -> Target:
    """Return the target that ships under this id; its file is read once.

    Raises:
        ConfigError: no such id (the message lists them and the near match), or its file is wrong.
    """
    require(target_id)
    source = f"{target_id}.yaml"
    target = parse(_folder().joinpath(source).read_bytes(), source=source)
    if target.id != target_id:
        raise ConfigError(f"{source}: id: expected {target_id!r} like the file's name, got {target.id!r}")
    return target


def require(target_id: str) -> None:
    """Check that a target ships under this id, without reading its file.

    Raises:
        ConfigError: none does; the message lists them and the near match.
    """
    known = available()
    if target_id not in known:
        hint = schema.near_match(target_id, list(known))
        raise ConfigError(f"target: expected one of {', '.join(known)}, got {target_id!r}{hint}")


def available() -> tuple[str, ...]:
    """Return the ids that ship with edgemed, sorted."""
    names = (entry.name for entry in _folder().iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def architecture(machine: str | None = None) -> str:
    """Return an architecture as targets spell it (``x86-64``, ``aarch64``), any other as the OS does.

    Args:
        machine: as ``platform.machine()`` gives it; None for this machine's.
    """
    machine = platform.machine() if machine is None else machine
    return _ARCHITECTURES.get(machine.lower(), machine)


def generic_id(arch: str | None = None) -> str:
    """Return the id of the generic target of an architecture, of this machine by default, without reading its file.

    Raises:
        TargetMismatchError: there is none for this architecture.
    """
    name = architecture() if arch is None else arch
    if name not in _ARCHITECTURES.values():
        raise TargetMismatchError(
            f"target: expected a machine of architecture x86-64 or aarch64, got {name!r}; edgemed has no wheels for it"
        )
    return f"generic-{name}"


def generic() -> Target:
    """Return the generic target of this machine.

    Raises:
        TargetMismatchError: there is none for this architecture.
    """
    return load(generic_id())


def _folder() -> Traversable:
    from importlib import resources  # here: a device mostly gets its target from who read the file

    return resources.files("firmware_configs")
