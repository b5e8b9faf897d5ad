"""Is this measurement slower than that one, or is it noise.

The test, for each stage: times are divided by those of the fixed work done between the frames, so that a machine that
is slower as a whole cancels out; the ratio of the medians, after over before, gets an interval from a moving-block
bootstrap that draws stage and fixed work together, in blocks as long as times depend on each other. A stage is
**slower** where the lower end of the one-sided interval lies above 1.03, and by more than 5 microseconds; the level is
95 % for all stages together (Bonferroni). The 3 % are for what two runs of the same code differ by, which no single run
can show: memory lies elsewhere, caches are shared otherwise. **Faster** is the same the other way round.

Where the control loop of either measurement says that its machine was too noisy, there is no verdict.

    found = compare(before, after)
    found.slower, found.verdict
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from edgemed.benchmark.document import Result
from edgemed.benchmark.series import STAGES
from edgemed.errors import ConfigError
from edgemed.measure import machine
from edgemed.statistics import blocks

__all__ = ["MARGIN", "Comparison", "StageChange", "compare", "require_comparable"]

MARGIN = 0.03
_LEAST_MS = 0.005
_ALPHA = 0.05
_SEED = 20240229


class StageChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stage, after against before.

    Attributes:
        before_ms, after_ms: medians, as measured.
        ratio: of the medians, after over before, each over the fixed work of its own run.
        bounds: one-sided bounds of the ratio from below and from above, at a joint level of 95 %.
        verdict: None where the machine was too noisy, or there are too few samples.
    """

    stage: str
    before_ms: Annotated[float, Meta(ge=0.0)]
    after_ms: Annotated[float, Meta(ge=0.0)]
    ratio: float
    bounds: tuple[float, float]
    verdict: Literal["slower", "faster", "same"] | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two measurements.

    Attributes:
        before: name, version and digest of the bundle that was measured first.
        control: ratio of the fixed work's medians, after over before: how much slower the machine itself was.
        differences: of the machines, where --force let them pass.
        why: why there is no verdict; empty where there is one.
    """

    before: tuple[str, str, str]
    control: float
    margin: float = MARGIN
    stages: tuple[StageChange, ...]
    differences: tuple[str, ...]
    why: str

    @property
    def slower(self) -> tuple[StageChange, ...]:
        """The stages that are."""
        return tuple(one for one in self.stages if one.verdict == "slower")


def require_comparable(before: Result, after: Result, *, source: str, force: bool = False) -> tuple[str, ...]:
    """Return how the machines differ, which is nothing unless it was forced.

    Args:
        before: the saved measurement.
        after: the new one.
        source: file of the saved one.
        force: let other machines pass.

    Raises:
        ConfigError: another bundle, scenario or images; or another machine, unless that is forced.
    """
    pairs = {
        "bundle.name": (before.bundle.name, after.bundle.name),
        "scenario.name": (before.scenario.name, after.scenario.name),
        "scenario.rate_hz": (before.scenario.rate_hz, after.scenario.rate_hz),
        "runtime.target": (before.runtime.target, after.runtime.target),
        "inputs.digest": (before.inputs.digest, after.inputs.digest),
    }
    for name, (saved, new) in pairs.items():
        if saved != new:
            raise ConfigError(
                f"--compare: {source}: {name}: expected {new!r}, as measured now, got {saved!r}; compare measurements "
                "of the same bundle, scenario, target and images"
            )
    differing = machine.differences(before.machine, after.machine)
    if differing and not force:
        raise ConfigError(
            f"--compare: {source}: was measured on another machine: {'; '.join(differing)}; measure both on one, or "
            "give --force"
        )
    return differing


def compare(before: Result, after: Result, *, differences: tuple[str, ...] = ()) -> Comparison:
    """Return how each stage changed, by the test of this module; the same documents give the same answer.

    Args:
        before: the saved measurement.
        after: the new one, comparable.
        differences: of the machines.
    """
    rng = np.random.default_rng(_SEED)
    drawn = [_drawn(one, rng) for one in (before, after)]
    why = _obstacle(before, after) or ("" if all(one is not None for one in drawn) else _too_few(before, after))
    stages = tuple(_stage(before, after, drawn, place, judged=not why) for place in range(len(STAGES)))
    controls = [_median(one, "control") for one in (before, after)]
    return Comparison(
        before=(before.bundle.name, before.bundle.version, before.bundle.digest),
        control=round(controls[1] / controls[0], 4) if all(controls) else 1.0,
        stages=stages,
        differences=differences,
        why=why,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Drawn:
    """Logs of each stage's median over that of the fixed work: of the samples (k,), and of each resample (R, k)."""

    found: NDArray[np.float64]
    resampled: NDArray[np.float64]


def _drawn(result: Result, rng: np.random.Generator) -> _Drawn | None:
    if "control" not in result.samples or result.stages["total"].n < blocks.FEWEST:
        return None
    columns = np.array([result.samples[name] for name in (*STAGES, "control")], np.float64).T
    # A stage that takes nothing (nobody records) has no ratio; the smallest time there is stands for it.
    logs = np.log(np.maximum(blocks.medians(columns, rng=rng), 1e-4))
    found = np.log(np.maximum(np.median(columns, axis=0), 1e-4))
    return _Drawn(found=found[:-1] - found[-1], resampled=logs[:, :-1] - logs[:, -1:])


def _stage(before: Result, after: Result, drawn: list[_Drawn | None], place: int, *, judged: bool) -> StageChange:
    stage = STAGES[place]
    old, new = _median(before, stage), _median(after, stage)
    one, other = drawn
    if one is None or other is None:
        plain = new / old if old else 1.0
        return StageChange(
            stage=stage, before_ms=old, after_ms=new, ratio=round(plain, 4), bounds=(0.0, math.inf), verdict=None
        )
    ratio = float(np.exp(other.found[place] - one.found[place]))
    share = 100 * _ALPHA / len(STAGES)
    low, high = np.exp(np.percentile(other.resampled[:, place] - one.resampled[:, place], (share, 100 - share)))
    verdict = _verdict(low, high, ratio, old) if judged else None
    bounds = (round(float(low), 4), round(float(high), 4))
    return StageChange(stage=stage, before_ms=old, after_ms=new, ratio=round(ratio, 4), bounds=bounds, verdict=verdict)


def _verdict(low: float, high: float, ratio: float, old_ms: float) -> Literal["slower", "faster", "same"]:
    if abs(ratio - 1.0) * old_ms <= _LEAST_MS:
        return "same"
    if low > 1.0 + MARGIN:
        return "slower"
    return "faster" if high < 1.0 / (1.0 + MARGIN) else "same"


def _obstacle(before: Result, after: Result) -> str:
    """Return why the machine cannot judge; nothing where it can."""
    for name, result in (("before", before), ("now", after)):
        if not result.noise.quiet:
            return f"{name}: {result.noise.why}"
    return ""


def _too_few(before: Result, after: Result) -> str:
    counts = [one.stages["total"].n for one in (before, after)]
    return f"{counts[0]} samples before and {counts[1]} now, expected at least {blocks.FEWEST} of each"


def _median(result: Result, name: str) -> float:
    times = result.samples.get(name, ())
    return float(np.median(times)) if times else 0.0
