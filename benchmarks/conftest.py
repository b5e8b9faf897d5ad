"""What the files ``bench_*.py`` share: seeded pictures, the shipped bundles, and the baseline of this machine.

    pytest benchmarks --benchmark-only
    pytest benchmarks --benchmark-only --renew-baseline

A baseline is kept per fingerprint of the machine (processor, cores, memory, system, Python, libraries), in
``baselines/``. A run is shown beside it; one without reads "no baseline". Nothing fails by a time: machines drift, and
`edgemed benchmark --compare` is what tells a regression from noise. Set side by side is the fastest round, which
others on the machine disturb least; the file says whether the machine was quiet when it was kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import kept
from edgemed import schema, shipped
from edgemed.benchmark import control
from edgemed.imaging.frame import Frame
from edgemed.measure import machine
from edgemed.runtime.screener import Screener

BASELINES = Path(__file__).parent / "baselines"
SIDE = 1024
MOST_S, FEWEST_ROUNDS = 0.5, 5
_BEFORE_EACH = 20
_measured: dict[str, dict[str, float]] = {}
_controls: list[float] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--renew-baseline", action="store_true", help="Keep this run as this machine's baseline.")


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if item.path.name.startswith("bench_"):
            item.add_marker(pytest.mark.benchmark(max_time=MOST_S, min_rounds=FEWEST_ROUNDS, disable_gc=True))


@pytest.hookimpl(tryfirst=True)
def pytest_benchmark_group_stats(benchmarks: Sequence[Any]) -> None:
    """Note what was measured, and leave the grouping to the plugin."""
    for one in benchmarks:
        name = f"{Path(one['fullname'].split('::')[0]).stem.removeprefix('bench_')}: {one['name']}"
        taken = {"min_ms": 1e3 * one["min"], "median_ms": 1e3 * one["median"], "iqr_ms": 1e3 * one["iqr"]}
        _measured[name] = {**taken, "rounds": one["rounds"]}


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not _measured:
        return
    here = machine.here()
    path = BASELINES / f"{_fingerprint(here)}.json"
    before = kept.read_json(path)["benchmarks"] if path.exists() else {}
    terminalreporter.section(f"against the baseline of this machine: {path.name if before else 'no baseline'}")
    terminalreporter.write_line(f"{'':56}   fastest   median   fastest of the baseline")
    for name, found in sorted(_measured.items()):
        old = before.get(name)
        beside = f"{old['min_ms']:9.3f}  x {found['min_ms'] / old['min_ms']:.2f}" if old else "no baseline"
        terminalreporter.write_line(f"{name:56} {found['min_ms']:9.3f} {found['median_ms']:9.3f} ms  {beside}")
    quiet = control.noise(_controls)
    if quiet.why:
        terminalreporter.write_line(f"The machine is not quiet: {quiet.why}")
    if config.getoption("--renew-baseline"):
        rounded = {name: {key: round(value, 4) for key, value in one.items()} for name, one in _measured.items()}
        known = {"machine": schema.to_builtins(here), "noise": schema.to_builtins(quiet)}
        kept.write_json(path, {"schema": 1, **known, "benchmarks": {**before, **rounded}})
        terminalreporter.write_line(f"kept as {path.relative_to(BASELINES.parent)}")


def _fingerprint(here: machine.Machine) -> str:
    return hashlib.sha256(schema.encode_json(here)).hexdigest()[:12]


@pytest.fixture(autouse=True)
def fixed_work() -> None:
    """Time the same work before each benchmark: whether the machine was quiet shows over the whole run."""
    work = control.Control()
    _controls.extend(work.ms() for _ in range(_BEFORE_EACH))


@pytest.fixture(scope="session")
def picture() -> NDArray[np.uint8]:
    """Return a seeded gray picture of blobs and noise, (1024, 1024)."""
    rng = np.random.default_rng(7)
    coarse = rng.uniform(0, 255, (8, 8)).astype(np.float32)
    smooth = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + rng.normal(0, 8, (SIDE, SIDE)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def frame(picture: NDArray[np.uint8]) -> Frame:
    return Frame(pixels=picture, source="picture.png")


@pytest.fixture(scope="session", params=shipped.names())
def screener(request: pytest.FixtureRequest) -> Screener:
    return Screener.open(request.param)
