"""What a fresh process is asked for, and what it answers: one JSON document each way.

raw = schema.encode_json(Request(opening=opening, path="scan.png"))
"""

from __future__ import annotations

import msgspec

from edgemed.benchmark.subject import Opening

__all__ = ["Answer", "Request"]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is asked for."""

    opening: Opening
    path: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """When each step was done, in seconds of the monotonic clock, and the stages of the frame, in ms.

    Attributes:
        peak_mib, cpu_s: of the process, from its start.
        stages: decode, preprocess, infer, decide; None where the frame was refused, and why.
    """

    begun_s: float
    loaded_s: float
    opened_s: float
    result_s: float
    stages: tuple[float, float, float, float] | None
    unreadable: bool
    peak_mib: float
    cpu_s: float
    why: str
