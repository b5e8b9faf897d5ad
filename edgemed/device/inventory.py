"""An inventory: the devices of a fleet, one YAML file.

    schema: 1
    devices:
      - name: ward-3
        device: jetson-orin-nano
        to: ssh://unit@10.0.0.7

Rules: as `edgemed.schema` has them for YAML; names and addresses occur once; every device is one that ships.

    fleet = inventory.parse(raw, source="fleet.yaml")
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgemed import files, schema, targets
from edgemed.device.transports import address as addresses
from edgemed.device.transports.address import DirectoryAddress, SshAddress
from edgemed.errors import ConfigError

__all__ = ["Entry", "Inventory", "parse", "read"]

_LIMIT_BYTES = 8 << 20
_DEVICES_LIMIT = 10_000

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")]


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One device: what people call it, what it is, where it is."""

    name: Name
    device: str
    to: Annotated[str, Meta(min_length=1, max_length=1024)]

    def address(self) -> SshAddress | DirectoryAddress:
        """Return where it is, completed from its target.

        Raises:
            ConfigError: an unknown device, or no address.
        """
        return addresses.parse(self.to, self.device)


class Inventory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Devices in the order they are flashed; the first ones are the canaries."""

    schema: Literal[1]
    devices: Annotated[tuple[Entry, ...], Meta(min_length=1, max_length=_DEVICES_LIMIT)]


def read(path: Path) -> Inventory:
    """Return the inventory in a file.

    Raises:
        ConfigError: as `parse`, or the file cannot be read.
    """
    return parse(files.read_bounded(path, limit_bytes=_LIMIT_BYTES, error=ConfigError), source=str(path))


def parse(raw: bytes, *, source: str) -> Inventory:
    """Return YAML bytes as an inventory.

    Raises:
        ConfigError: not YAML, an unknown or missing key, a value out of range, a name or address given twice, an
            unknown device, or an address that is none.
    """
    found = schema.decode_yaml(raw, Inventory, source=source)
    names: dict[str, int] = {}
    places: dict[str, int] = {}
    for index, entry in enumerate(found.devices):
        where = f"{source}: devices[{index}]"
        try:
            targets.require(entry.device)
            address = str(entry.address())
        except ConfigError as err:
            raise ConfigError(f"{where}: {entry.name}: {err}") from err
        _require_new(names, entry.name, index, where=f"{where}.name")
        _require_new(places, address, index, where=f"{where}.to")
    return found


def _require_new(seen: dict[str, int], value: str, index: int, *, where: str) -> None:
    before = seen.setdefault(value, index)
    if before != index:
        raise ConfigError(f"{where}: {value!r} is devices[{before}] already; list each device once")
