"""edgemed on tflite-runtime."""

from __future__ import annotations

from screeners import edgemed_screener, harness

harness.main(lambda work: edgemed_screener.opened(work, "tflite-runtime"))
