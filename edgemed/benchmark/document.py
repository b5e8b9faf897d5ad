"""The document of a measurement: what ``benchmark --json`` prints, ``--save`` writes and ``--compare`` reads.

Rules: it is a measurement and says so (``kind``), so that nothing takes it for a prediction; it holds every sample that
counted; no name of an image, a host or a user is in it.

    raw = encode(result)
    result = parse(raw, source="before.json")
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edgemed import files, schema
from edgemed.benchmark.budget import Row
from edgemed.benchmark.control import Noise
from edgemed.errors import ConfigError
from edgemed.measure import Distribution
from edgemed.measure.machine import Machine
from edgemed.measure.state import State

__all__ = [
    "Around",
    "Bundle",
    "Cold",
    "Deadline",
    "Inputs",
    "Resources",
    "Result",
    "Runtime",
    "StartUp",
    "Stream",
    "Sustained",
    "Terms",
    "Throughput",
    "encode",
    "parse",
    "read",
]

LIMIT_BYTES = 256 << 20

Count = Annotated[int, Meta(ge=0)]
Milliseconds = Annotated[float, Meta(ge=0.0)]


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Around(_Strict, frozen=True, kw_only=True):
    """The machine's state before and after; ``warnings``: what in it makes the figures doubtful."""

    before: State
    after: State
    warnings: tuple[str, ...]


class Bundle(_Strict, frozen=True, kw_only=True):
    """What was measured; two releases of one name compare."""

    name: str
    version: str
    digest: str
    decision_version: int
    overlay: bool


class Runtime(_Strict, frozen=True, kw_only=True):
    """What ran it, as ``screen --json`` says it.

    Attributes:
        elsewhere: why this machine is no such target; None where it may be.
    """

    backend: str
    target: str
    threads: int
    fallback: bool
    member: str
    reason: str | None
    elsewhere: str | None


class Terms(_Strict, frozen=True, kw_only=True):
    """The scenario and how much of it was asked for; None where it is not the scenario's.

    Attributes:
        warm_up: samples before those that count.
        rate_hz: frames a second that arrive.
        minutes: how long.
    """

    name: str
    samples: Count | None
    warm_up: Count
    rate_hz: float | None
    minutes: float | None


class Inputs(_Strict, frozen=True, kw_only=True):
    """The images.

    Attributes:
        source: the package's samples, or what was given.
        files: how many.
        digest: of their bytes, in order.
        refused: frames that a gate refused before inference; they are no samples.
        unreadable: inputs that gave no frame, or a frame that failed.
    """

    source: Literal["samples", "given"]
    files: Count
    digest: str
    refused: Count
    unreadable: Count


class StartUp(_Strict, frozen=True, kw_only=True):
    """What comes before the first result, in ms.

    Attributes:
        open_ms: bundle verified and model loaded.
        first_ms: the first frame, from file to decision; None where there was none.
    """

    open_ms: Milliseconds
    first_ms: Milliseconds | None


class Cold(_Strict, frozen=True, kw_only=True):
    """A process from its start to its first result, in ms.

    Attributes:
        start: until Python runs this package.
        load: imports.
        open: bundle verified and model loaded.
        result: everything, with the first frame.
    """

    start: Distribution
    load: Distribution
    open: Distribution
    result: Distribution


class Resources(_Strict, frozen=True, kw_only=True):
    """What the process took.

    Attributes:
        resident_mib: at the end; None where the system does not say.
        peak_mib: at most, so far.
        cpu_s: while it was measured.
        wall_s: while it was measured.
    """

    resident_mib: float | None
    peak_mib: float | None
    cpu_s: float
    wall_s: float


class Stream(_Strict, frozen=True, kw_only=True):
    """What became of frames that came at a fixed rate.

    Attributes:
        frame_age: from a frame's arrival to its decision.
        arrived: frames.
        dropped: for newer ones, before they were judged.
    """

    frame_age: Distribution
    arrived: Count
    dropped: Count


class Deadline(_Strict, frozen=True, kw_only=True):
    """Frames whose total, or age in a stream, exceeds the budget's total; a dropped frame is a miss."""

    limit_ms: Milliseconds
    misses: Count
    n: Count


class Sustained(_Strict, frozen=True, kw_only=True):
    """The last minute against the first.

    Attributes:
        first, last: totals.
        ratio: of the medians.
        ratio_ci95: by a block bootstrap; None with too few samples.
        minutes: the median of each minute, in ms.
    """

    first: Distribution
    last: Distribution
    ratio: float
    ratio_ci95: tuple[float, float] | None
    minutes: tuple[float, ...]


class Throughput(_Strict, frozen=True, kw_only=True):
    """Frames and bytes of files a second, over everything that was read, refused frames included."""

    frames: Count
    frames_per_s: float
    mib_per_s: float


class Result(_Strict, frozen=True, kw_only=True):
    """One measurement.

    Attributes:
        interrupted: it was ended early; what is here was taken until then.
        machine: must be the same for two measurements to compare.
        state: recorded, and warned about.
        stages: decode, preprocess, infer, decide, record, total; in ms.
        unaccounted: median share of a frame's total that no stage accounts for; None without a sample.
        warm_up: totals of the samples before those that count.
        start_up: of this process; None for ``cold``.
        budget: empty where the scenario has none.
        samples: every time, in ms, by stage, in the order taken; ``control`` is the fixed work before each frame.
        energy: per frame, where a counter tells.
        comparison: with a saved one, as `edgemed.benchmark.compare.Comparison`.
    """

    schema_version: Literal[1] = 1
    kind: Literal["measurement"] = "measurement"
    edgemed: str
    interrupted: bool
    scenario: Terms
    machine: Machine
    state: Around
    bundle: Bundle
    runtime: Runtime
    inputs: Inputs
    stages: dict[str, Distribution]
    unaccounted: float | None
    warm_up: Distribution
    start_up: StartUp | None
    cold: Cold | None = None
    stream: Stream | None = None
    sustained: Sustained | None = None
    throughput: Throughput | None = None
    deadline: Deadline | None
    resources: Resources
    noise: Noise
    use: str | None
    budget: tuple[Row, ...]
    energy: dict[str, Any] | None = None
    comparison: dict[str, Any] | None = None
    samples: dict[str, tuple[float, ...]]


class _Version(msgspec.Struct, frozen=True, kw_only=True):
    """What every document of this package begins with."""

    schema_version: int
    kind: str | None = None


def encode(result: Result) -> bytes:
    """Return the document as one line of JSON, ``schema_version`` first."""
    return msgspec.json.encode(result)


def parse(raw: bytes, *, source: str) -> Result:
    """Return a document as a value.

    Raises:
        ConfigError: no JSON, of another schema, no measurement, or one whose keys or values are wrong.
    """
    found = schema.decode_json(raw, _Version, source=source)
    if found.kind != "measurement":
        got = "a document without kind" if found.kind is None else repr(found.kind)
        raise ConfigError(
            f"{source}: kind: expected 'measurement', got {got}; give what 'edgemed benchmark --save' wrote"
        )
    if found.schema_version != 1:
        raise ConfigError(
            f"{source}: schema_version: expected 1, got {found.schema_version}; measure both with the same edgemed"
        )
    return schema.decode_json(raw, Result, source=source)


def read(path: Path) -> Result:
    """Return the document in a file.

    Raises:
        ConfigError: as `parse`, or the file cannot be read.
    """
    return parse(files.read_bounded(path, limit_bytes=LIMIT_BYTES, error=ConfigError), source=str(path))
