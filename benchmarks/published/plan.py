"""A network as the work of its operators, laid out by hand: no framework, no weights.

Each function takes and gives the shape of a plane of values and writes down what the operator between them does, as
`edgemed.tflite.work` would count it in the converted file: batch normalisation is folded, an activation is part of
the operator before it.

    plan = Plan()
    x = plan.conv((224, 224, 3), 32, kernel=3, stride=2)
    plan.work
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from edgemed.tflite import Work


class Plane(NamedTuple):
    """Shape of a computed tensor of batch 1."""

    height: int
    width: int
    channels: int

    @property
    def values(self) -> int:
        """How many it holds."""
        return self.height * self.width * self.channels


@dataclass(kw_only=True)
class Plan:
    """The operators so far."""

    work: list[Work] = field(default_factory=list)

    def conv(
        self, x: Plane, channels: int, *, kernel: int | tuple[int, int] = 1, stride: int = 1, valid: bool = False
    ) -> Plane:
        """Lay a convolution; ``valid`` pads nothing, else the output is the input over the stride."""
        rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
        out = _strided(x, channels, (rows, columns), stride, valid=valid)
        taps = rows * columns
        self.work.append(
            Work(
                operator="CONV_2D",
                places=out.height * out.width,
                taps=taps,
                depth=x.channels,
                channels=channels,
                weights=channels * (taps * x.channels + 1),
                read=x.values,
                written=out.values,
            )
        )
        return out

    def depthwise(self, x: Plane, *, kernel: int = 3, stride: int = 1) -> Plane:
        """Lay a depthwise convolution."""
        out = _strided(x, x.channels, (kernel, kernel), stride, valid=False)
        self.work.append(
            Work(
                operator="DEPTHWISE_CONV_2D",
                places=out.height * out.width,
                taps=kernel * kernel,
                depth=1,
                channels=x.channels,
                weights=x.channels * (kernel * kernel + 1),
                read=x.values,
                written=out.values,
            )
        )
        return out

    def dense(self, x: Plane, channels: int) -> Plane:
        """Lay a dense layer over all values."""
        out = Plane(1, 1, channels)
        self.work.append(
            Work(
                operator="FULLY_CONNECTED",
                places=1,
                taps=1,
                depth=x.values,
                channels=channels,
                weights=channels * (x.values + 1),
                read=x.values,
                written=channels,
            )
        )
        return out

    def pool(
        self, x: Plane, *, kernel: int = 3, stride: int = 2, valid: bool = False, kind: str = "MAX_POOL_2D"
    ) -> Plane:
        """Lay a pooling."""
        return self._plain(kind, (x,), _strided(x, x.channels, (kernel, kernel), stride, valid=valid))

    def mean(self, x: Plane) -> Plane:
        """Lay the mean over all places."""
        return self._plain("MEAN", (x,), Plane(1, 1, x.channels))

    def add(self, x: Plane, y: Plane) -> Plane:
        """Lay a sum of two planes of one shape."""
        if x != y:
            raise ValueError(f"expected two planes of one shape, got {x} and {y}")
        return self._plain("ADD", (x, y), x)

    def join(self, *planes: Plane) -> Plane:
        """Lay planes of one size behind each other."""
        if len({plane[:2] for plane in planes}) != 1:
            raise ValueError(f"expected planes of one height and width, got {planes}")
        return self._plain("CONCATENATION", planes, planes[0]._replace(channels=sum(one.channels for one in planes)))

    def enlarge(self, x: Plane) -> Plane:
        """Lay a nearest-neighbour resize by two."""
        return self._plain("RESIZE_NEAREST_NEIGHBOR", (x,), Plane(2 * x.height, 2 * x.width, x.channels))

    def gather(self, x: Plane) -> Plane:
        """Lay the space-to-depth of a block of two."""
        return self._plain("SPACE_TO_DEPTH", (x,), Plane(x.height // 2, x.width // 2, 4 * x.channels))

    def _plain(self, operator: str, read: tuple[Plane, ...], out: Plane) -> Plane:
        self.work.append(Work(operator=operator, read=sum(plane.values for plane in read), written=out.values))
        return out


def _strided(x: Plane, channels: int, kernel: tuple[int, int], stride: int, *, valid: bool) -> Plane:
    lost = [side - 1 if valid else 0 for side in kernel]
    return Plane(-(-(x.height - lost[0]) // stride), -(-(x.width - lost[1]) // stride), channels)
