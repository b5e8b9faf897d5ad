"""How long one inference takes, from what its operators do and a few numbers of the machine: the formula alone.

An operator lasts as long as its multiply-adds or its bytes take, whichever is longer, and its launch. To that come what
the frame costs whatever is in it, values that travel over a bus, and weights that do not fit on the chip and travel
with every frame::

    ms = frame + sum over operators(launch + max(multiply-adds / rate, bytes / bandwidth)) + bytes over the bus / bus

On an Edge TPU the multiply-adds are those of its array: 64 output channels and 4 input channels at a time, and most of
its rows idle in a depthwise kernel (`converters.compat.edgetpu_memory` has the layout and its source).

    parts = roofline.parts(load, machine)
    parts.total_ms
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from converters.compat import edgetpu_memory
from edgemed.tflite import Work

__all__ = ["Load", "Machine", "Parts", "off_chip_bytes", "parts"]

Positive = Annotated[float, Meta(gt=0.0)]
NotNegative = Annotated[float, Meta(ge=0.0)]

_DEPTHWISE = "DEPTHWISE_CONV_2D"
_FREE = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")  # another shape for the same bytes


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the formula knows of a machine.

    Attributes:
        rate_gmac_s: multiply-adds, in 1e9 a second.
        bandwidth_gb_s: of the memory that activations and weights are in, in 1e9 bytes a second.
        bytes_per_value: 1 for int8, 2 for float16.
        operator_us: launch of one operator.
        frame_ms: what each inference costs besides.
        bus_mb_s: between host and accelerator, in 1e6 bytes a second; None where they share their memory.
        sram_mib: on-chip memory that holds the weights; None where they are read from memory.
        depthwise_rows: rows of the array that a depthwise tap takes; 1 where there is no array.
    """

    rate_gmac_s: Positive
    bandwidth_gb_s: Positive
    bytes_per_value: Annotated[int, Meta(ge=1, le=8)] = 1
    operator_us: NotNegative = 0.0
    frame_ms: NotNegative = 0.0
    bus_mb_s: Positive | None = None
    sram_mib: Annotated[int, Meta(ge=1)] | None = None
    depthwise_rows: Positive = 1.0


@dataclass(frozen=True, kw_only=True)
class Load:
    """One inference.

    Attributes:
        work: of each operator, in execution order.
        ends: values of all inputs and outputs of the graph.
    """

    work: tuple[Work, ...]
    ends: int

    @property
    def multiply_adds(self) -> int:
        """Of all operators."""
        return sum(one.multiply_adds for one in self.work)

    @property
    def moved(self) -> int:
        """Values that all operators read and write, constants included."""
        return sum(_moved(one) for one in self.work)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Where the time goes, in ms.

    Attributes:
        compute_ms: operators that wait for multiply-adds.
        memory_ms: operators that wait for bytes.
        launch_ms: of the operators and of the frame.
        transfer_ms: inputs and outputs over the bus.
        streamed_ms: weights over the bus, because they do not fit on the chip.
    """

    compute_ms: float
    memory_ms: float
    launch_ms: float
    transfer_ms: float
    streamed_ms: float

    @property
    def total_ms(self) -> float:
        """All of it."""
        return self.compute_ms + self.memory_ms + self.launch_ms + self.transfer_ms + self.streamed_ms


def parts(load: Load, machine: Machine) -> Parts:
    """Return where the time of one inference goes."""
    compute = memory = 0.0
    counted = [one for one in load.work if one.operator not in _FREE]
    for one in counted:
        by_rate = _taken(one, machine) / (machine.rate_gmac_s * 1e6)
        by_bytes = _moved_there(one, machine) * machine.bytes_per_value / (machine.bandwidth_gb_s * 1e6)
        if by_rate > by_bytes:
            compute += by_rate
        else:
            memory += by_bytes
    return Parts(
        compute_ms=compute,
        memory_ms=memory,
        launch_ms=machine.frame_ms + 1e-3 * machine.operator_us * len(counted),
        transfer_ms=_bus_ms(load.ends * machine.bytes_per_value, machine),
        streamed_ms=_bus_ms(off_chip_bytes(load.work, machine), machine),
    )


def off_chip_bytes(work: Sequence[Work], machine: Machine) -> int:
    """Return the bytes of weights that do not fit on the chip; 0 where they are read from memory anyway."""
    if machine.sram_mib is None:
        return 0
    sizes = [
        edgetpu_memory.laid_bytes(taps=one.taps, depth=_depth(one), channels=one.channels, per_channel=True)
        for one in work
        if one.channels
    ]
    return edgetpu_memory.cached(sizes, sram_mib=machine.sram_mib).off_chip_bytes or 0


def _taken(one: Work, machine: Machine) -> float:
    """Return the multiply-adds that the machine spends on an operator, those of idle lanes included."""
    if machine.sram_mib is None:
        return one.multiply_adds
    rows = machine.depthwise_rows if one.operator == _DEPTHWISE else _depth(one)
    return one.places * one.taps * rows * edgetpu_memory.rounded_channels(one.channels)


def _depth(one: Work) -> int:
    return 1 if one.operator == _DEPTHWISE else edgetpu_memory.rounded_depth(one.depth)


def _moved(one: Work) -> int:
    return one.read + one.written + one.weights


def _moved_there(one: Work, machine: Machine) -> int:
    """Return the values that pass through the memory of `Machine.bandwidth_gb_s`: on a chip the weights are there."""
    return _moved(one) if machine.sram_mib is None else one.read + one.written


def _bus_ms(size_bytes: int, machine: Machine) -> float:
    return 0.0 if machine.bus_mb_s is None else size_bytes / (machine.bus_mb_s * 1e3)
