"""What tells a machine's energy: RAPL on x86, the INA3221 on Jetson, read from sysfs; found, or the reason why not.

RAPL counts microjoules of each processor package, from an arbitrary start and modulo a range; the packages are summed,
their parts and ``psys`` are not. The INA3221 tells the power of this moment on each rail; the rail that feeds the whole
board is taken.

    source = power.find()
    if isinstance(source, Absent): print(source.reason)

Sources: the kernel's powercap and ina3221 documentation (in[123]_label, in[123]_input in mV, curr[123]_input in mA);
rail names and the iio files of JetPack 4 as NVIDIA's Jetson developer guides give them (recall).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

__all__ = ["Absent", "Found", "Ina3221", "Rapl", "Source", "find"]

# The rail before all others: Orin and Xavier NX, then Nano and TX2.
_WHOLE_BOARD = ("VDD_IN", "POM_5V_IN")


class Source(Protocol):
    """Tells how much energy went by."""

    @property
    def name(self) -> str:
        """What it is, for people."""
        ...

    def spent_j(self, elapsed_s: float) -> float:
        """Return the joules since the call before, which was ``elapsed_s`` ago; the first call is for starting alone.

        Raises:
            OSError: the file cannot be read.
            ValueError: it holds no number.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Absent:
    """No source, and why."""

    reason: str


@dataclass(kw_only=True)
class Rapl:
    """Energy counters of processor packages; each with its range, after which it starts from 0."""

    counters: tuple[tuple[Path, int], ...]
    _last: list[int] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Which packages."""
        return f"RAPL, {len(self.counters)} package{'s' if len(self.counters) > 1 else ''}"

    def spent_j(self, elapsed_s: float) -> float:
        """Return the joules of all packages since the call before: less than one range each, or a wrap is missed."""
        now = [_number(path) for path, _ in self.counters]
        before, self._last = self._last or now, now
        # The counter's last value is its range; the next one is 0.
        steps = ((b - a) % (span + 1) for a, b, (_, span) in zip(before, now, self.counters, strict=True))
        return 1e-6 * sum(steps)


@dataclass(kw_only=True)
class Ina3221:
    """Power of one rail: volts and amperes from two files, or watts from one."""

    rail: str
    milli: tuple[Path, ...]
    _last_w: float | None = None

    @property
    def name(self) -> str:
        """Which rail."""
        return f"INA3221, {self.rail}"

    def spent_j(self, elapsed_s: float) -> float:
        """Return the joules since the call before, the power taken as a straight line in between."""
        now = 1.0
        for path in self.milli:
            now *= 1e-3 * _number(path)
        before, self._last_w = self._last_w, now
        return 0.0 if before is None else 0.5 * (before + now) * elapsed_s


Found: TypeAlias = "Source | Absent"


def find(root: Path = Path("/sys")) -> Found:
    """Return what tells this machine's energy.

    Args:
        root: where sysfs is mounted.
    """
    rails = dict(_rails(root))
    for name in _WHOLE_BOARD:
        if name in rails:
            return _readable(Ina3221(rail=name, milli=rails[name]), rails[name])
    if rails:
        known = ", ".join(sorted(rails))
        return Absent(reason=f"INA3221: no rail of the whole board ({' or '.join(_WHOLE_BOARD)}) among {known}")
    return _rapl(root)


def _rapl(root: Path) -> Found:
    folder = root / "class" / "powercap"
    zones = [path for path in sorted(folder.glob("intel-rapl:*")) if path.name.count(":") == 1]
    packages = [path for path in zones if _text(path / "name").startswith("package")]
    if not packages:
        return Absent(reason=f"no energy counter: no INA3221 in {root} and no RAPL package in {folder}")
    files = [path / "energy_uj" for path in packages]
    try:
        counters = tuple((path, _number(path.parent / "max_energy_range_uj")) for path in files)
    except (OSError, ValueError) as err:
        return Absent(reason=f"RAPL: {packages[0]}/max_energy_range_uj: cannot be read: {err}")
    return _readable(Rapl(counters=counters), tuple(files))


def _readable(source: Source, files: tuple[Path, ...]) -> Found:
    for path in files:
        try:
            _number(path)
        except PermissionError:
            return Absent(reason=f"{path}: may be read by root alone; run as root, or let your group read it")
        except (OSError, ValueError) as err:
            return Absent(reason=f"{path}: cannot be read: {err}")
    return source


def _rails(root: Path) -> Iterator[tuple[str, tuple[Path, ...]]]:
    """Yield the rails by name with the files whose product is their power."""
    for chip in sorted((root / "class" / "hwmon").glob("hwmon*")):
        if _text(chip / "name") == "ina3221":
            for label in sorted(chip.glob("in[123]_label")):
                number = label.name[2]
                yield _text(label), (chip / f"in{number}_input", chip / f"curr{number}_input")
    for chip in sorted((root / "bus" / "i2c" / "drivers" / "ina3221x").glob("*/iio:device*")):
        for label in sorted(chip.glob("rail_name_[012]")):
            yield _text(label), (chip / f"in_power{label.name[-1]}_input",)


def _number(path: Path) -> int:
    return int(path.read_text(encoding="ascii"))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
