"""The light of a GPIO line: on while the state is an alert; what the kernel is asked, against a chip in memory."""

from __future__ import annotations

import errno
import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from edgemed.errors import ConfigError
from edgemed.runtime import sinks
from edgemed.runtime.sinks import gpiochip
from edgemed.runtime.sinks.delivery import Surroundings
from edgemed.runtime.sinks.gpio import GpioSettings, Light
from edgemed.runtime.worker import DeliveryError

# Of include/uapi/linux/gpio.h, as the C compiler makes them on every 64-bit machine.
GET_CHIPINFO, GET_LINE, SET_VALUES = 0x8044B401, 0xC250B407, 0xC010B40F


class FakeChip:
    """A chip with 54 lines, as `fcntl.ioctl` shows it; ``refuse`` is the errno of what it refuses."""

    def __init__(self, *, refuse: dict[int, int] | None = None) -> None:
        self.asked: list[tuple[int, int, int]] = []  # line, flags, lines
        self.values: list[tuple[int, int]] = []
        self.refuse = refuse or {}

    def ioctl(self, descriptor: int, code: int, raw: bytearray) -> Any:
        if code in self.refuse:
            raise OSError(self.refuse[code], os.strerror(self.refuse[code]))
        if code == GET_CHIPINFO:
            assert len(raw) == 68
            raw[64:68] = struct.pack("=I", 54)
        elif code == GET_LINE:
            assert len(raw) == 592
            assert raw[256:264] == b"edgemed\0"
            line, flags, count = (
                struct.unpack_from(form, raw, at)[0] for form, at in (("=I", 0), ("=Q", 288), ("=I", 560))
            )
            self.asked.append((line, flags, count))
            raw[588:592] = struct.pack("=i", os.open(os.devnull, os.O_RDWR))
        elif code == SET_VALUES:
            self.values.append(struct.unpack("=QQ", raw))
        return 0


class FakeLine:
    def __init__(self) -> None:
        self.states: list[bool] = []
        self.closed = False
        self.gone = False

    def set(self, active: bool) -> None:
        if self.gone:
            raise OSError(errno.ENODEV, "No such device")
        self.states.append(active)

    def close(self) -> None:
        self.closed = True


def test_light_follows_the_state_and_ends_dark() -> None:
    line = FakeLine()
    light = Light(line)
    for document in ({"state": "clear"}, {"state": "alert"}, {"event": "format"}, {"state": "indeterminate"}):
        light.deliver(json.dumps(document).encode())
    light.close()
    assert (line.states, line.closed) == ([False, True, False, False], True)


def test_chip_that_has_gone_is_told() -> None:
    line = FakeLine()
    line.gone = True
    with pytest.raises(DeliveryError) as refusal:
        Light(line).deliver(b'{"state":"alert"}')
    assert str(refusal.value) == "cannot be switched: No such device; check the chip and its wiring"
    Light(line).close()
    assert line.closed


@pytest.mark.parametrize(("active_low", "flags"), [(False, 0b1000), (True, 0b1010)], ids=["high", "low"])
def test_kernel_is_asked_for_one_output(active_low: bool, flags: int) -> None:
    chip = FakeChip()
    line = gpiochip.open_line(Path(os.devnull), 17, active_low=active_low, name="x", ioctl=chip.ioctl)
    line.set(True)
    line.set(False)
    line.close()
    assert chip.asked == [(17, flags, 1)]
    assert chip.values == [(1, 1), (0, 1)]


def test_chip_that_is_not_present_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refusal:
        gpiochip.open_line(tmp_path / "gpiochip9", 17, active_low=False, name="gpio:gpiochip9:17")
    assert str(refusal.value) == (
        f"sink 'gpio:gpiochip9:17': {tmp_path}/gpiochip9: not present; this machine has no GPIO chip"
    )
    (tmp_path / "gpiochip0").touch()
    with pytest.raises(ConfigError, match=r"not present; this machine has gpiochip0$"):
        gpiochip.open_line(tmp_path / "gpiochip9", 17, active_low=False, name="x")


def test_device_that_is_no_chip_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(ConfigError) as refusal:
        gpiochip.open_line(path, 17, active_low=False, name="x")
    assert str(refusal.value) == f"sink 'x': {path}: is no GPIO chip; this machine has no GPIO chip"


REFUSED = {
    "line beyond the chip": (54, {}, "sink 'x': /dev/null: expected a line from 0 to 53, got 54"),
    "line in use": (
        17,
        {GET_LINE: errno.EBUSY},
        "sink 'x': /dev/null: line 17 cannot be had: another program uses it",
    ),
    "line of others": (
        17,
        {GET_LINE: errno.EPERM},
        "sink 'x': /dev/null: line 17 cannot be had: this user may not use it; join the group that may, often 'gpio'",
    ),
}


@pytest.mark.parametrize(("number", "refuse", "message"), REFUSED.values(), ids=REFUSED)
def test_line_is_refused(number: int, refuse: dict[int, int], message: str) -> None:
    chip = FakeChip(refuse=refuse)
    with pytest.raises(ConfigError) as refusal:
        gpiochip.open_line(Path(os.devnull), number, active_low=False, name="x", ioctl=chip.ioctl)
    assert str(refusal.value) == message


def test_sink_switches_its_line_through_the_worker() -> None:
    line = FakeLine()
    settings = sinks.parse("gpio:gpiochip0:17").settings
    assert isinstance(settings, GpioSettings)
    channel = settings.open("x", Surroundings(tell=lambda _: None), opened=lambda *_, **__: line)
    channel.offer(b'{"state":"alert"}')
    channel.close(within_s=5.0)
    assert line.states == [True, False]
