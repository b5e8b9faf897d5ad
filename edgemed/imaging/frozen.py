"""A stream that shows one picture again and again: the freeze key was pressed, or a cable holds the last frame.

gate = Frozen(max_frames=15)
for frame in frames:
    print(gate.reasons(frame))
"""

from __future__ import annotations

import zlib

import numpy as np

from edgemed.imaging.frame import Frame

__all__ = ["Frozen"]


class Frozen:
    """Counts identical frames in a row; for one stream, and one thread at a time.

    Noise makes each frame of a live sensor differ from the one before in some pixel.
    """

    def __init__(self, *, max_frames: int) -> None:
        """Allow ``max_frames``, at least 1, identical frames in a row."""
        if max_frames < 1:
            raise ValueError(f"max_frames: expected at least 1, got {max_frames}")
        self._allowed = max_frames
        self._last: tuple[tuple[int, ...], int] | None = None
        self._count = 0

    def reasons(self, frame: Frame) -> tuple[str, ...]:
        """Take the next frame; return why it must not be judged, empty when nothing speaks against it."""
        # A checksum: nobody forges a frozen picture, and it costs a tenth of a digest.
        seen = (frame.pixels.shape, zlib.crc32(np.ascontiguousarray(frame.pixels).data))
        self._count = self._count + 1 if seen == self._last else 1
        self._last = seen
        if self._count <= self._allowed:
            return ()
        return (
            f"frozen: {self._count} identical frames in a row, at most {self._allowed} allowed; "
            "unfreeze the picture, or check the cable",
        )
