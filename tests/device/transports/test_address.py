"""edgemed.device.transports.address: what --to may say."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.device.transports import address
from edgemed.device.transports.address import DirectoryAddress, SshAddress
from edgemed.errors import ConfigError

JETSON, GENERIC = "jetson-orin-nano", "generic-x86-64"
STORE = "/var/lib/edgemed"

GOOD = {
    "host-alone": ("ssh://ward", SshAddress(user=None, host="ward", port=None, store=STORE)),
    "everything": (
        "ssh://unit@10.0.0.7:2222/srv/e",
        SshAddress(user="unit", host="10.0.0.7", port=2222, store="/srv/e"),
    ),
    "slash-at-the-end": ("ssh://ward/srv/e/", SshAddress(user=None, host="ward", port=None, store="/srv/e")),
    "root-is-no-store": ("ssh://ward/", SshAddress(user=None, host="ward", port=None, store=STORE)),
    "space": ("ssh://ward/srv/my%20store", SshAddress(user=None, host="ward", port=None, store="/srv/my store")),
    "ipv6": ("ssh://unit@[fe80::1]:22/s", SshAddress(user="unit", host="fe80::1", port=22, store="/s")),
    "folder": ("/media/stick", DirectoryAddress(folder=Path("/media/stick"))),
    "folder-here": ("stick", DirectoryAddress(folder=Path("stick"))),
}
FORM = "--to: expected ssh://[USER@]HOST[:PORT][/STORE] or a folder, got "
BAD = {
    "empty": ("", FORM + "an empty text"),
    "scheme": ("scp://ward/s", FORM + "the scheme 'scp'"),
    "no-host": ("ssh:///s", FORM + "'ssh:///s'"),
    "host-that-is-an-option": ("ssh://-oProxyCommand=x/s", FORM + "'ssh://-oProxyCommand=x/s'"),
    "query": ("ssh://ward/s?x=1", FORM + "'ssh://ward/s?x=1'"),
    "port-of-letters": ("ssh://ward:ssh", FORM + "'ssh://ward:ssh': Port could not be cast to integer value as 'ssh'"),
    "port-too-high": ("ssh://ward:65536", FORM + "'ssh://ward:65536': Port out of range 0-65535"),
    "port-zero": ("ssh://ward:0", "--to: expected a port from 1 to 65535, got 0 in 'ssh://ward:0'"),
    "password": (
        "ssh://unit:secret@ward",
        "--to: expected no password in the address; use a key, or type it when asked",
    ),
    "way-out": ("ssh://ward/srv/../etc", "--to: expected an absolute store path without '..', got '/srv/../etc'"),
    "line-break": ("ssh://ward/srv/%0Ax", "--to: expected an absolute store path without '..', got '/srv/\\nx'"),
}


@pytest.mark.parametrize("name", GOOD)
def test_address_is_completed_from_the_target(name: str) -> None:
    text, expected = GOOD[name]
    assert address.parse(text, JETSON) == expected


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_address_is_refused(name: str) -> None:
    text, message = BAD[name]
    with pytest.raises(ConfigError) as caught:
        address.parse(text, JETSON)
    assert str(caught.value) == message


def test_store_must_be_named_where_the_target_has_none() -> None:
    with pytest.raises(ConfigError) as caught:
        address.parse("ssh://ward/", GENERIC)
    assert str(caught.value) == (
        "--to: generic-x86-64 has no store path of its own; write it after the host, as in ssh://ward/var/lib/edgemed"
    )


@given(st.text(max_size=40).map(lambda text: f"ssh://{text}") | st.text(max_size=40))
def test_any_text_is_an_address_or_an_error(text: str) -> None:
    try:
        found = address.parse(text, JETSON)
    except ConfigError:
        return
    if isinstance(found, SshAddress):
        assert address.parse(str(found).replace("%", "%25").replace(" ", "%20"), JETSON) is not None
