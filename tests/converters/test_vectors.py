from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from converters import answers, vectors
from edgemed import schema, targets
from edgemed.errors import ConversionError
from edgemed.imaging import preprocess
from edgemed.imaging.frame import Frame
from edgemed.runtime import backends, golden
from tests.runtime import tiny

PREPROCESSING = preprocess.parse(schema.encode_json(tiny.PREPROCESSING))
EIGHT = [tiny.frame(seed=seed, source=f"MUELLER-{seed}.png") for seed in range(5)]
TWELVE = [
    Frame(pixels=tiny.picture(seed=seed).astype(np.uint16) << 4 | 9, source="scan.dcm", bits=12) for seed in range(5)
]


def _made(frames: list[Frame], *, count: int = 4) -> tuple[dict[str, bytes], answers.Answers]:
    planes = np.stack([preprocess.apply(frame, PREPROCESSING) for frame in frames])
    reference = answers.of(backends.load(tiny.model(), backend="litert"), planes)
    return vectors.members(frames.__getitem__, planes, reference, preprocessing=PREPROCESSING, count=count), reference


@pytest.mark.parametrize(("frames", "bits"), [(EIGHT, 8), (TWELVE, 12)], ids=["8 bits", "12 bits"])
def test_vectors_replay_exactly_on_their_own_back_end(frames: list[Frame], bits: int) -> None:
    found, _ = _made(frames)
    entry = {"backend": "litert", "kernels": "xnnpack", "architecture": targets.architecture(), "n": 1}
    allowed = {"schema": 1, "reference": "test", "entries": [{**entry, "plane_gray": 0, "logit_lsb": 0, "score": 0.0}]}
    bundle = tiny.bundle(tiny.model(), extra={**found, golden.TOLERANCE: schema.encode_json(allowed)})
    report = golden.replay(bundle, backends.load(tiny.model(), backend="litert"))
    assert report.verdict is golden.Verdict.WITHIN
    assert {vector.plane_gray for vector in report.vectors} == {0}
    assert [vector.bits for vector in golden.parse_vectors(found[golden.VECTORS])] == [bits] * 4


def test_vectors_span_the_logits_and_carry_no_name_of_an_image() -> None:
    found, reference = _made(EIGHT, count=3)
    assert sorted(found) == [
        *(f"golden/{number:02d}{kind}.png" for number in range(3) for kind in (".plane", "")),
        "golden/vectors.json",
    ]
    logits = [json.loads(found[golden.VECTORS])[number]["outputs"]["logit"] for number in range(3)]
    ordered = np.sort(reference.integers["logit"], axis=0)[[0, 2, 4]]
    assert logits == [golden.encode_int8(row) for row in ordered]
    assert not any(b"MUELLER" in raw for raw in found.values())


def test_frame_that_no_longer_gives_its_plane_is_refused() -> None:
    planes = np.stack([preprocess.apply(frame, PREPROCESSING) for frame in EIGHT])
    reference = answers.of(backends.load(tiny.model(), backend="litert"), planes)
    with pytest.raises(ConversionError) as caught:
        vectors.members(lambda index: tiny.frame(seed=99), planes, reference, preprocessing=PREPROCESSING)
    assert str(caught.value) == (
        "golden/00.png: expected the plane that validation used, got another one from the same source frame; "
        "did the images change since? Convert again"
    )


def test_source_frame_is_stored_pixel_by_pixel() -> None:
    found, _ = _made(TWELVE, count=2)
    stored = [cv2.imdecode(np.frombuffer(found[f"golden/0{n}.png"], np.uint8), cv2.IMREAD_UNCHANGED) for n in range(2)]
    sources = [frame.pixels for frame in TWELVE]
    assert all(any(np.array_equal(pixels, source) for source in sources) for pixels in stored)
    assert {pixels.dtype for pixels in stored} == {np.dtype(np.uint16)}
