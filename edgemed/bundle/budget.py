"""The latency budget that a bundle asks for: tighter than that of its targets, by stage and percentile.

It is written as YAML and travels as the member ``budget.json``; a bundle without one has the budgets of its targets.

    schema: 1
    xray-still:
      infer: {p99_ms: 100.0}
      total: {p50_ms: 150.0, p99_ms: 400.0}

Rules: a limit is never looser than a target's own, which the build refuses; an older runtime passes the member over.

    asked = of_bundle(bundle.members)
    dict(asked.limits(Use.XRAY_STILL))
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from edgemed import schema, targets
from edgemed.errors import BundleError, ConfigError
from edgemed.targets import Milliseconds, Use

__all__ = ["LIMIT_BYTES", "MEMBER", "PERCENTILES", "BundleBudget", "Percentile", "of_bundle", "parse"]

MEMBER = "budget.json"
LIMIT_BYTES = 64 << 10

Percentile = Literal["p50", "p90", "p99"]
PERCENTILES: tuple[Percentile, ...] = ("p50", "p90", "p99")
STAGES = ("decode", "preprocess", "infer", "decide", "record", "total")


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class Percentiles(_Strict, frozen=True, kw_only=True):
    """Limits of one stage, in ms; None where there is none."""

    p50_ms: Milliseconds | None = None
    p90_ms: Milliseconds | None = None
    p99_ms: Milliseconds | None = None

    def __post_init__(self) -> None:
        stated = [value for value in (self.p50_ms, self.p90_ms, self.p99_ms) if value is not None]
        if stated != sorted(stated):
            raise ValueError("expected p50_ms <= p90_ms <= p99_ms: no percentile is below a smaller one")


class Stages(_Strict, frozen=True, kw_only=True):
    """Limits of one use, by stage; None where there is none."""

    decode: Percentiles | None = None
    preprocess: Percentiles | None = None
    infer: Percentiles | None = None
    decide: Percentiles | None = None
    record: Percentiles | None = None
    total: Percentiles | None = None


class BundleBudget(_Strict, frozen=True, kw_only=True, rename="kebab"):
    """The document ``budget.json``."""

    # Always written: it says how to read the rest.
    schema: Literal[1]
    xray_still: Stages | None = None
    us_cine_30: Stages | None = msgspec.field(name="us-cine-30", default=None)

    def limits(self, use: Use) -> Iterator[tuple[tuple[str, Percentile], float]]:
        """Yield stage, percentile and limit in ms, in the order of the stages."""
        stages = self.xray_still if use is Use.XRAY_STILL else self.us_cine_30
        for stage in STAGES:
            found: Percentiles | None = None if stages is None else getattr(stages, stage)
            for percentile in PERCENTILES:
                value = None if found is None else getattr(found, f"{percentile}_ms")
                if value is not None:
                    yield (stage, percentile), value


def parse(raw: bytes, *, source: str, target_ids: Sequence[str]) -> BundleBudget:
    """Return a budget written as YAML, for a bundle of these targets.

    Raises:
        ConfigError: not YAML, an unknown key (a number without its unit is one), a value out of range, or a limit
            that is looser than a target's own.
    """
    found = schema.decode_yaml(raw, BundleBudget, source=source)
    for target_id in target_ids:
        _require_tighter(found, target_id, source=source)
    return found


def of_bundle(members: Mapping[str, bytes]) -> BundleBudget | None:
    """Return the budget among a bundle's members; None where it asks for none.

    Raises:
        BundleError: it is none.
    """
    raw = members.get(MEMBER)
    return None if raw is None else schema.decode_json(raw, BundleBudget, source=MEMBER, error=BundleError)


def _require_tighter(found: BundleBudget, target_id: str, *, source: str) -> None:
    target = targets.load(target_id)
    for use in Use:
        own = target.budget(use).limits
        for (stage, percentile), value in found.limits(use):
            if value > own[stage]:
                raise ConfigError(
                    f"{source}: {use.value}.{stage}.{percentile}_ms: expected at most {own[stage]:g}, which "
                    f"{target_id} allows, got {value:g}; a bundle may tighten a budget, never loosen it"
                )
