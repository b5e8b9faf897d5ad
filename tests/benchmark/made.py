"""Measurements made up for tests: times from a generator, on a machine that does not change."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemed import measure
from edgemed.benchmark.control import noise
from edgemed.benchmark.document import Around, Bundle, Deadline, Inputs, Resources, Result, Runtime, StartUp, Terms
from edgemed.benchmark.series import STAGES
from edgemed.measure.machine import Machine
from edgemed.measure.state import State

MACHINE = Machine(
    cpu="CPU of a test",
    architecture="x86_64",
    cores=4,
    governor="performance",
    power_mode=None,
    memory_mib=8192,
    system="Linux 6.1",
    python="CPython 3.12.1",
    libraries={"numpy": "2.2.0"},
    backend="litert",
    kernels="xnnpack",
    delegate="xnnpack",
    coverage=1.0,
    threads=1,
)
STATE = State(
    frequency_mhz=None, highest_mhz=None, temperature_c=None, throttled=None, load=0.1, stolen_s=0.0, power_mw=None
)
MEDIANS_MS = {"decode": 3.0, "preprocess": 0.5, "infer": 4.0, "decide": 0.2, "record": 0.2}


def columns(
    rng: np.random.Generator, n: int = 400, *, slower: dict[str, float] | None = None, spread: float = 0.02
) -> dict[str, NDArray[np.float64]]:
    """Return times of each stage, ``control`` too, scattered by so much around their medians."""
    factors = slower or {}
    found = {name: value * factors.get(name, 1.0) * rng.lognormal(0.0, spread, n) for name, value in MEDIANS_MS.items()}
    return {**found, "total": np.sum(list(found.values()), axis=0), "control": 0.15 * rng.lognormal(0.0, 0.01, n)}


def result(times: dict[str, Any], **changes: Any) -> Result:
    """Return the document of some times."""
    plain = Result(
        edgemed="0.1.0",
        interrupted=False,
        scenario=Terms(name="single", samples=len(times["total"]), warm_up=20, rate_hz=None, minutes=None),
        machine=MACHINE,
        state=Around(before=STATE, after=STATE, warnings=()),
        bundle=Bundle(name="tiny", version="1.2.3", digest="sha256:" + "0" * 64, decision_version=3, overlay=False),
        runtime=Runtime(
            backend="litert",
            target="generic-x86-64",
            threads=1,
            fallback=False,
            member="model/int8.tflite",
            reason=None,
            elsewhere=None,
        ),
        inputs=Inputs(source="given", files=1, digest="sha256:" + "1" * 64, refused=0, unreadable=0),
        stages={name: measure.distribution(times[name]) for name in STAGES},
        unaccounted=0.001,
        warm_up=measure.distribution([9.0] * 20),
        start_up=StartUp(open_ms=50.0, first_ms=12.0),
        deadline=Deadline(limit_ms=1000.0, misses=0, n=len(times["total"])),
        resources=Resources(resident_mib=90.0, peak_mib=95.0, cpu_s=1.0, wall_s=1.0),
        noise=noise(times["control"]),
        use="xray-still",
        budget=(),
        samples={name: measure.rounded(values) for name, values in times.items()},
    )
    return msgspec.structs.replace(plain, **changes)
