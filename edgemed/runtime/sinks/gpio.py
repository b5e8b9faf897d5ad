"""The sink ``gpio:CHIP:LINE``: a line of the Linux GPIO character device that is on while the state is an alert.

``gpio:gpiochip0:17`` is line 17 of /dev/gpiochip0; the option ``active=low`` is for a light that shines when its line
is at 0 V. The line is off from the start, and off again at the end: a light that nobody watches over must not seem to.

Source: Linux, include/uapi/linux/gpio.h, version 2 of the line interface (kernel 5.10 and newer).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from edgemed.errors import ConfigError
from edgemed.runtime.sinks import gpiochip
from edgemed.runtime.sinks.delivery import Channel, Surroundings
from edgemed.runtime.sinks.options import Options
from edgemed.runtime.worker import DeliveryError, Worker

__all__ = ["GpioSettings", "Light", "Line", "read"]

_DEV = Path("/dev")
_ON = "alert"


class Line(Protocol):
    """One output line: `gpiochip.OutputLine`, or a fake."""

    def set(self, active: bool) -> None:
        """Switch it; `OSError` where the chip has gone."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class _State(msgspec.Struct, frozen=True):
    """The part of a document that a light shows."""

    state: str | None = None


@dataclass(frozen=True, kw_only=True)
class GpioSettings:
    """Which line, and whether it shines at 0 V."""

    chip: Path
    line: int
    active_low: bool = False

    def open(
        self, name: str, surroundings: Surroundings, *, opened: Callable[..., Line] = gpiochip.open_line
    ) -> Channel:
        """Return the sink, its line off.

        Raises:
            ConfigError: the chip or the line is not there, is in use, or may not be used.
        """
        line = opened(self.chip, self.line, active_low=self.active_low, name=name)
        return Worker(Light(line), name=name, tell=surroundings.tell, waiting=surroundings.waiting)


def read(rest: str, options: Options) -> GpioSettings:
    """Return the settings of the text behind the colon.

    Raises:
        ConfigError: no chip, no number of a line, or an option is wrong.
    """
    chip, _, line = rest.rpartition(":")
    if not chip or not (line.isascii() and line.isdecimal()) or len(line) > 6:
        raise ConfigError(f"sink {options.sink!r}: expected gpio:CHIP:LINE, as in gpio:gpiochip0:17")
    active = options.choice("active", ("high", "low"))
    return GpioSettings(chip=_DEV / chip, line=int(line), active_low=active == "low")


class Light:
    """Switches a line to what each document says of the state."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def deliver(self, line: bytes) -> None:
        """Switch the line on for an alert and off for any other state; a document without a state changes nothing.

        Raises:
            DeliveryError: the chip has gone.
        """
        state = msgspec.json.decode(line, type=_State).state
        if state is not None:
            self._switch(active=state.casefold() == _ON)

    def settle(self) -> None:
        """Do nothing: a line has no buffer."""

    def abort(self) -> None:
        """Do nothing: the kernel does not wait for a line."""

    def close(self) -> None:
        """Switch the line off and let go of it."""
        try:
            self._line.set(False)
        except OSError:
            pass  # the chip has gone, and the light with it
        finally:
            self._line.close()

    def _switch(self, *, active: bool) -> None:
        try:
            self._line.set(active)
        except OSError as err:
            raise DeliveryError(f"cannot be switched: {err.strerror or err}; check the chip and its wiring") from err
