"""An output line of a GPIO chip, through the Linux character device and the standard library alone.

line = open_line(Path("/dev/gpiochip0"), 17, active_low=False, name="gpio:gpiochip0:17")
line.set(True)

Source: Linux, include/uapi/linux/gpio.h: gpiochip_info, gpio_v2_line_request, gpio_v2_line_values.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgemed.errors import ConfigError

__all__ = ["OutputLine", "open_line"]

Ioctl = Callable[[int, int, bytearray], Any]

# struct gpiochip_info: char name[32]; char label[32]; __u32 lines
_INFO = struct.Struct("=32s32sI")
# struct gpio_v2_line_request: __u32 offsets[64]; char consumer[32]; struct gpio_v2_line_config { __u64 flags;
# __u32 num_attrs; __u32 padding[5]; attrs[10] of 24 bytes }; __u32 num_lines; __u32 event_buffer_size;
# __u32 padding[5]; __s32 fd
_REQUEST = struct.Struct("=64I32sQI20x240sII20xi")
# struct gpio_v2_line_values: __aligned_u64 bits; __aligned_u64 mask
_VALUES = struct.Struct("=QQ")

_ACTIVE_LOW, _OUTPUT = 1 << 1, 1 << 3  # GPIO_V2_LINE_FLAG_*


def _request_code(direction: int, number: int, size: int) -> int:
    """Return the number of an ioctl, as the _IOC macro of include/uapi/asm-generic/ioctl.h makes it."""
    return direction << 30 | size << 16 | 0xB4 << 8 | number


_GET_CHIPINFO = _request_code(2, 0x01, _INFO.size)
_GET_LINE = _request_code(3, 0x07, _REQUEST.size)
_SET_VALUES = _request_code(3, 0x0F, _VALUES.size)


class OutputLine:
    """A line that this process holds."""

    def __init__(self, descriptor: int, *, ioctl: Ioctl) -> None:
        self._descriptor, self._ioctl = descriptor, ioctl

    def set(self, active: bool) -> None:
        """Switch it.

        Raises:
            OSError: the chip has gone.
        """
        self._ioctl(self._descriptor, _SET_VALUES, bytearray(_VALUES.pack(int(active), 1)))

    def close(self) -> None:
        """Let go of it; others may have it."""
        os.close(self._descriptor)


def open_line(chip: Path, line: int, *, active_low: bool, name: str, ioctl: Ioctl = fcntl.ioctl) -> OutputLine:
    """Return a line as an output that is off.

    Args:
        chip: its device, as in /dev/gpiochip0.
        line: its number on the chip, from 0.
        active_low: on is 0 V.
        name: of the sink, for messages.
        ioctl: asks the kernel.

    Raises:
        ConfigError: the chip or the line is not there, is in use, or may not be used.
    """
    try:
        descriptor = os.open(chip, os.O_RDWR | os.O_CLOEXEC)
    except OSError as err:
        raise ConfigError(f"sink {name!r}: {chip}: {_why(err)}; {_others(chip)}") from err
    try:
        _require_line(descriptor, chip, line, name=name, ioctl=ioctl)
        return OutputLine(_requested(descriptor, line, active_low=active_low, ioctl=ioctl), ioctl=ioctl)
    except OSError as err:
        raise ConfigError(f"sink {name!r}: {chip}: line {line} cannot be had: {_why(err)}") from err
    finally:
        os.close(descriptor)  # the line has a descriptor of its own


def _require_line(descriptor: int, chip: Path, line: int, *, name: str, ioctl: Ioctl) -> None:
    raw = bytearray(_INFO.size)
    try:
        ioctl(descriptor, _GET_CHIPINFO, raw)
    except OSError as err:
        raise ConfigError(f"sink {name!r}: {chip}: is no GPIO chip; {_others(chip)}") from err
    count = _INFO.unpack(raw)[2]
    if line >= count:
        raise ConfigError(f"sink {name!r}: {chip}: expected a line from 0 to {count - 1}, got {line}")


def _requested(descriptor: int, line: int, *, active_low: bool, ioctl: Ioctl) -> int:
    flags = _OUTPUT | (_ACTIVE_LOW if active_low else 0)
    offsets = [line] + [0] * 63
    raw = bytearray(_REQUEST.pack(*offsets, b"edgemed", flags, 0, b"", 1, 0, 0))
    ioctl(descriptor, _GET_LINE, raw)
    return int(_REQUEST.unpack(raw)[-1])


def _why(err: OSError) -> str:
    if err.errno == errno.ENOENT:
        return "not present"
    if err.errno == errno.EBUSY:
        return "another program uses it"
    if err.errno in (errno.EACCES, errno.EPERM):
        return "this user may not use it; join the group that may, often 'gpio'"
    return err.strerror or str(err)


def _others(chip: Path) -> str:
    """Return which chips there are."""
    found = sorted(path.name for path in chip.parent.glob("gpiochip*"))
    return f"this machine has {', '.join(found)}" if found else "this machine has no GPIO chip"
