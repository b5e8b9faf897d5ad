"""Golden vectors: real source frames with the plane and the int8 outputs that the reference back end made of them.

members = vectors.members(frames, planes, answers, count=4)
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from converters.answers import Answers
from edgemed import schema
from edgemed.imaging.frame import Frame
from edgemed.runtime import golden

__all__ = ["members"]


def members(
    read: Callable[[int], Frame], planes: NDArray[np.uint8], reference: Answers, *, count: int = 4
) -> dict[str, bytes]:
    """Return ``golden/vectors.json`` and its pictures, by member name.

    Args:
        read: gives the source frame of plane i.
        planes: (N, H, W) uint8 validation planes, N >= count.
        reference: the reference back end's answers to them.
        count: vectors to take: from the lowest logit to the highest in equal steps of rank, so that they span what
            the model may answer.
    """
    order = np.argsort(reference.logits, kind="stable")
    chosen = [int(order[rank]) for rank in np.linspace(0, len(order) - 1, count).round().astype(int)]
    found: dict[str, bytes] = {}
    listed = []
    for number, index in enumerate(chosen):
        frame, plane = f"golden/{number:02d}.png", f"golden/{number:02d}.plane.png"
        found[frame] = _png(read(index).pixels)
        found[plane] = _png(planes[index])
        outputs = {name: golden.encode_int8(integers[index]) for name, integers in sorted(reference.integers.items())}
        listed.append(golden.Vector(frame=frame, plane=plane, outputs=outputs))
    found[golden.VECTORS] = schema.encode_json(listed)
    return found


def _png(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    ok, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not ok:
        raise RuntimeError(f"OpenCV could not encode a {pixels.shape} {pixels.dtype} picture as PNG")
    return encoded.tobytes()
