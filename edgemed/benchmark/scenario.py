"""What is measured: the scenarios, and how much of each.

plan = Plan(scenario=scenario.parse("single"), samples=1000)
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from edgemed import schema
from edgemed.errors import ConfigError
from edgemed.targets import Use

__all__ = ["Plan", "Scenario", "parse", "use_of"]

_SAMPLES = {"single": 1000, "stream": 1000, "cold": 20, "throughput": 200}


class Scenario(str, enum.Enum):
    """A way in which frames come."""

    SINGLE = "single"
    """The next frame when the last is done."""

    STREAM = "stream"
    """Frames arrive at a fixed rate, whether or not anybody is ready."""

    COLD = "cold"
    """Each frame in a process of its own, from its start to the first result."""

    SUSTAINED = "sustained"
    """As ``single``, for minutes: the last against the first."""

    THROUGHPUT = "throughput"
    """Every frame of the inputs, once through, as fast as they go."""


_USES = {Scenario.SINGLE: Use.XRAY_STILL, Scenario.STREAM: Use.US_CINE_30}


def use_of(scenario: Scenario) -> Use | None:
    """Return the use whose budget a scenario is held against; None for those that have none."""
    return _USES.get(scenario)


def parse(name: str) -> Scenario:
    """Return the scenario of a name.

    Raises:
        ConfigError: there is none of this name.
    """
    known = [one.value for one in Scenario]
    if name not in known:
        raise ConfigError(
            f"--scenario: expected one of {', '.join(known)}, got {name!r}{schema.near_match(name, known)}"
        )
    return Scenario(name)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured.

    Attributes:
        samples: frames that count, at least 1; of ``sustained`` no limit, and of ``throughput`` only where the inputs
            are those of the package.
        warm_up: frames before, reported apart.
        minutes: of ``sustained``, above 0.
        rate_hz: frames a second of ``stream``, above 0.
    """

    scenario: Scenario
    samples: int
    warm_up: int = 20
    minutes: float = 3.0
    rate_hz: float = 30.0

    def __post_init__(self) -> None:
        if self.samples < 1 or self.warm_up < 0 or not self.minutes > 0.0 or not self.rate_hz > 0.0:
            raise ValueError(f"expected samples >= 1, warm_up >= 0, minutes and rate_hz above 0, got {self}")

    @classmethod
    def of(cls, scenario: Scenario, *, samples: int | None, minutes: float, rate_hz: float) -> Plan:
        """Return the plan of a scenario, with its own number of samples where none is given."""
        count = samples or _SAMPLES.get(scenario.value, 1)
        return cls(
            scenario=scenario,
            samples=count,
            warm_up=0 if scenario is Scenario.COLD else min(20, count),
            minutes=minutes,
            rate_hz=rate_hz,
        )
