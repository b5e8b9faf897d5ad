"""Networks that name what a picture shows, as their papers lay them out."""

from __future__ import annotations

from collections.abc import Sequence

from published.plan import Plan, Plane

CLASSES = 1001  # ImageNet's and one for the background, as TensorFlow's published models have them


def mobilenet_v1(plan: Plan, x: Plane) -> Plane:
    """Lay MobileNet of width 1 (arXiv:1704.04861, table 1)."""
    return plan.dense(plan.mean(mobilenet_v1_features(plan, x)[-1]), CLASSES)


def mobilenet_v1_features(plan: Plan, x: Plane) -> tuple[Plane, Plane]:
    """Lay its convolutions; give the plane before the last halving and the last."""
    x = plan.conv(x, 32, kernel=3, stride=2)
    middle = x
    for channels, stride in (
        *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
        *((512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1)),
    ):
        if channels == 1024 and stride == 2:
            middle = x
        x = plan.conv(plan.depthwise(x, stride=stride), channels)
    return middle, x


def mobilenet_v2(plan: Plan, x: Plane) -> Plane:
    """Lay MobileNetV2 of width 1 (arXiv:1801.04381, table 2)."""
    return plan.dense(plan.mean(mobilenet_v2_features(plan, x)[-1]), CLASSES)


def mobilenet_v2_features(plan: Plan, x: Plane) -> tuple[Plane, Plane]:
    """Lay its convolutions; give the expansion before the last halving and the last."""
    x = plan.conv(x, 32, kernel=3, stride=2)
    middle = x
    for factor, channels, repeats, stride in (
        *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
        *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
    ):
        for repeat in range(repeats):
            by = stride if repeat == 0 else 1
            wide = plan.conv(x, factor * x.channels) if factor > 1 else x
            if channels == 160 and by == 2:
                middle = wide
            out = plan.conv(plan.depthwise(wide, stride=by), channels)
            x = plan.add(out, x) if out == x else out
    return middle, plan.conv(x, 1280)


def inception_v1(plan: Plan, x: Plane) -> Plane:
    """Lay GoogLeNet (arXiv:1409.4842, table 1) without its two auxiliary heads."""
    x = plan.pool(plan.conv(x, 64, kernel=7, stride=2))
    x = plan.pool(plan.conv(plan.conv(x, 64), 192, kernel=3))
    for row in ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)):
        x = _mixed(plan, x, row)
    x = plan.pool(x)
    for row in (
        *((192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64)),
        *((112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128)),
    ):
        x = _mixed(plan, x, row)
    x = plan.pool(x)
    for row in ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)):
        x = _mixed(plan, x, row)
    return plan.dense(plan.mean(x), CLASSES)


def _mixed(plan: Plan, x: Plane, row: Sequence[int]) -> Plane:
    one, three_reduced, three, five_reduced, five, pooled = row
    return plan.join(
        plan.conv(x, one),
        plan.conv(plan.conv(x, three_reduced), three, kernel=3),
        # TensorFlow's published Inception v1 has 3 x 3 where the paper has 5 x 5.
        plan.conv(plan.conv(x, five_reduced), five, kernel=3),
        plan.conv(plan.pool(x, stride=1), pooled),
    )


def inception_v4(plan: Plan, x: Plane) -> Plane:
    """Lay Inception v4 (arXiv:1602.07261, figures 3 to 9)."""
    x = _stem(plan, x)
    for _ in range(4):
        x = _inception_a(plan, x)
    x = plan.join(
        plan.pool(x, valid=True),
        plan.conv(x, 384, kernel=3, stride=2, valid=True),
        plan.conv(_chain(plan, x, (192, 1), (224, 3)), 256, kernel=3, stride=2, valid=True),
    )
    for _ in range(7):
        x = _inception_b(plan, x)
    x = plan.join(
        plan.pool(x, valid=True),
        plan.conv(plan.conv(x, 192), 192, kernel=3, stride=2, valid=True),
        plan.conv(_chain(plan, x, (256, 1), (256, (1, 7)), (320, (7, 1))), 320, kernel=3, stride=2, valid=True),
    )
    for _ in range(3):
        x = _inception_c(plan, x)
    return plan.dense(plan.mean(x), CLASSES)


def _chain(plan: Plan, x: Plane, *steps: tuple[int, int | tuple[int, int]]) -> Plane:
    for channels, kernel in steps:
        x = plan.conv(x, channels, kernel=kernel)
    return x


def _stem(plan: Plan, x: Plane) -> Plane:
    x = plan.conv(x, 32, kernel=3, stride=2, valid=True)
    x = plan.conv(plan.conv(x, 32, kernel=3, valid=True), 64, kernel=3)
    x = plan.join(plan.pool(x, valid=True), plan.conv(x, 96, kernel=3, stride=2, valid=True))
    x = plan.join(
        plan.conv(plan.conv(x, 64), 96, kernel=3, valid=True),
        plan.conv(_chain(plan, x, (64, 1), (64, (7, 1)), (64, (1, 7))), 96, kernel=3, valid=True),
    )
    return plan.join(plan.conv(x, 192, kernel=3, stride=2, valid=True), plan.pool(x, valid=True))


def _inception_a(plan: Plan, x: Plane) -> Plane:
    return plan.join(
        plan.conv(x, 96),
        _chain(plan, x, (64, 1), (96, 3)),
        _chain(plan, x, (64, 1), (96, 3), (96, 3)),
        plan.conv(plan.pool(x, stride=1, kind="AVERAGE_POOL_2D"), 96),
    )


def _inception_b(plan: Plan, x: Plane) -> Plane:
    return plan.join(
        plan.conv(x, 384),
        _chain(plan, x, (192, 1), (224, (1, 7)), (256, (7, 1))),
        _chain(plan, x, (192, 1), (192, (7, 1)), (224, (1, 7)), (224, (7, 1)), (256, (1, 7))),
        plan.conv(plan.pool(x, stride=1, kind="AVERAGE_POOL_2D"), 128),
    )


def _inception_c(plan: Plan, x: Plane) -> Plane:
    short = plan.conv(x, 384)
    long = _chain(plan, x, (384, 1), (448, (3, 1)), (512, (1, 3)))
    return plan.join(
        plan.conv(x, 256),
        plan.conv(short, 256, kernel=(1, 3)),
        plan.conv(short, 256, kernel=(3, 1)),
        plan.conv(long, 256, kernel=(1, 3)),
        plan.conv(long, 256, kernel=(3, 1)),
        plan.conv(plan.pool(x, stride=1, kind="AVERAGE_POOL_2D"), 256),
    )


def resnet18(plan: Plan, x: Plane) -> Plane:
    """Lay ResNet-18 (arXiv:1512.03385, table 1)."""
    x = plan.pool(plan.conv(x, 64, kernel=7, stride=2))
    for channels, stride in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)):
        out = plan.conv(plan.conv(x, channels, kernel=3, stride=stride), channels, kernel=3)
        x = plan.add(out, x if out == x else plan.conv(x, channels, stride=stride))
    return plan.dense(plan.mean(x), 1000)


def resnet50(plan: Plan, x: Plane) -> Plane:
    """Lay ResNet-50 (arXiv:1512.03385, table 1), strided in the 3 x 3 convolution as PyTorch's is."""
    x = plan.pool(plan.conv(x, 64, kernel=7, stride=2))
    for channels, repeats, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for repeat in range(repeats):
            by = stride if repeat == 0 else 1
            out = plan.conv(plan.conv(plan.conv(x, channels), channels, kernel=3, stride=by), 4 * channels)
            x = plan.add(out, x if out == x else plan.conv(x, 4 * channels, stride=by))
    return plan.dense(plan.mean(x), 1000)
