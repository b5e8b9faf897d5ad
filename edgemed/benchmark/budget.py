"""What a device is allowed to take, stage by stage, and whether it took more.

A budget is the target's (`firmware_configs/`), tightened where the bundle says so. The rules of the judgement:

1. A p99 is judged from 1000 samples on. Below, it can only be broken: by more samples above the limit than chance
   explains (binomial test, 2.5 %).
2. Where the machine was too noisy, or nothing tells whether it was, a limit that was kept is kept all the same, for
   noise only adds time; one that was broken is not judged.
3. Where the machine is no such device, nothing is judged.

    rows = judge(series, limits(target, use, bundle), noise=noise)
    broken(rows)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgemed import measure
from edgemed.benchmark.control import Noise
from edgemed.benchmark.series import STAGES
from edgemed.bundle import budget as tightened
from edgemed.bundle.budget import PERCENTILES, Percentile
from edgemed.targets import Target, Use

__all__ = ["Limit", "Row", "broken", "judge", "limits", "unjudged"]

_SHARES = {"p50": 0.50, "p90": 0.90, "p99": 0.99}

Milliseconds = Annotated[float, Meta(ge=0.0)]


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What one percentile of one stage may be, in ms, and whose word that is."""

    stage: str
    percentile: Percentile
    limit_ms: float
    source: Literal["target", "bundle"]


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One limit and what was measured.

    Attributes:
        limit: in ms.
        source: whose limit it is.
        measured: in ms; None where the samples do not carry the percentile.
        kept: whether the limit was kept; None where that cannot be judged. In documents it is called ``pass``.
        over: samples above the limit.
        why: what keeps it from being judged; empty otherwise.
    """

    stage: str
    percentile: Percentile
    limit: Milliseconds
    source: Literal["target", "bundle"]
    measured: Milliseconds | None
    kept: bool | None = msgspec.field(name="pass")
    over: Annotated[int, Meta(ge=0)]
    why: str


def limits(target: Target, use: Use, members: Mapping[str, bytes]) -> tuple[Limit, ...]:
    """Return the limits of a use: the target's, and those of the bundle that are tighter.

    Args:
        target: the device.
        use: what it is used for.
        members: of the bundle.

    Raises:
        BundleError: the bundle's budget is none.
    """
    own = tightened.of_bundle(members)
    given = {} if own is None else dict(own.limits(use))
    stated = {(stage, "p99"): value for stage, value in target.budget(use).limits.items()}
    found = []
    for stage in STAGES:
        for percentile in PERCENTILES:
            from_target, from_bundle = stated.get((stage, percentile)), given.get((stage, percentile))
            if from_bundle is not None and (from_target is None or from_bundle < from_target):
                found.append(Limit(stage=stage, percentile=percentile, limit_ms=from_bundle, source="bundle"))
            elif from_target is not None:
                found.append(Limit(stage=stage, percentile=percentile, limit_ms=from_target, source="target"))
    return tuple(found)


def judge(
    times: Mapping[str, Sequence[float]], allowed: Iterable[Limit], *, noise: Noise, elsewhere: str | None = None
) -> tuple[Row, ...]:
    """Return every limit with what was measured and the judgement, by the rules of this module.

    Args:
        times: samples of each stage, in ms.
        allowed: the limits.
        noise: what the control loop says.
        elsewhere: why this machine is no such device; None where it may be.
    """
    found = {stage: measure.distribution(values) for stage, values in times.items()}
    return tuple(_row(one, times[one.stage], found[one.stage], noise, elsewhere) for one in allowed)


def _row(one: Limit, times: Sequence[float], found: measure.Distribution, noise: Noise, elsewhere: str | None) -> Row:
    over = sum(value > one.limit_ms for value in times)
    measured = found.percentile(one.percentile)
    kept, why = _judged(one, measured, over=over, n=found.n, noise=noise)
    return Row(
        stage=one.stage,
        percentile=one.percentile,
        limit=one.limit_ms,
        source=one.source,
        measured=measured,
        kept=None if elsewhere else kept,
        over=over,
        why=elsewhere or why,
    )


def _judged(one: Limit, measured: float | None, *, over: int, n: int, noise: Noise) -> tuple[bool | None, str]:
    if measured is None:
        share = _SHARES[one.percentile]
        if n == 0 or not measure.exceeds(over, n, share=share):
            return None, f"{n} samples, {one.percentile} needs {measure.TAIL_SAMPLES if share == 0.99 else 1}"
        kept = False
    else:
        kept = measured <= one.limit_ms
    if not kept and not noise.quiet:
        return (
            None,
            "the machine is too noisy to judge" if noise.quiet is False else "nothing tells whether it is noise",
        )
    return kept, ""


def broken(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Return the limits that were broken."""
    return tuple(row for row in rows if row.kept is False)


def unjudged(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Return the limits that could not be judged."""
    return tuple(row for row in rows if row.kept is None)
