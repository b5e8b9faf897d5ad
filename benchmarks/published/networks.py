"""The networks by the names that the published figures give them.

load = networks.load("mobilenet_v2_1.0_224")
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from edgemed.benchmark.roofline import Load
from published import classification, detection
from published.plan import Plan, Plane

_LAID: Mapping[str, tuple[Callable[[Plan, Plane], Plane], int]] = {
    "mobilenet_v1_1.0_224": (classification.mobilenet_v1, 224),
    "mobilenet_v1_224": (classification.mobilenet_v1, 224),
    "mobilenet_v2_1.0_224": (classification.mobilenet_v2, 224),
    "mobilenet_v2_224": (classification.mobilenet_v2, 224),
    "inception_v1_224": (classification.inception_v1, 224),
    "inception_v4_299": (classification.inception_v4, 299),
    "resnet18 256x256": (classification.resnet18, 256),
    "resnet50 256x256": (classification.resnet50, 256),
    "ssd_mobilenet_v1_coco": (detection.ssd_mobilenet_v1, 300),
    "ssd_mobilenet_v2_300": (detection.ssd_mobilenet_v2, 300),
    "yolox_s_leaky": (detection.yolox_s, 640),
    "yolov8n_640": (detection.yolov8n, 640),
}
_SERIES = "five convolutions of "


def names() -> tuple[str, ...]:
    return tuple(_LAID)


def same(name: str) -> str:
    """Return one name for all that stand for the same network and size of picture."""
    return next(other for other, laid in _LAID.items() if laid == _LAID[name])


@functools.cache
def load(name: str) -> Load:
    """Return one inference of a published network.

    Raises:
        KeyError: it is not laid out here.
    """
    plan = Plan()
    if name.startswith(_SERIES):
        picture = Plane(64, 64, 3)
        out = _laid_five(plan, picture, int(name.removeprefix(_SERIES)))
    else:
        lay, side = _LAID[name]
        picture = Plane(side, side, 3)
        out = lay(plan, picture)
    return Load(work=tuple(plan.work), ends=picture.values + out.values)


def five_convolutions(multiply_adds: int) -> str:
    """Return the name of five 3 x 3 convolutions of a 64 x 64 picture (EdgeTPU-QuantRL-Evaluation, CONV_MACs).

    Raises:
        ValueError: no number of filters below 1000 has as many multiply-adds.
    """
    for filters in range(1, 1000):
        if 64 * 64 * 9 * filters * (3 + 4 * filters) == multiply_adds:
            return f"{_SERIES}{filters}"
    raise ValueError(f"expected the multiply-adds of five convolutions, got {multiply_adds}")


def _laid_five(plan: Plan, x: Plane, filters: int) -> Plane:
    for _ in range(5):
        x = plan.conv(x, filters, kernel=3)
    return x
