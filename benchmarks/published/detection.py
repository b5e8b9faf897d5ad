"""Networks that find things in a picture, as their papers and published configurations lay them out.

What follows the last convolution (boxes decoded, the best kept) is on the CPU and is not in here.
"""

from __future__ import annotations

from collections.abc import Sequence

from published.classification import mobilenet_v1_features, mobilenet_v2_features
from published.plan import Plan, Plane

_CLASSES = 91  # COCO's and the background, as the TensorFlow object detection models have them
_ANCHORS = (3, 6, 6, 6, 6, 6)
_BOX = 4


def ssd_mobilenet_v1(plan: Plan, x: Plane) -> Plane:
    """Lay SSD MobileNet v1 (arXiv:1704.04861 section 4.6; ssd_mobilenet_v1_coco.config of TensorFlow's models)."""
    middle, last = mobilenet_v1_features(plan, x)
    return _heads(plan, [middle, *_extras(plan, last, ((256, 512), (128, 256), (128, 256), (64, 128)))])


def ssd_mobilenet_v2(plan: Plan, x: Plane) -> Plane:
    """Lay SSD MobileNet v2 (arXiv:1801.04381 section 6.2; ssd_mobilenet_v2_coco.config of TensorFlow's models)."""
    middle, last = mobilenet_v2_features(plan, x)
    return _heads(plan, [middle, *_extras(plan, last, ((256, 512), (128, 256), (128, 256), (64, 128)))])


def _extras(plan: Plan, x: Plane, rows: Sequence[tuple[int, int]]) -> list[Plane]:
    found = [x]
    for reduced, channels in rows:
        found.append(plan.conv(plan.conv(found[-1], reduced), channels, kernel=3, stride=2))
    return found


def _heads(plan: Plan, planes: Sequence[Plane]) -> Plane:
    found = [
        plan.conv(plane, anchors * values)
        for values in (_BOX, _CLASSES)
        for plane, anchors in zip(planes, _ANCHORS, strict=True)
    ]
    return Plane(1, 1, sum(one.values for one in found))


def yolox_s(plan: Plan, x: Plane) -> Plane:
    """Lay YOLOX-S (arXiv:2107.08430; depth 0.33, width 0.5 of github.com/Megvii-BaseDetection/YOLOX)."""
    x = plan.conv(plan.gather(x), 32, kernel=3)
    x = _csp(plan, plan.conv(x, 64, kernel=3, stride=2), 64, 1)
    fine = _csp(plan, plan.conv(x, 128, kernel=3, stride=2), 128, 3)
    middle = _csp(plan, plan.conv(fine, 256, kernel=3, stride=2), 256, 3)
    coarse = _spatial_pyramid(plan, plan.conv(middle, 512, kernel=3, stride=2), 512, kernels=(5, 9, 13))
    coarse = plan.conv(_csp(plan, coarse, 512, 1, shortcut=False), 256)
    middle = plan.conv(_csp(plan, plan.join(plan.enlarge(coarse), middle), 256, 1, shortcut=False), 128)
    fine = _csp(plan, plan.join(plan.enlarge(middle), fine), 128, 1, shortcut=False)
    middle = _csp(plan, plan.join(plan.conv(fine, 128, kernel=3, stride=2), middle), 256, 1, shortcut=False)
    coarse = _csp(plan, plan.join(plan.conv(middle, 256, kernel=3, stride=2), coarse), 512, 1, shortcut=False)
    found = [_decoupled(plan, plane) for plane in (fine, middle, coarse)]
    return Plane(1, 1, sum(one.values for one in found))


def _decoupled(plan: Plan, x: Plane) -> Plane:
    x = plan.conv(x, 128)
    classes, boxes = (plan.conv(plan.conv(x, 128, kernel=3), 128, kernel=3) for _ in range(2))
    return plan.join(plan.conv(boxes, _BOX), plan.conv(boxes, 1), plan.conv(classes, 80))


def _csp(plan: Plan, x: Plane, channels: int, repeats: int, *, shortcut: bool = True) -> Plane:
    short, side = plan.conv(x, channels // 2), plan.conv(x, channels // 2)
    for _ in range(repeats):
        out = plan.conv(plan.conv(short, channels // 2), channels // 2, kernel=3)
        short = plan.add(out, short) if shortcut else out
    return plan.conv(plan.join(short, side), channels)


def _spatial_pyramid(plan: Plan, x: Plane, channels: int, *, kernels: Sequence[int]) -> Plane:
    x = plan.conv(x, channels // 2)
    return plan.conv(plan.join(x, *(plan.pool(x, kernel=kernel, stride=1) for kernel in kernels)), channels)


def yolov8n(plan: Plan, x: Plane) -> Plane:
    """Lay YOLOv8n (depth 0.33, width 0.25 of github.com/ultralytics/ultralytics, yolov8.yaml)."""
    x = plan.conv(plan.conv(x, 16, kernel=3, stride=2), 32, kernel=3, stride=2)
    x = _split(plan, x, 32, 1)
    fine = _split(plan, plan.conv(x, 64, kernel=3, stride=2), 64, 2)
    middle = _split(plan, plan.conv(fine, 128, kernel=3, stride=2), 128, 2)
    coarse = _split(plan, plan.conv(middle, 256, kernel=3, stride=2), 256, 1)
    coarse = _pooled_thrice(plan, coarse, 256)
    middle = _split(plan, plan.join(plan.enlarge(coarse), middle), 128, 1, shortcut=False)
    fine = _split(plan, plan.join(plan.enlarge(middle), fine), 64, 1, shortcut=False)
    middle = _split(plan, plan.join(plan.conv(fine, 64, kernel=3, stride=2), middle), 128, 1, shortcut=False)
    coarse = _split(plan, plan.join(plan.conv(middle, 128, kernel=3, stride=2), coarse), 256, 1, shortcut=False)
    found = [_two_branches(plan, plane) for plane in (fine, middle, coarse)]
    return Plane(1, 1, sum(one.values for one in found))


def _split(plan: Plan, x: Plane, channels: int, repeats: int, *, shortcut: bool = True) -> Plane:
    x = plan.conv(x, channels)
    parts = [x._replace(channels=channels // 2)] * 2
    for _ in range(repeats):
        out = plan.conv(plan.conv(parts[-1], channels // 2, kernel=3), channels // 2, kernel=3)
        parts.append(plan.add(out, parts[-1]) if shortcut else out)
    return plan.conv(plan.join(*parts), channels)


def _pooled_thrice(plan: Plan, x: Plane, channels: int) -> Plane:
    parts = [plan.conv(x, channels // 2)]
    for _ in range(3):
        parts.append(plan.pool(parts[-1], kernel=5, stride=1))
    return plan.conv(plan.join(*parts), channels)


def _two_branches(plan: Plan, x: Plane) -> Plane:
    boxes = plan.conv(plan.conv(plan.conv(x, 64, kernel=3), 64, kernel=3), 64)
    classes = plan.conv(plan.conv(plan.conv(x, 80, kernel=3), 80, kernel=3), 80)
    return plan.join(boxes, classes)
