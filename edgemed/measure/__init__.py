"""What every measurement needs: percentiles with their intervals, the machine, its state, and this process' resources.

Rules: no sample is left out; a percentile that the samples cannot carry is None, never a guess; no host name, no user
name and no path of the machine enters a document.

    found = measure.distribution([5.1, 5.0, 5.3])
    here, now = measure.machine.here(), measure.state.now()

| module | what |
|---|---|
| `percentiles` | p50, p90, p99 with order-statistic intervals; how surely a limit is exceeded |
| `machine` | what must be the same for two measurements to compare |
| `state` | what changes from minute to minute: frequency, temperature, throttling, load |
| `jetson` | what NVIDIA's ``tegrastats`` and ``nvpmodel`` print |
| `process` | resident memory and CPU time of this process |
"""

from __future__ import annotations

from edgemed.measure.percentiles import TAIL_SAMPLES, Distribution, distribution, exceeds, order_interval, rounded

__all__ = ["TAIL_SAMPLES", "Distribution", "distribution", "exceeds", "order_interval", "rounded"]
