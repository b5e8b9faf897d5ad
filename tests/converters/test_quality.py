from __future__ import annotations

import cv2
import msgspec
import numpy as np
import pytest

from converters import quality as qualities
from edgemed.imaging import quality
from edgemed.imaging.frame import Frame
from edgemed.imaging.gates import Gates
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.runtime.decision import QualityLimits

GIVEN = QualityLimits(min_side_px=16, max_side_px=512, min_contrast=0.01, max_coloured_fraction=0.1)


@pytest.fixture
def train(rng: np.random.Generator) -> LabelledPlanes:
    ramp = np.full((64, 64), 40.0)
    ramp[:, :16] += 120
    ramp[48:, :] += 60
    planes = np.clip(ramp + rng.normal(0, 12, (300, 64, 64)), 0, 255).astype(np.uint8)
    return LabelledPlanes(
        planes=planes,
        labels=np.arange(300) % 2,
        names=tuple(map(str, range(300))),
        read=lambda index: Frame(pixels=planes[index], source=str(index)),
    )


def refusals(limits: QualityLimits, planes: np.ndarray) -> list[tuple[str, ...]]:
    pose = None if limits.upright is None else limits.upright.pose()
    return [
        quality.reasons(Frame(pixels=plane, source="x"), limits) + quality.plane_reasons(plane, limits, pose)
        for plane in planes
    ]


def test_nothing_is_fitted_unasked(train: LabelledPlanes) -> None:
    assert qualities.fitted(GIVEN, None, train) is GIVEN


def test_train_itself_passes_and_what_is_unlike_it_does_not(train: LabelledPlanes) -> None:
    limits = qualities.fitted(GIVEN, Gates(upright=True, frozen_frames=9), train)
    assert limits.max_frozen_frames == 9
    assert not any(refusals(limits, train.planes))
    plane = train.planes[0]
    spoilt = {
        "too dark": plane // 3,
        "saturated": np.minimum(plane.astype(np.uint16) * 3, 255).astype(np.uint8),
        "blurred": cv2.GaussianBlur(plane, (0, 0), 3.0),
        "turned by 180 degrees": np.ascontiguousarray(plane[::-1, ::-1]),
    }
    for name, picture in spoilt.items():
        (found,) = refusals(limits, picture[None])
        assert name in [reason.split(":")[0] for reason in found], name


def test_poses_are_told_apart_only_where_that_is_asked_for(train: LabelledPlanes) -> None:
    limits = qualities.fitted(GIVEN, Gates(), train)
    assert (limits.upright, limits.max_frozen_frames) == (None, None)
    assert refusals(limits, train.planes[:1, ::-1, ::-1]) == [()]


def test_limit_that_is_given_stays(train: LabelledPlanes) -> None:
    given = msgspec.structs.replace(GIVEN, min_sharpness=0.0)
    assert qualities.fitted(given, Gates(), train).min_sharpness == 0.0


def test_limits_travel_as_a_document(train: LabelledPlanes) -> None:
    limits = qualities.fitted(GIVEN, Gates(upright=True), train)
    raw = msgspec.json.encode(limits)
    assert msgspec.json.decode(raw, type=QualityLimits) == limits
    assert msgspec.json.encode(GIVEN) == (
        b'{"min_side_px":16,"max_side_px":512,"min_contrast":0.01,"max_coloured_fraction":0.1}'
    )


BAD = {
    "template: expected base64: ": b'{"template":"?","margin":0.1}',
    "template: expected 256 grey levels, got 3": b'{"template":"AAAA","margin":0.1}',
}


@pytest.mark.parametrize("message", BAD)
def test_template_that_is_none(message: str) -> None:
    raw = msgspec.json.encode(GIVEN)[:-1] + b',"upright":' + BAD[message] + b"}"
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(raw, type=QualityLimits)
    assert str(caught.value).startswith(message)
