"""The samples of one measurement, frame by frame, and what happened to frames that gave none.

series = Series()
series.add(Sample(decode_ms=3.0, preprocess_ms=0.4, infer_ms=0.6, decide_ms=0.1, record_ms=0.0, total_ms=4.2))
series.times("total")
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgemed.errors import EdgemedError
from edgemed.runtime.screening import Refusal, Screening

__all__ = ["STAGES", "TOTAL", "ClockError", "Sample", "Series", "sampled"]

STAGES = ("decode", "preprocess", "infer", "decide", "record", "total")
TOTAL = "total"


class ClockError(EdgemedError):
    """The clock of the measurement went backwards: no time that it gave can be believed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """The times of one frame, in ms.

    Attributes:
        total_ms: by a clock of its own around all stages, not their sum.
        control_ms: of the fixed work done before the frame; None where there was none.
        age_ms: from the frame's arrival to its decision; of ``stream`` alone.
    """

    decode_ms: float
    preprocess_ms: float
    infer_ms: float
    decide_ms: float
    record_ms: float
    total_ms: float
    control_ms: float | None = None
    age_ms: float | None = None


@dataclass(kw_only=True)
class Series:
    """Samples in the order they were taken; filled by one measurement and then only read.

    Attributes:
        refused: frames that a gate refused before inference: they took another way and are no sample.
        unreadable: inputs that gave no frame, or a frame that failed.
        dropped: frames of a stream that gave way to newer ones before they were judged.
        reasons: why the first few gave no sample.
    """

    samples: list[Sample] = field(default_factory=list)
    refused: int = 0
    unreadable: int = 0
    dropped: int = 0
    reasons: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.samples)

    def add(self, sample: Sample) -> None:
        """Keep a sample.

        Raises:
            ClockError: one of its times is negative.
        """
        shortest = min(getattr(sample, f"{stage}_ms") for stage in STAGES)
        if shortest < 0.0 or (sample.control_ms or 0.0) < 0.0:
            raise ClockError(
                f"clock: went back by {-min(shortest, sample.control_ms or 0.0):.3f} ms at sample {len(self) + 1}, "
                "expected one that only rises; the times cannot be believed: measure on a machine whose monotonic "
                "clock is steady"
            )
        self.samples.append(sample)

    def miss(self, found: Screening) -> None:
        """Count a frame that gave no sample."""
        if found.refusal is Refusal.UNREADABLE:
            self.unreadable += 1
        else:
            self.refused += 1
        if len(self.reasons) < 3:
            self.reasons.extend(found.reasons[:1])

    @property
    def missed(self) -> int:
        """How many frames gave no sample."""
        return self.refused + self.unreadable

    def times(self, stage: str) -> list[float]:
        """Return the times of a stage of `STAGES`, in ms."""
        return [getattr(sample, f"{stage}_ms") for sample in self.samples]

    def controls(self) -> list[float]:
        """Return the times of the fixed work, in ms."""
        return [sample.control_ms for sample in self.samples if sample.control_ms is not None]

    def ages(self) -> list[float]:
        """Return the ages of frames, in ms."""
        return [sample.age_ms for sample in self.samples if sample.age_ms is not None]

    def columns(self) -> Mapping[str, list[float]]:
        """Return all times by stage, ``control`` and ``age`` where there are any."""
        found = {stage: self.times(stage) for stage in STAGES}
        others = {"control": self.controls(), "age": self.ages()}
        return found | {name: times for name, times in others.items() if times}


def sampled(
    found: Screening,
    *,
    total_ms: float,
    record_ms: float,
    control_ms: float | None = None,
    age_ms: float | None = None,
) -> Sample | None:
    """Return the sample of a frame that went all the way; None for one that was refused before inference."""
    latency = found.latency
    if latency.preprocess_ms is None or latency.infer_ms is None or latency.decide_ms is None:
        return None
    return Sample(
        decode_ms=latency.decode_ms,
        preprocess_ms=latency.preprocess_ms,
        infer_ms=latency.infer_ms,
        decide_ms=latency.decide_ms,
        record_ms=record_ms,
        total_ms=total_ms,
        control_ms=control_ms,
        age_ms=age_ms,
    )
