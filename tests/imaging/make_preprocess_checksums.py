"""Write ``preprocess_checksums.json``: CRC-32 of the plane of each exact step on a picture made in integers.

The test holds every platform and OpenCV version against it. Run this from the top of the checkout when a formula
changes on purpose, and say so in the change log:

    PYTHONPATH=. python tests/imaging/make_preprocess_checksums.py
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgemed import schema
from edgemed.imaging import preprocess
from edgemed.imaging.frame import Frame
from edgemed.imaging.preprocess import Preprocessing

CHECKSUMS = Path(__file__).with_name("preprocess_checksums.json")
AREA = {"step": "resize", "method": "area", "fit": "stretch"}
STRETCH = {"step": "contrast", "method": {"kind": "percentile", "low_percent": 0.5, "high_percent": 99.5}}
CASES = {
    "crop": [{"step": "crop_border", "fraction": 0.06}, AREA],
    "median": [{"step": "denoise", "method": {"kind": "median", "size": 3}}, AREA],
    "gaussian": [{"step": "denoise", "method": {"kind": "gaussian", "size": 5, "sigma": 1.2}}, AREA],
    "non_local_means": [
        {"step": "denoise", "method": {"kind": "non_local_means", "strength": 8.0, "template": 7, "search": 21}},
        AREA,
    ],
    "percentile": [STRETCH, AREA],
    "equalize": [{"step": "contrast", "method": {"kind": "equalize"}}, AREA],
    "unsharp": [{"step": "sharpen", "method": {"kind": "unsharp", "size": 5, "sigma": 1.0, "amount": 0.7}}, AREA],
    "area stretch": [AREA],
    "area letterbox": [{"step": "resize", "method": "area", "fit": "letterbox"}],
    "linear stretch": [{"step": "resize", "method": "linear", "fit": "stretch"}],
    "linear letterbox": [{"step": "resize", "method": "linear", "fit": "letterbox"}],
    "after resize": [
        AREA,
        STRETCH,
        {"step": "sharpen", "method": {"kind": "unsharp", "size": 3, "sigma": 0.8, "amount": 1.5}},
    ],
}


def picture() -> NDArray[np.uint8]:
    """Return a (96, 130) uint8 picture made in integers alone, so that it is the same everywhere."""
    row, column = np.mgrid[0:96, 0:130]
    waves = (row * row * 3 + column * 17 + row * column // 4) % 160
    square = np.where((row // 24 + column // 26) % 2 == 0, 60, 0)
    return (20 + waves // 2 + square).astype(np.uint8)


def checksums() -> dict[str, str]:
    """Return case name -> CRC-32 of its (48, 40) plane, 8 hex digits."""
    frame = Frame(pixels=picture(), source="synthetic")
    found = {}
    for name, steps in CASES.items():
        raw = json.dumps({"schema": 1, "height": 48, "width": 40, "steps": steps}).encode()
        document = schema.decode_json(raw, Preprocessing, source=name)
        found[name] = f"{zlib.crc32(preprocess.apply(frame, document).tobytes()):08x}"
    return found


if __name__ == "__main__":
    CHECKSUMS.write_text(json.dumps(checksums(), indent=2) + "\n")
