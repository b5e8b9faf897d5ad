"""edgemed.device.inventory: the list of a fleet's devices, strictly read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.device import inventory
from edgemed.errors import ConfigError

HEAD = "schema: 1\ndevices:\n"


def entry(name: str = "a", device: str = "raspberry-pi-4", to: str = "ssh://a") -> str:
    return f"  - {{name: {name}, device: {device}, to: '{to}'}}\n"


def test_devices_come_in_the_order_of_the_file() -> None:
    found = inventory.parse((HEAD + entry("b") + entry("a", to="/media/stick")).encode(), source="fleet.yaml")
    assert [one.name for one in found.devices] == ["b", "a"]
    assert str(found.devices[0].address()) == "ssh://a/var/lib/edgemed"


BAD = {
    "empty": (HEAD + "  []\n", "fleet.yaml: devices: expected `array` of length >= 1"),
    "unknown-key": (
        HEAD + "  - {name: a, device: raspberry-pi-4, too: ssh://a}\n",
        "fleet.yaml: devices[0].too: unknown key; did you mean 'to'?",
    ),
    "unknown-key-on-top": (
        "schema: 1\nparalell: 3\ndevices:\n" + entry(),
        "fleet.yaml: paralell: unknown key",
    ),
    "missing-key": (HEAD + "  - {name: a, to: ssh://a}\n", "fleet.yaml: devices[0].device: required key is missing"),
    "newer-schema": (
        "schema: 2\ndevices:\n" + entry(),
        "fleet.yaml: schema: invalid enum value 2, value 2",
    ),
    "unknown-target": (
        HEAD + entry() + entry("b", "raspbery-pi-4", "ssh://b"),
        "fleet.yaml: devices[1]: b: target: expected one of coral-dev-board, coral-usb, generic-aarch64, "
        "generic-x86-64, jetson-nano, jetson-orin-nano, jetson-xavier-nx, raspberry-pi-4, raspberry-pi-5, got "
        "'raspbery-pi-4'; did you mean 'raspberry-pi-4'?",
    ),
    "name-twice": (
        HEAD + entry() + entry(to="ssh://b"),
        "fleet.yaml: devices[1].name: 'a' is devices[0] already; list each device once",
    ),
    "address-twice": (
        HEAD + entry() + entry("b", to="ssh://a/var/lib/edgemed/"),
        "fleet.yaml: devices[1].to: 'ssh://a/var/lib/edgemed' is devices[0] already; list each device once",
    ),
    "no-address": (
        HEAD + entry(to="http://a"),
        "fleet.yaml: devices[0]: a: --to: expected ssh://[USER@]HOST[:PORT][/STORE] or a folder, got the scheme 'http'",
    ),
    "duplicate-key": (
        HEAD + "  - {name: a, name: b, device: raspberry-pi-4, to: ssh://a}\n",
        "fleet.yaml: expected YAML, got text that is not: duplicate key 'name' in \"<byte string>\", line 3, column "
        "15: - {name: a, name: b, device: raspberry-pi-4, ... ^",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_named_with_its_place(name: str) -> None:
    text, message = BAD[name]
    with pytest.raises(ConfigError) as caught:
        inventory.parse(text.encode(), source="fleet.yaml")
    assert str(caught.value) == message


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        inventory.read(tmp_path / "fleet.yaml")
    assert str(caught.value) == (
        f"{tmp_path / 'fleet.yaml'}: cannot be read: No such file or directory; check the path and its permissions"
    )


@given(st.binary(max_size=100))
def test_any_bytes_are_an_inventory_or_an_error(raw: bytes) -> None:
    with pytest.raises(ConfigError):
        inventory.parse(raw, source="fleet.yaml")
