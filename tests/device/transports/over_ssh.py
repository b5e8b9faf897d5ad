"""A bundle flashed to the server on loopback, and the words of the refusal when it is not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edgemed.device import flash
from edgemed.device.flash import FlashReport
from edgemed.device.plan import Cargo
from edgemed.device.transports import Installing, address, ssh
from edgemed.device.transports.address import SshAddress
from edgemed.device.transports.login import SshOptions
from edgemed.errors import DeviceError
from tests.device import fakes, sshd
from tests.device.sshd import Server

CARGO = fakes.cargo()


def to(text: str) -> SshAddress:
    found = address.parse(text, fakes.TARGET)
    assert isinstance(found, SshAddress)
    return found


def options(server: Server, *, port: int | None = None) -> SshOptions:
    known_hosts = server.known_hosts
    if port is not None:
        known_hosts = sshd.known(server.folder / f"known_hosts.{port}", server.host_key, port)
    return SshOptions(known_hosts=known_hosts, identity=server.identity, connect_limit_s=10.0)


async def flashing(goods: Cargo, place: SshAddress, how: SshOptions, progress: fakes.Progress) -> FlashReport:
    async with ssh.connected(place, how) as session:
        return await flash.flash(goods, session, device=fakes.TARGET, how=Installing(), progress=progress)


def flashed(
    goods: Cargo, server: Server, store: Path, *, port: int | None = None, how: SshOptions | None = None
) -> FlashReport:
    place = to(server.url(store, port=port))
    return asyncio.run(flashing(goods, place, how or options(server, port=port), fakes.Progress()))


def refusal(server: Server, store: Path, goods: Cargo = CARGO, how: SshOptions | None = None) -> str:
    """Return the message of the `DeviceError` that flashing ends with, its address written as ADDRESS."""
    with pytest.raises(DeviceError) as caught:
        flashed(goods, server, store, how=how)
    return str(caught.value).replace(server.url(store), "ADDRESS").replace(str(store), "STORE")
