"""Golden vectors: real source frames with the plane and the int8 outputs that the reference back end made of them.

The source pictures travel in the bundle, and with them any text that is burned into their pixels; names do not.

    members = vectors.members(validation.read, validation.planes, answers, preprocessing=preprocessing, count=4)
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from converters.answers import Answers
from edgemed import schema
from edgemed.errors import ConversionError
from edgemed.imaging import preprocess
from edgemed.imaging.frame import Frame, Pixels
from edgemed.imaging.preprocess import Preprocessing
from edgemed.runtime import golden

__all__ = ["members"]


def members(
    read: Callable[[int], Frame],
    planes: NDArray[np.uint8],
    reference: Answers,
    *,
    preprocessing: Preprocessing,
    count: int = 4,
) -> dict[str, bytes]:
    """Return ``golden/vectors.json`` and its pictures, by member name.

    Args:
        read: gives the source frame of plane i.
        planes: (N, H, W) uint8 validation planes, N >= count.
        reference: the reference back end's answers to them.
        preprocessing: that made the planes of the frames.
        count: vectors to take: from the lowest logit to the highest in equal steps of rank, so that they span what
            the model may answer.

    Raises:
        ConversionError: a stored frame does not give its plane again, bit for bit.
        ImageError: a source frame cannot be read any more.
    """
    order = np.argsort(reference.logits, kind="stable")
    chosen = [int(order[rank]) for rank in np.linspace(0, len(order) - 1, count).round().astype(int)]
    found: dict[str, bytes] = {}
    listed = []
    for number, index in enumerate(chosen):
        source = read(index)
        outputs = {name: golden.encode_int8(integers[index]) for name, integers in sorted(reference.integers.items())}
        vector = golden.Vector(
            frame=f"golden/{number:02d}.png", plane=f"golden/{number:02d}.plane.png", outputs=outputs, bits=source.bits
        )
        found[vector.frame] = _png(source.pixels)
        found[vector.plane] = _png(planes[index])
        _require_plane(vector, found[vector.frame], planes[index], preprocessing)
        listed.append(vector)
    found[golden.VECTORS] = schema.encode_json(listed)
    return found


def _require_plane(vector: golden.Vector, frame: bytes, plane: NDArray[np.uint8], preprocessing: Preprocessing) -> None:
    """Hold what a device will compute from the stored frame against the plane that the model was judged on."""
    decoded = golden.decode_frame(frame, source=vector.frame, bits=vector.bits)
    if not np.array_equal(preprocess.apply(decoded, preprocessing), plane):
        raise ConversionError(
            f"{vector.frame}: expected the plane that validation used, got another one from the same source frame; "
            "did the images change since? Convert again"
        )


def _png(pixels: Pixels) -> bytes:
    ok, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not ok:
        raise RuntimeError(f"OpenCV could not encode a {pixels.shape} {pixels.dtype} picture as PNG")
    return encoded.tobytes()
