"""edgemed on litert."""

from __future__ import annotations

from screeners import edgemed_screener, harness

harness.main(lambda work: edgemed_screener.opened(work, "litert"))
