"""A process that screens one file and ends, as a program: what the scenario ``cold`` starts.

    echo REQUEST | python -m edgemed.benchmark.fresh

It prints when each step was done. Everything is imported inside `main`, so that the time it begins with is the time
Python took to come here.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> int:
    """Be the process; return 0, or the exit code of the error it printed."""
    import time

    begun_s = time.monotonic()
    import sys
    from pathlib import Path

    from edgemed import schema
    from edgemed.benchmark import subject
    from edgemed.benchmark.request import Answer, Request
    from edgemed.errors import EdgemedError
    from edgemed.measure import process
    from edgemed.runtime import backends, worklist
    from edgemed.runtime.screening import Refusal

    try:
        request = schema.decode_json(sys.stdin.buffer.read(), Request, source="stdin")
        backends.preload()
        loaded_s = time.monotonic()
        screener = subject.open_subject(request.opening).screener
        opened_s = time.monotonic()
        found = next(worklist.screen(screener, [Path(request.path)], clock=time.monotonic)).screening
        result_s = time.monotonic()
    except EdgemedError as error:
        print(f"cold: {error}", file=sys.stderr)
        return error.exit_code
    one = found.latency
    through = one.preprocess_ms is not None and one.infer_ms is not None and one.decide_ms is not None
    answer = Answer(
        begun_s=begun_s,
        loaded_s=loaded_s,
        opened_s=opened_s,
        result_s=result_s,
        stages=(one.decode_ms, one.preprocess_ms or 0.0, one.infer_ms or 0.0, one.decide_ms or 0.0)
        if through
        else None,
        unreadable=found.refusal is Refusal.UNREADABLE,
        peak_mib=process.peak_memory_mib(),
        cpu_s=process.cpu_s(),
        why="; ".join(found.reasons),
    )
    sys.stdout.write(schema.encode_json(answer).decode() + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
