"""edgemed: a bundle that is verified at every start; modality, quality and distance are judged besides the score."""

from __future__ import annotations

from pathlib import Path

import cv2

from edgemed.bundle import keys
from edgemed.imaging import readers
from edgemed.runtime.screener import Screener
from screeners import harness

cv2.setNumThreads(1)


def opened(work: Path, backend: str) -> harness.Screener:
    """Return the bundle's screener on one back end: an environment may have several."""
    trusted = [keys.read_public(work / "peers.pub")]
    screener = Screener.open(work / "peers.edgemed", keys=trusted, backend=backend)

    def screen(raw: bytes) -> float:
        found = screener.screen(next(readers.decode(raw, source="image.png")))
        if found.abnormality is None:
            raise SystemExit(f"refused: {found.reasons}")
        return found.abnormality

    return screen
